"""Items that are nearly the same: found whatever the order, put together around the first, and asked once if wanted."""

import csv
import gzip
import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from sqlmodel import insert, select

from labeling import jobs
from labeling.annotation import queue
from labeling.db.engine import reading, writing
from labeling.db.schema import Item, JobKind
from labeling.errors import NotAllowed
from labeling.intake.near_duplicates import candidates, link_near_duplicates, read_near_duplicates, request_look
from labeling.learning.snapshot import take_snapshot
from labeling.learning.worker import work_off
from labeling.projects import update_settings
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, not_waiting_for_the_disk

SHARED = Path(__file__).parents[3] / "shared" / "data"
WORDS = ("once", "upon", "a", "time", "there", "was")
SUBJECTS = ("harbour", "orchard", "theatre", "quarry", "library", "glacier")


def text_of(subject: str) -> str:
    return " ".join(f"{subject} {word} {number}" for number, word in enumerate(WORDS))


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    return SmallProject.make(not_waiting_for_the_disk(workspace), items=0)


def add(small: SmallProject, *texts: str) -> tuple[int, ...]:
    return tuple(
        item for text in texts for item in small.add_items(1, text=text, content_hash=text[:60] + str(len(text)))
    )


def near(small: SmallProject) -> dict[int, int | None]:
    with reading(small.workspace.engine) as session:
        return dict(session.exec(select(Item.id, Item.near_id).where(Item.project_id == small.id)).all())


def look(small: SmallProject) -> None:
    assert link_near_duplicates(small.workspace, small.id)


def test_items_that_are_nearly_the_same_are_named_by_the_first(small: SmallProject):
    one, other, again, alone = add(
        small, text_of("harbour"), text_of("orchard"), text_of("harbour").upper() + "!", text_of("quarry")
    )
    look(small)
    assert near(small) == {one: one, other: None, again: one, alone: None}


def test_a_second_import_joins_the_groups_that_are_there(small: SmallProject):
    one, two = add(small, text_of("harbour"), text_of("orchard"))
    look(small)
    assert set(near(small).values()) == {None}
    three, four = add(small, text_of("orchard") + ".", text_of("harbour") + "…")
    look(small)
    assert near(small) == {one: one, two: two, three: two, four: one}
    (five,) = add(small, text_of("harbour") + " !")
    look(small)
    assert near(small)[five] == one


def test_likeness_is_not_handed_on(small: SmallProject):
    """Each differs from the one before in a few words: the last has nothing to do with the first."""
    words = [f"word{i}" for i in range(60)]
    chain = []
    for step in range(10):
        chain.append(" ".join(words))
        for at in range(3):
            words[(step * 3 + at) * 2] = f"other{step}x{at}"
    ids = add(small, *chain)
    look(small)
    found = near(small)
    assert found[ids[1]] == ids[0]
    assert found[ids[-1]] != ids[0]


