"""The audit log can be read: by owners, page by page, each kind of event in a plain sentence, and never a secret."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from labeling import accounts, invitations, signing_in
from labeling.annotation import team
from labeling.annotation.adjudication import make_gold
from labeling.annotation.merging import merge_class, restore_class
from labeling.annotation.splitting import split_class
from labeling.audit_log import MOST, Told, read_events
from labeling.audit_sentences import SENTENCES, SETTINGS
from labeling.classes import add_class, class_changes, edit_class, order_classes, retire_class
from labeling.db.engine import reading, writing
from labeling.db.schema import Event, Job, JobKind, Role
from labeling.errors import Invalid, NotAllowed, NotFound
from labeling.projects import Settings, update_guidelines, update_settings
from labeling.users import local_user, make_token
from labeling.workspace import Workspace
from tests.annotation.expert import decided, give_role
from tests.db.small_project import SmallProject, add_user, not_waiting_for_the_disk

pytestmark = pytest.mark.usefixtures("quick_passwords")
LABELING = Path(__file__).parents[1] / "labeling"
WORDS = "correct horse battery"


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    return SmallProject.make(not_waiting_for_the_disk(workspace), classes=("cat", "dog", "cow"))


def told(small: SmallProject, **more: object) -> list[Told]:
    return read_events(small.workspace, small.owner, small.id, **{"limit": MOST, **more}).events


def newest(small: SmallProject) -> str:
    return told(small)[0].sentence


def write(small: SmallProject, kind: str, user_id: int | None = None, **detail: object) -> str:
    """Write an event as the product would; returns its sentence."""
    with writing(small.workspace.engine) as session:
        session.add(Event(project_id=small.id, user_id=user_id, kind=kind, detail=detail))
    return newest(small)


class KindsWritten:
    """The kinds of events that code under a folder writes, through the arguments of functions that write for others."""

    def __init__(self, root: Path) -> None:
        self._trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(root.rglob("*.py"))}
        self.unknown: list[str] = []  # places whose kind cannot be told
        self.found: set[str] = set()
        for path, function, call in self._calls("Event", attributes=False):
            kind = next((k.value for k in call.keywords if k.arg == "kind"), None)
            self._collect(path, function, kind, call)

    def _calls(self, name: str, *, attributes: bool = True) -> Iterator[tuple[Path, ast.FunctionDef, ast.Call]]:
        for path, tree in self._trees.items():
            innermost: dict[ast.Call, ast.FunctionDef] = {}
            for function in ast.walk(tree):  # outer functions first
                if isinstance(function, ast.FunctionDef):
                    innermost |= {call: function for call in ast.walk(function) if isinstance(call, ast.Call)}
            for call, function in innermost.items():
                called = call.func
                named = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "") if attributes else ""
                if named == name:
                    yield path, function, call

    def _collect(self, path: Path, function: ast.FunctionDef, kind: ast.expr | None, at: ast.Call) -> None:
        if isinstance(kind, ast.Constant):
            self.found.add(kind.value)
        elif isinstance(kind, ast.IfExp):
            self._collect(path, function, kind.body, at)
            self._collect(path, function, kind.orelse, at)
        elif isinstance(kind, ast.Name) and kind.id in (places := [a.arg for a in function.args.args]):
            for its_path, its_function, call in self._calls(function.name):
                given = dict(zip(places, call.args, strict=False)) | {k.arg: k.value for k in call.keywords if k.arg}
                self._collect(its_path, its_function, given.get(kind.id), call)
        elif isinstance(kind, ast.Name) and (values := self._assigned(path, function, kind.id)):
            for value in values:
                self._collect(path, function, value, at)
        else:
            self.unknown.append(f"{path.name}:{at.lineno}")

    def _assigned(self, path: Path, function: ast.FunctionDef, name: str) -> list[ast.expr]:
        known = [(path, name)] + [
            (its_path, alias.name)
            for node in self._trees[path].body
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
            for its_path in self._trees
            if (alias.asname or alias.name) == name and its_path.stem == node.module.rpartition(".")[2]
        ]
        return [
            node.value
            for its_path, its_name in known
            for node in [*(ast.walk(function) if its_path == path else ()), *self._trees[its_path].body]
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == its_name for t in node.targets)
        ]


def test_every_kind_of_event_that_is_written_anywhere_has_a_sentence():
    written = KindsWritten(LABELING)
    assert written.unknown == [], "let the kind be a constant, so that this test finds it"
    assert {"class merged", "near-duplicates linked", "answers count again", "reset link made"} <= written.found
    assert sorted(written.found - set(SENTENCES)) == [], "give it a sentence in labeling/audit_sentences.py"


def test_a_kind_that_is_made_up_while_running_is_found_to_be_unknown(tmp_path: Path):
    (tmp_path / "a.py").write_text(
        "def write(kind):\n    Event(kind=kind)\n"
        "def first():\n    write('seen')\n"
        "def second(what):\n    write(f'un{what}')\n"
    )
    (tmp_path / "b.py").write_text("from some.c import SAID\ndef say():\n    Event(kind=SAID)\n")
    (tmp_path / "c.py").write_text("SAID = 'said'\n")
    written = KindsWritten(tmp_path)
    assert (written.found, written.unknown) == ({"seen", "said"}, ["a.py:6"])


def test_changes_of_classes_are_told_with_the_names_of_today(small: SmallProject):
    workspace, owner = small.workspace, small.owner
    cat, dog, cow = small.classes
    owl = add_class(workspace, owner, small.id, class_changes(name="owl")).id
    assert newest(small) == "The class “owl” was added."
    edit_class(workspace, owner, owl, class_changes(name="barn owl", colour="#112233", key="9"))
    assert newest(small) == "The class “owl” was renamed “barn owl”, and its key and colour were changed."
    edit_class(workspace, owner, cat, class_changes(description="furry"))
    assert newest(small) == "The description of the class “cat” was changed."
    order_classes(workspace, owner, small.id, [owl, dog])
    assert newest(small) == "The classes were put in order: “barn owl” and “dog”."
    retire_class(workspace, owner, owl)
    assert newest(small) == "The class “barn owl” was retired."
    restore_class(workspace, owner, owl)
    assert newest(small) == "The class “barn owl” was brought back."
    merge_class(workspace, owner, cow, cat)
    assert newest(small) == "The class “cow” was merged into “cat”."
    split_class(workspace, owner, dog, ["big dog", "small dog"])
    assert newest(small) == "The class “dog” was split into “big dog” and “small dog”."
    edit_class(workspace, owner, cat, class_changes(name="feline"))
    sentences = [event.sentence for event in told(small)]
    assert sentences[2] == "The class “cow” was merged into “feline” (then “cat”)."
    edit_class(workspace, owner, cat, class_changes(name="pet"))
    assert told(small)[1].sentence == "The class “pet” (then “feline”) was renamed; it was “cat” before."


def test_the_history_tells_what_moved_and_not_all_that_a_page_sent(small: SmallProject):
    cat = small.classes[0]
    as_a_dialog = {"name": "cat", "key": "1", "take_key": True, "colour": None, "description": "", "examples": []}
    before = len(told(small))
    edit_class(small.workspace, small.owner, cat, class_changes(**as_a_dialog))
    assert len(told(small)) == before
    edit_class(small.workspace, small.owner, cat, class_changes(**as_a_dialog | {"examples": [small.items[0]]}))
    assert newest(small) == "The examples of the class “cat” were changed."


def test_what_is_done_to_people_is_told_with_their_names(small: SmallProject):
    workspace, owner, (ann, bob) = small.workspace, small.owner, small.people
    team.change_role(workspace, owner, small.id, ann, Role.EXPERT)
    assert newest(small) == "“animals person 0” was made an expert."
    team.set_aside(workspace, owner, small.id, ann)
    assert newest(small) == "The answers of “animals person 0” were set aside."
    team.set_aside(workspace, owner, small.id, ann, aside=False)
    assert newest(small) == "The answers of “animals person 0” count again."
    team.remove_member(workspace, owner, small.id, bob)
    assert newest(small) == "“animals person 1” was taken out of the project."
    assert write(small, "member added", owner, user=bob, role="owner") == "“animals person 1” was taken in as an owner."
    assert write(small, "project taken over", bob).startswith("“animals person 1” became an owner of the project")
    assert [(event.user_id, event.who) for event in told(small)[:2]] == [
        (bob, "animals person 1"),
        (owner, "animals owner"),
    ]


def test_settings_are_told_in_words_and_guidelines_not_at_length(small: SmallProject):
    workspace, owner = small.workspace, small.owner
    update_settings(workspace, owner, small.id, {"strategy": "margin", "target_accuracy": 0.95, "blind": True})
    assert newest(small) == (
        "Settings were changed (what is asked next: margin; accuracy to reach: 95%; review without names: on)."
    )
    update_settings(workspace, owner, small.id, {"target_accuracy": None, "templates": ["a {}"], "opinions": "by_need"})
    assert newest(small) == (
        "Settings were changed (accuracy to reach: none; templates for class names: “a {}”; how answers are asked for: "
        "by need)."
    )
    update_guidelines(workspace, owner, small.id, "Look twice.")
    assert newest(small) == "The guidelines were changed."
    assert set(SETTINGS) == set(Settings.model_fields)


def test_gold_items_are_named_as_far_as_they_are_few(small: SmallProject):
    for item in small.items[:5]:
        decided(small, item, small.classes[0])
    make_gold(small.workspace, small.owner, small.id, small.items[:2])
    first, second = (f"“{small.id}-{row:04d}”" for row in (0, 1))
    assert newest(small) == f"People are checked by {first} and {second}."
    make_gold(small.workspace, small.owner, small.id, small.items[:2], gold=False)
    assert newest(small) == f"People are no longer checked by {first} and {second}."
    make_gold(small.workspace, small.owner, small.id, small.items[:5])
    assert newest(small).endswith("and 2 others.")


def test_an_item_of_another_project_is_not_named(small: SmallProject):
    other = SmallProject.make(small.workspace, name="plants")
    assert write(small, "gold items", items=list(other.items[:1]), gold=True) == "People are checked by 1 other."
    assert write(small, "class retired", id=other.classes[0], name="then") == "The class “then” was retired."


def test_what_askwise_did_itself_is_told_as_its_own(small: SmallProject):
    with writing(small.workspace.engine) as session:
        session.add(job := Job(project_id=small.id, kind=JobKind.IMPORT, payload={"name": "birds.csv"}))
        session.flush()
        job_id = job.id
    counts = {"added": 1200, "duplicates": 1, "refused": 3}
    assert write(small, "import", small.owner, job=job_id, **counts, labeled=7) == (
        "An import of “birds.csv” brought 1,200 items, 7 of them with labels; 1 was there already and 3 were refused."
    )
    none = {"added": 1, "duplicates": 0, "refused": 0}
    assert write(small, "import", small.owner, job=None, **none) == "An import brought 1 item."
    assert write(small, "import cancelled", small.owner, job=job_id, added=0) == (
        "An import of “birds.csv” was cancelled after 0 items."
    )
    assert write(small, "near-duplicates linked", through=9, items=2, groups=1) == (
        "2 items were found to be nearly the same as others."
    )
    careless = {"user": small.people[0], "right": 5, "answered": 20, "expected_right": 17.4}
    assert write(small, "person flagged", **careless) == (
        "“animals person 0” was flagged as careless: 5 of 20 gold items right, where others would have 17."
    )
    pull = {"shown": 100, "right_shown": 80, "hidden": 50, "right_hidden": 45, "harmful": True}
    assert write(small, "suggestions hidden", **pull) == (
        "Suggestions were hidden from then on, as people were right less often with them (80% with them, 90% without)."
    )
    assert (told(small)[0].who, told(small)[0].user_id) == ("Askwise", None)


def test_what_another_version_wrote_is_told_as_far_as_it_can_be(small: SmallProject):
    assert write(small, "class painted", name="cat") == "Class painted."
    assert write(small, "class merged", name="cat") == "Class merged."
    assert write(small, "role changed", user=999_999, role="expert").startswith("“somebody who is not known any more”")


def test_pages_follow_each_other_without_a_gap(small: SmallProject):
    for number in range(7):
        edit_class(small.workspace, small.owner, small.classes[0], class_changes(name=f"name {number}"))
    whole, pages, before = told(small), [], None
    assert [event.id for event in whole] == sorted((event.id for event in whole), reverse=True)
    while True:
        page = read_events(small.workspace, small.owner, small.id, before=before, limit=4)
        pages += page.events
        assert 1 <= len(page.events) <= 4
        before = page.earlier
        if before is None:
            break
    assert pages == whole and len(whole) == 8
    assert read_events(small.workspace, small.owner, small.id, before=whole[-1].id).events == []
    assert [event.kind for event in told(small, kinds={"project created"})] == ["project created"]


def test_a_page_that_is_too_large_is_one_sentence(small: SmallProject):
    for limit in (0, MOST + 1):
        with pytest.raises(Invalid, match=r"1 to 1,000 events.*\.$"):
            read_events(small.workspace, small.owner, small.id, limit=limit)


def test_the_history_of_a_project_is_for_its_owners(small: SmallProject):
    ann, stranger = small.people[0], add_user(small.workspace, "mallory")
    for role in (Role.ANNOTATOR, Role.EXPERT):
        give_role(small, ann, role)
        with pytest.raises(NotAllowed, match="owner"):
            read_events(small.workspace, ann, small.id)
    give_role(small, ann, Role.OWNER)
    assert read_events(small.workspace, ann, small.id).events
    with pytest.raises(NotFound):
        read_events(small.workspace, stranger, small.id)


def test_what_belongs_to_no_project_is_for_the_owner_of_the_workspace(small: SmallProject):
    workspace = small.workspace
    shell = local_user(workspace)
    root = accounts.add_account(workspace, shell, "root", WORDS)
    ann = accounts.add_account(workspace, root, "ann", WORDS)
    signing_in.sign_in(workspace, "ann", WORDS, address="203.0.113.9")
    make_token(workspace, ann)
    accounts.change_password(workspace, ann, WORDS, "entirely new words")
    link = invitations.reset_link(workspace, root, ann)
    invitations.accept(workspace, link.path.removeprefix("/join/"), "", WORDS)
    invitations.invite(workspace, root, None)
    accounts.disable_user(workspace, root, ann)
    accounts.enable_user(workspace, root, ann)
    seen = read_events(workspace, root, None).events
    assert [(event.who, event.sentence) for event in reversed(seen)][1:] == [
        ("root", "An account was made for “ann”."), ("ann", "“ann” signed in."), ("ann", "“ann” made an API token."),
        ("ann", "“ann” chose a new password."), ("root", "A link was made by which “ann” may choose a new password."),
        ("ann", "“ann” came in by a link."),
        ("root", "A link was made by which one person may have an account."),
        ("root", "“ann” was shut out of the workspace."), ("root", "“ann” was let into the workspace again."),
    ]  # fmt: skip
    with pytest.raises(NotAllowed):
        read_events(workspace, small.owner, None)
    assert not {event.id for event in seen} & {event.id for event in told(small)}


def test_links_are_told_with_their_notes_and_no_event_holds_a_secret(small: SmallProject):
    workspace = small.workspace
    accounts.add_account(workspace, local_user(workspace), "root", WORDS)
    link = invitations.invite(workspace, small.owner, small.id, Role.EXPERT, note="for Bob")
    assert newest(small) == "A link was made by which one person may join as an expert (note: “for Bob”)."
    secret = link.path.removeprefix("/join/")
    bob = invitations.accept(workspace, secret, "bob", WORDS)
    assert newest(small) == "“bob” came in by a link, as an expert (note: “for Bob”)."
    other = invitations.invite(workspace, small.owner, small.id)
    invitations.revoke_invitation(workspace, small.owner, other.id)
    assert newest(small) == "A link by which one person could have joined was taken back."
    cookie, token = signing_in.sign_in(workspace, "bob", WORDS, address=""), make_token(workspace, bob)
    with reading(workspace.engine) as session:
        kept = json.dumps([event.model_dump() for event in session.exec(select(Event)).all()])
    shown = json.dumps([event.model_dump() for event in told(small)])
    for hidden in (WORDS, secret, other.path.removeprefix("/join/"), cookie, token, "$argon2"):
        assert hidden not in kept and hidden not in shown
