"""What holds for every encoder that makes vectors of items."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from labeling.features.arrays import load_arrays, save_arrays
from labeling.features.base import Content, Encoder
from labeling.features.brought import Brought
from labeling.features.encoding import ENCODERS
from labeling.features.pretrained import Pretrained
from labeling.projects import ENCODERS as NAMED
from tests.features.contents import encoded, rows, sentences, shapes

ITEMS = {"image": shapes(60), "text": sentences(60), "row": rows(60)}
FLAT = Content(image=encoded(Image.new("L", (32, 32), 7)))
ODD = {
    "image": [FLAT, Content(image=encoded(Image.new("RGBA", (3, 200), (9, 8, 7, 0))))],
    "text": [Content(text=""), Content(text="\n"), Content(text="ß猫" * 9), Content(text="!" * 50_000)],
    "row": [
        Content(fields={}),
        Content(fields={"size": 10**400, "colour": ["a", {"b": 1}], "new": None}),
        Content(fields={"size": "1e999", "colour": 3, "unheard of": 1}),
    ],
}
# Those that come with weights of somebody else's have tests of their own.
MAKING = [name for name, kind in ENCODERS.items() if name != Brought.name and not issubclass(kind, Pretrained)]


@pytest.fixture(scope="module")
def fitted() -> dict[str, Encoder]:
    return {name: ENCODERS[name].fit(ITEMS[ENCODERS[name].kind or ""]) for name in MAKING}


def items_of(encoder: Encoder) -> list[Content]:
    assert encoder.kind is not None
    return ITEMS[encoder.kind]


def test_settings_name_the_encoders_that_there_are():
    assert set(NAMED) == {"auto", *ENCODERS}


@pytest.mark.parametrize("name", MAKING)
def test_vectors_have_their_width_and_are_finite(fitted: dict[str, Encoder], name: str):
    encoder = fitted[name]
    vectors = encoder.encode([*items_of(encoder), *ODD[encoder.kind or ""]])
    assert vectors.dtype == np.float32
    assert vectors.shape == (60 + len(ODD[encoder.kind or ""]), encoder.width)
    assert np.isfinite(vectors).all()
    assert vectors.std(axis=0).max() > 0.01


@pytest.mark.parametrize("name", MAKING)
def test_an_item_has_the_same_vector_in_any_company(fitted: dict[str, Encoder], name: str):
    encoder, items = fitted[name], items_of(fitted[name])
    together = encoder.encode(items)
    assert np.allclose(encoder.encode(items[7:8]), together[7:8], atol=1e-5)
    assert np.allclose(encoder.encode(items[::-1]), together[::-1], atol=1e-5)


@pytest.mark.parametrize("name", MAKING)
def test_what_was_saved_is_the_same_encoder(fitted: dict[str, Encoder], name: str, tmp_path):
    encoder, items = fitted[name], items_of(fitted[name])
    save_arrays(tmp_path / "encoder.npz", encoder.state)
    again = type(encoder).restore(encoder.parameters, load_arrays(tmp_path / "encoder.npz", "It"))
    assert (again.version, again.width) == (encoder.version, encoder.width)
    assert np.array_equal(again.encode(items[:5]), encoder.encode(items[:5]))


@pytest.mark.parametrize("name", MAKING)
def test_the_same_sample_teaches_the_same_and_another_something_else(fitted: dict[str, Encoder], name: str):
    encoder, items = fitted[name], items_of(fitted[name])
    assert type(encoder).fit(items).version == encoder.version
    assert (type(encoder).fit(items[:30]).version != encoder.version) == bool(encoder.sample)
    assert encoder.version.startswith(f"{name}-")


@pytest.mark.parametrize("name", MAKING)
def test_one_item_or_items_that_say_nothing_are_enough_to_begin(fitted: dict[str, Encoder], name: str):
    kind = fitted[name].kind
    nothing = {"image": FLAT, "text": Content(text=""), "row": Content(fields={"a": 1})}[kind or ""]
    for pool in (items_of(fitted[name])[:1], [nothing], [nothing] * 9):
        vectors = type(fitted[name]).fit(pool).encode([*pool, items_of(fitted[name])[3]])
        assert vectors.shape[0] == len(pool) + 1 and vectors.shape[1] >= 1
        assert np.isfinite(vectors).all()


@pytest.mark.parametrize("name", MAKING)
def test_no_items_are_no_rows(fitted: dict[str, Encoder], name: str):
    assert fitted[name].encode([]).shape == (0, fitted[name].width)


@pytest.mark.parametrize("name", ["patches", "hog", "tfidf", "table"])
def test_items_of_one_class_are_nearer_to_each_other(name: str):
    encoder = ENCODERS[name].fit(ITEMS[ENCODERS[name].kind or ""])
    vectors = encoder.encode(items_of(encoder))
    vectors = vectors - vectors.mean(axis=0)
    middles = [vectors[n::2].mean(axis=0) for n in (0, 1)]
    nearer = [
        np.linalg.norm(v - middles[n % 2]) < np.linalg.norm(v - middles[1 - n % 2]) for n, v in enumerate(vectors)
    ]
    assert np.mean(nearer) > 0.9


def test_content_knows_what_it_is():
    text = Content(text="")
    assert (text.kind, Content(image=b"").kind, Content(fields={}).kind, replace(text, text=None).kind) == (
        "text",
        "image",
        "row",
        None,
    )