def test_it_goes_on_where_it_was_stopped(small: SmallProject, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("labeling.intake.near_duplicates.CHUNK", 2)
    ids = add(small, *(text_of(subject) for subject in SUBJECTS), text_of("glacier") + "?")
    turns = iter([False, False, True])
    assert not link_near_duplicates(small.workspace, small.id, cancelled=lambda: next(turns))
    with reading(small.workspace.engine) as session:
        prints = session.exec(select(Item.fingerprint).order_by(Item.id)).all()  # type: ignore[arg-type]
    assert [found is not None for found in prints] == [True] * 4 + [False] * 3
    told: list[float] = []
    assert link_near_duplicates(small.workspace, small.id, progress=lambda share, _: told.append(share))
    assert near(small)[ids[6]] == ids[5]
    assert told == sorted(told) and told[-1] <= 1


def test_what_was_looked_at_is_not_looked_at_again(small: SmallProject):
    add(small, text_of("harbour"))
    look(small)
    told: list[str] = []
    assert link_near_duplicates(small.workspace, small.id, progress=lambda _, line: told.append(line))
    assert told == []


def test_rows_and_missing_images_are_passed_over(small: SmallProject):
    small.add_items(2, fields={"a": 1})
    small.add_items(2, media="ab" * 32)
    look(small)
    assert set(near(small).values()) == {None}


def test_the_first_of_a_group_is_asked_and_the_others_only_where_the_project_wants_it(small: SmallProject):
    one, again, alone = add(small, text_of("harbour"), text_of("harbour") + "!", text_of("quarry"))
    look(small)

    def asked() -> set[int]:
        claims = queue.claim(small.workspace, small.people[0], small.id, 10)
        queue.release(small.workspace, small.people[0], small.id, [c.assignment_id for c in claims])
        assert {c.item.id for c in claims} == set(take_snapshot(small.workspace, small.id, rows=3).open_items.tolist())
        return {c.item.id for c in claims}

    assert asked() == {one, again, alone}
    update_settings(small.workspace, small.owner, small.id, {"near_duplicates": "once"})
    assert asked() == {one, alone}
    assert queue.count_remaining(small.workspace, small.people[0], small.id) == 2


def test_the_worker_looks_after_an_import_and_when_an_owner_asks(small: SmallProject):
    one, again = add(small, text_of("harbour"), text_of("harbour") + "!")
    with pytest.raises(NotAllowed):
        request_look(small.workspace, small.people[0], small.id)
    request_look(small.workspace, small.owner, small.id)
    job = jobs.take(small.workspace, "nobody", kinds={JobKind.ENCODE})
    assert job is not None and job.id is not None
    with writing(small.workspace.engine) as session:
        jobs.cancel(session, job.id)
        asked = jobs.request(session, small.id, JobKind.ENCODE).id
    assert asked is not None
    work_off(small.workspace, asked, lambda _share, _line: None)
    assert near(small) == {one: one, again: one}


def test_groups_are_shown_the_largest_first_with_their_labels(small: SmallProject):
    ids = add(
        small, text_of("harbour"), text_of("harbour") + "!", text_of("quarry"), text_of("quarry") + "!",
        text_of("quarry") + "?", text_of("library"),
    )  # fmt: skip
    small.answer(small.people[0], ids[2])
    look(small)
    found = read_near_duplicates(small.workspace, small.people[0], small.id, limit=1, members=2)
    assert (found.items, found.groups, found.looked_at) == (5, 2, 6)
    (group,) = found.shown
    assert group.items == 3
    assert [(m.item_id, m.label) for m in group.members] == [(ids[2], "cat"), (ids[3], None)]
    second = read_near_duplicates(small.workspace, small.owner, small.id, offset=1)
    assert [[m.item_id for m in g.members] for g in second.shown] == [[ids[0], ids[1]]]


def pairs_of(prints: np.ndarray, new_from: int = 0) -> set[tuple[int, int]]:
    return {(int(a), int(b)) for pairs in candidates(prints, new_from) for a, b in pairs}


@given(
    base=st.integers(-(2**63), 2**63 - 1), flips=st.lists(st.integers(0, 63), max_size=6, unique=True),
    seed=st.integers(0, 99), new_from=st.integers(0, 40),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_no_pair_of_up_to_six_bits_is_missed(base: int, flips: list[int], seed: int, new_from: int):
    rng = np.random.default_rng(seed)
    prints = rng.integers(-(2**63), 2**63 - 1, 40, dtype=np.int64)
    a, b = sorted(rng.choice(40, 2, replace=False).tolist())
    prints[a] = base
    bits = np.array([base], dtype=np.int64).view(np.uint64)
    for flip in flips:
        bits ^= np.uint64(1) << np.uint64(flip)
    prints[b] = bits.view(np.int64)[0]
    assert ((a, b) in pairs_of(prints, new_from)) == (b >= new_from)


def test_a_crowd_of_equal_fingerprints_is_not_paired_with_itself_in_full():
    batches = [len(pairs) for pairs in candidates(np.full(1000, 7, dtype=np.int64))]
    assert len(batches) == 28 and max(batches) < 1000 * 41


def test_a_crowd_that_only_looks_alike_costs_a_few_looks_each(small: SmallProject, monkeypatch: pytest.MonkeyPatch):
    looks = []

    def never(one: object, other: object) -> bool:
        looks.append((one, other))
        return False

    monkeypatch.setattr("labeling.intake.near_duplicates.alike_texts", never)
    ids = add(small, *(f"{text_of('harbour')} {number}" for number in range(60)))
    with writing(small.workspace.engine) as session:
        for item in session.exec(select(Item)).all():
            item.fingerprint = 7
    look(small)
    assert set(near(small).values()) == {None}
    assert len(ids) * 6 <= len(looks) <= len(ids) * 12


def link_all(workspace: Workspace, rows: list[dict[str, object]]) -> tuple[dict[str, int], dict[str, int | None]]:
    """A project of these items, looked at: id and near id by name."""
    small = SmallProject.make(workspace, items=0, name="planted")
    common = {"project_id": small.id, "meta": {}, "answers": 0, "created": 0.0}
    with writing(workspace.engine) as session:
        values = [{**common, "row": at, **row} for at, row in enumerate(rows)]
        session.connection().execute(insert(Item), values)
    look(small)
    with reading(workspace.engine) as session:
        found = session.exec(select(Item.id, Item.external_id, Item.near_id)).all()
    return {name: i or 0 for i, name, _ in found}, {name: near_id for _, name, near_id in found}


def recall(planted: Mapping[str, str], ids: Mapping[str, int], near_ids: Mapping[str, int | None]) -> dict[str, float]:
    """The share of the planted copies, by kind, that are in one group with what they are copies of."""
    hits: dict[str, list[bool]] = {}
    for copy, original in planted.items():
        same = near_ids[copy] is not None and near_ids[copy] in (near_ids[original], ids[original])
        hits.setdefault(copy.split("|")[0], []).append(same)
    return {kind: float(np.mean(found)) for kind, found in hits.items()}


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "cifar10h.zip").exists(), reason="needs ../shared/data/cifar10h.zip")
def test_copies_planted_among_photos_are_found_and_nothing_else(workspace: Workspace):
    """600 copies of 6,000 CIFAR-10 images; besides, 16 pairs of CIFAR-10's own are found, and all are such."""
    not_waiting_for_the_disk(workspace)
    rng = np.random.default_rng(0)

    def trimmed(picture: Image.Image) -> Image.Image:
        left, top, right, bottom = (int(n) for n in rng.integers(0, 2, 4))
        return picture.crop((left or 1, top, 32 - right, 32 - bottom)).resize((32, 32), Image.Resampling.BICUBIC)

    def compressed(picture: Image.Image) -> Image.Image:
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=50)
        return Image.open(out).convert("RGB")

    changes = {
        "dark": lambda p: ImageEnhance.Brightness(p).enhance(0.7),
        "bright": lambda p: ImageEnhance.Brightness(p).enhance(1.3), "trimmed": trimmed, "compressed": compressed,
    }  # fmt: skip
    rows: list[dict[str, object]] = []

    def put(name: str, picture: Image.Image) -> None:
        out = io.BytesIO()
        picture.save(out, "PNG", compress_level=1)
        content_hash = hashlib.sha256(out.getvalue()).hexdigest()
        path = workspace.media(content_hash)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(out.getvalue())
        rows.append({"external_id": name, "content_hash": content_hash, "media": content_hash})

    with zipfile.ZipFile(SHARED / "cifar10h.zip") as pool:
        names = sorted(name for name in pool.namelist() if name.endswith(".jpg"))
        pictures = {name: Image.open(io.BytesIO(pool.read(name))).convert("RGB") for name in names}
    for name, picture in pictures.items():
        put(name, picture)
    planted = {}
    for at, original in enumerate(rng.choice(names, 600, replace=False).tolist()):
        kind = list(changes)[at % len(changes)]
        planted[f"{kind}|{original}"] = original
        put(f"{kind}|{original}", changes[kind](pictures[original]))
    ids, near_ids = link_all(workspace, rows)
    found = recall(planted, ids, near_ids)
    assert found["dark"] == 1 and min(found["bright"], found["compressed"]) >= 0.95 and found["trimmed"] >= 0.85, found
    groups: dict[int, set[str]] = {}
    for name, near_id in near_ids.items():
        if near_id is not None:
            groups.setdefault(near_id, set()).add(planted.get(name, name))
    assert sum(len(group) > 1 for group in groups.values()) <= 20


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "agnews.csv.gz").exists(), reason="needs ../shared/data/agnews.csv.gz")
def test_copies_planted_among_news_are_found_and_nothing_else(workspace: Workspace):
    """600 copies of 7,600 articles; the newswire's own near-duplicates are found besides, and differ in few words."""
    not_waiting_for_the_disk(workspace)
    rng = np.random.default_rng(0)
    with gzip.open(SHARED / "agnews.csv.gz", "rt", encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]

    def without(text: str, count: int) -> str:
        words = text.split()
        gone = set(rng.choice(len(words), count, replace=False).tolist())
        return " ".join(word for at, word in enumerate(words) if at not in gone)

    def mistyped(text: str) -> str:
        words = text.split()
        words[int(rng.integers(len(words)))] += "x"
        return " ".join(words)

    changes = {
        "mistyped": mistyped, "two words less": lambda t: without(t, 2), "in capitals": str.upper,
        "longer": lambda t: t + " Read more on our site.",
    }  # fmt: skip
    rows: list[dict[str, object]] = [{"external_id": str(at), "text": text} for at, text in enumerate(texts)]
    planted = {}
    for at, original in enumerate(rng.choice(len(texts), 600, replace=False).tolist()):
        kind = list(changes)[at % len(changes)]
        planted[f"{kind}|{original}"] = str(original)
        rows.append({"external_id": f"{kind}|{original}", "text": changes[kind](texts[original])})
    for row in rows:
        row["content_hash"] = hashlib.sha256(str(row["external_id"]).encode()).hexdigest()
    ids, near_ids = link_all(workspace, rows)
    found = recall(planted, ids, near_ids)
    assert found["in capitals"] == 1 and min(found.values()) >= 0.9, found
    groups: dict[int, set[str]] = {}
    for name, near_id in near_ids.items():
        if near_id is not None:
            groups.setdefault(near_id, set()).add(planted.get(name, name))
    assert sum(len(group) > 1 for group in groups.values()) <= 35
