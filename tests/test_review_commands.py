"""`askwise review`, `decide` and `gold`: what an expert does at a terminal."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from typer.testing import CliRunner

from labeling import jobs
from labeling.annotation import gold_file
from labeling.cli import app
from labeling.db.engine import writing
from labeling.db.schema import JobKind, Role
from labeling.errors import Invalid, NotAllowed, NotFound
from labeling.learning.worker import work_off
from labeling.users import local_user
from labeling.verbs import OpenWorkspace
from labeling.workspace import Workspace
from tests.annotation.expert import give_role
from tests.db.small_project import SmallProject, not_waiting_for_the_disk


@pytest.fixture
def small(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    """A project whose two people disagree on its first item, and of which this machine's user is an owner."""
    monkeypatch.setenv("ASKWISE_WORKSPACE", str(workspace.root))
    me = local_user(not_waiting_for_the_disk(workspace))
    made = SmallProject.make(workspace, overlap=2, gold_share=0)
    give_role(made, me, Role.OWNER)
    for person, class_id in zip(made.people, made.classes, strict=True):
        made.answer(person, made.items[0], class_id)
    return made


def run(*arguments: str) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    return json.loads(result.stdout)


def told(*arguments: str) -> str:
    return CliRunner().invoke(app, [*arguments], catch_exceptions=False).stdout


def test_what_waits_is_listed_and_decided(small: SmallProject):
    found = run("review", "animals")
    assert [(item["item_id"], item["causes"]) for item in found["items"]] == [(small.items[0], ["disagreement"])]
    assert "1 says “cat”, 1 says “dog”" in told("review", "animals", "--cause", "disagreement")
    assert run("review", "animals", "--cause", "flagged")["total"] == 0
    name = found["items"][0]["external_id"]
    assert told("decide", "animals", name, "dog", "--note", "the ears", "--gold") == f"Decided: “{name}” is dog.\n"
    (settled,) = run("review", "animals", "--decided")["items"]
    assert (settled["label"], settled["decided"], settled["gold"]) == ("dog", "dog", True)
    assert settled["decision"]["note"] == "the ears"
    assert run("decide", "animals", str(small.items[0]))["status"] == "saved"
    assert run("review", "animals", "--decided")["items"][0]["decided"] == "cannot be told"


def test_what_cannot_be_decided_is_one_sentence(small: SmallProject):
    for arguments, error in ((("nothing", "dog"), NotFound), ((str(small.items[0]), "fish"), Invalid)):
        with pytest.raises(error, match=r"\.$"):
            run("decide", "animals", *arguments)


def gold_file_of(tmp_path: Path, text: str) -> str:
    path = tmp_path / "gold.csv"
    path.write_text(text, encoding="utf-8-sig")
    return str(path)


def test_known_answers_in_a_file_become_gold_items_once(small: SmallProject, tmp_path: Path):
    names = [item["external_id"] for item in run("review", "animals")["items"]]
    rows = f"class,external_id,remark\ndog,{names[0]},clear\ncat,{small.id}-0001,\n"
    path = gold_file_of(tmp_path, rows)
    assert run("gold", "animals", path) == {"gold": 2}
    assert told("gold", "animals", path) == "People are checked by 2 items from now on.\n"
    found = OpenWorkspace(small.workspace.root).review("animals", decided=True)
    assert [(item["decided"], item["gold"]) for item in found["items"]] == [("cat", True), ("dog", True)]


def test_a_long_file_that_was_read_before_costs_no_more_statements_than_a_short_one(
    small: SmallProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gold_file, "GOLD_TOGETHER", 25)  # made gold in parts
    small.add_items(60)
    me, counts = local_user(small.workspace), []
    statements: list[str] = []
    event.listen(small.workspace.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    for rows in (2, 20):
        names = "".join(f"{small.id}-{row:04d},cat\n" for row in range(6, 6 + rows))
        path = Path(gold_file_of(tmp_path, "external_id,class\n" + names))
        for again in (False, True):
            statements.clear()
            assert gold_file.gold_from_file(small.workspace, me, small.id, path) == rows
            if again:
                counts.append(len(statements))
    assert counts[0] == counts[1]
    names = "".join(f"{small.id}-{row:04d},dog\n" for row in range(6, 66))
    assert run("gold", "animals", gold_file_of(tmp_path, "external_id,class\n" + names)) == {"gold": 60}
    found = OpenWorkspace(small.workspace.root).review("animals", decided=True)
    assert len(found["items"]) and all((item["decided"], item["gold"]) == ("dog", True) for item in found["items"])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("item,class\n1,cat\n", "needs the columns external_id and class"),
        ("external_id,class\nnobody,cat\n", "Line 2 of “gold.csv” .* no item “nobody”"),
        ("external_id,class\n1-0000,cat\n1-0001,fish\n", "Line 3 of “gold.csv” .* no class “fish”"),
        ("external_id,class\n1-0000,cat\n1-0000,dog\n", "comes twice"),
    ],
)
def test_a_file_is_taken_whole_or_not_at_all(small: SmallProject, tmp_path: Path, text: str, why: str):
    with pytest.raises(Invalid, match=why):
        run("gold", "animals", gold_file_of(tmp_path, text))
    assert run("review", "animals", "--decided")["total"] == 0
    with pytest.raises(Invalid, match="cannot be read"):
        run("gold", "animals", str(tmp_path / "none.csv"))


def test_an_annotator_is_refused_before_the_file_is_read(small: SmallProject, tmp_path: Path):
    give_role(small, local_user(small.workspace), Role.ANNOTATOR)
    with pytest.raises(NotAllowed):
        run("gold", "animals", str(tmp_path / "none.csv"))
    with pytest.raises(NotAllowed):
        run("review", "animals")


def test_agreement_and_what_is_known_of_people_are_read_in_python(small: SmallProject):
    opened = OpenWorkspace(small.workspace.root)
    assert opened.agreement("animals")["items"] == 1
    assert opened.records("animals")["people"] == []  # nothing was weighed yet
    with writing(small.workspace.engine) as session:
        job = jobs.request(session, small.id, JobKind.WEIGH)
    work_off(small.workspace, job.id or 0, lambda _fraction, _message: None)
    assert {one["user_id"] for one in opened.records("animals")["people"]} == set(small.people)
