"""A linear head told in words: through the view back to the encoder, and kept with the head."""

import numpy as np
import pytest
from sqlmodel import select

from labeling.annotation.keywords import Keywords, load_keywords
from labeling.db.engine import reading
from labeling.db.schema import ModelVersion
from labeling.features.base import Content
from labeling.features.encoding import encode_project
from labeling.features.pixels import Pixels
from labeling.features.prior import PoolPrior, View
from labeling.features.table import Table
from labeling.features.tfidf import Tfidf
from labeling.learning import keywords
from labeling.learning.head import LinearHead, fit_head
from labeling.learning.keywords import tell
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject

VOCABULARY = ["goal", "match", "bank", "market", "virus", "cell", "the", "of"]
ONE_TO_ONE = np.eye(8, dtype=np.float32)


def of_words(directions: np.ndarray) -> Tfidf:
    return Tfidf(VOCABULARY, [], np.ones(8, dtype=np.float32), directions)


@pytest.mark.parametrize("power", [None, 0.0, 1.5])
def test_each_class_is_told_in_its_own_words(power: float | None):
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 400)
    counts = rng.poisson(0.2, (400, 8)).astype(float)
    for word, of in enumerate((0, 0, 1, 1, 2, 2)):
        counts[targets == of, word] += rng.poisson(1.5, (targets == of).sum())
    counts[:, 6:] += rng.poisson(2, (400, 2))
    mixture = np.linalg.qr(rng.normal(size=(8, 8)))[0].astype(np.float32)
    rows = (counts @ mixture).astype(np.float32)
    prior = PoolPrior.measured(rows)
    view = None if power is None else View("prior", prior, power)
    head = fit_head(rows if view is None else prior.see(rows, view.power), targets, strength=10)
    known = tell(of_words(mixture), head, view, [71, 72, 73])
    assert known is not None and not known.columns
    assert [set(list(known.terms[class_id])[:2]) for class_id in (71, 72, 73)] == [
        {"goal", "match"},
        {"bank", "market"},
        {"virus", "cell"},
    ]
    assert all(weight > 0 for weights in known.terms.values() for weight in weights.values())


def test_columns_are_told_by_all_that_comes_from_them():
    rows = [{"age": age, "site": "north" if age % 2 else "south", "same": 1} for age in range(40)]
    table = Table.fit([Content(fields=row) for row in rows])
    features, targets = table.encode([Content(fields=row) for row in rows]), np.arange(40) % 2
    known = tell(table, fit_head(features, targets, strength=10), None, [71, 72])
    assert known == Keywords({}, ["site", "age"])


def test_what_cannot_be_named_is_not_told():
    head = LinearHead(np.array([0, 1]), np.eye(2), np.zeros(2), 1.0)
    assert tell(Pixels(), head, None, [71, 72]) is None


def test_with_many_classes_each_keeps_fewer_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keywords, "IN_ALL", 6)
    coef = np.kron(np.eye(3), [3.0, 2.0, 1.0])[:, :8]
    known = tell(of_words(ONE_TO_ONE), LinearHead(np.arange(3), coef, np.zeros(3), 1.0), None, [71, 72, 73])
    assert known is not None
    assert [list(weights) for weights in known.terms.values()] == [
        ["goal", "match"],
        ["market", "virus"],
        ["the", "of"],
    ]


def test_a_model_version_of_texts_is_published_with_its_words(workspace: Workspace):
    small = SmallProject.make(workspace, items=0, strategy="margin", classes=("sport", "money"))
    texts = [f"the team won match {n}" if n % 2 == 0 else f"the bank lent money {n}" for n in range(30)]
    items = [small.add_items(1, text=text)[0] for text in texts]
    encode_project(workspace, small.id)
    for row in range(6):
        small.answer(small.people[0], items[row], small.classes[row % 2])
    small.learn()
    with reading(workspace.engine) as session:
        (path,) = session.exec(select(ModelVersion.path)).all()
    assert path is not None
    known = load_keywords(workspace.head(path))
    sport, money = (known.found_in("The team sold its match to a bank with money.", c) for c in small.classes)
    assert (set(sport), set(money)) == ({"team", "match"}, {"bank", "money"})
