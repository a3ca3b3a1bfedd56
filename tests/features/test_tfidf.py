"""TF-IDF: words can be told what they add; any script is read."""

import numpy as np

from labeling.features.base import Content
from labeling.features.tfidf import READ, Tfidf
from tests.features.contents import WORDS, sentences


def test_each_word_is_told_what_it_adds_along_a_direction():
    items = sentences(60)
    encoder = Tfidf.fit(items)
    vectors = encoder.encode(items)
    sport = vectors[::2].mean(axis=0) - vectors[1::2].mean(axis=0)
    terms, weights = encoder.term_weights(np.stack([sport, -sport]))
    assert weights.shape == (2, len(terms)) and len(set(terms)) == len(terms)
    assert not any(" " in term for term in terms)
    added = dict(zip(terms, weights[0], strict=True))
    assert min(added[word] for word in WORDS["sport"].split()) > 0
    assert max(added[word] for word in WORDS["money"].split()) < 0
    assert np.allclose(weights[0], -weights[1])


def test_a_text_is_as_long_as_any_other_and_one_of_unknown_words_is_nothing():
    encoder = Tfidf.fit(sentences(60))
    vectors = encoder.encode([*sentences(4), Content(text="goal " * 1000), Content(text="§§§ 猫")])
    assert np.allclose(np.linalg.norm(vectors[:5], axis=1), 1, atol=1e-5)
    assert (vectors[5] == 0).all()


def test_scripts_without_spaces_are_told_apart_by_their_letters():
    texts = [Content(text=text) for text in ["今日は天気がいい日です", "株価が大きく下がりました"] * 10]
    vectors = Tfidf.fit(texts).encode(texts)
    assert vectors[0] @ vectors[2] > 0.99 > 0.5 > vectors[0] @ vectors[1]


def test_only_the_beginning_of_a_huge_text_is_read():
    encoder = Tfidf.fit(sentences(60))
    start = ("goal match " * READ)[:READ]
    both = encoder.encode([Content(text=start), Content(text=start + " bank share" * 1000)])
    assert np.array_equal(both[0], both[1])
