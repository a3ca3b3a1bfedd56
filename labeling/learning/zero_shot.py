"""The zero-shot start: what the words for the classes say, before and beside labels.

A class has texts: its own prompts, or else its name put into templates. An encoder that understands words turns them
into vectors, one a class. Centred on their own mean, which also removes the gap that CLIP leaves between words and
images, and seen through the pool's prior as every item is, they are rows like any other: one for each class, with a
weight, beside the labels that the head learns from. With no label yet, the head is the zero-shot classifier.

Before labels say how far to trust the pool's shape, the words do: the power of the prior is the one in which they tell
the pool's items apart most clearly.

Words may be wrong. From ten labels on their weight is chosen by how likely it makes labels that were held out, so that
good ones stay and others fade, and so is the temperature of the probabilities. A class without any label keeps its
words in any case: else the model would forget it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.model_selection import KFold

from labeling.features.base import Kind
from labeling.features.encoding import ENCODERS
from labeling.features.matrix import FeatureMatrix
from labeling.features.prior import PoolPrior
from labeling.features.words import knows_words
from labeling.learning.choice import FLOOR, FOLDS, MANY, Choice, choose, choose_power, is_due
from labeling.learning.head import LinearHead, fit_head
from labeling.projects import Settings

TEMPLATES: dict[Kind | None, tuple[str, ...]] = {
    "image": ("{}", "a photo of a {}.", "an image of a {}."),
    "text": ("{}",),
}
POWERS = (0.0, 0.25, 0.5, 1.0, 1.5)
NEAR = 0.97  # of the greatest margin
LOOKED_AT = 2000  # rows at most whose margins are measured
TRUSTED = 30.0  # labels that the words of a class count as much as, while nothing speaks against them
WEIGHTS = (TRUSTED, 3.0, 0.0)
FEWEST = 10  # labels that can speak against words
MOST_CLASSES = 60  # among which they are asked: that takes 40 fits
EVIDENCE = 2.5  # of log likelihood, against words: ten labels often speak against good ones by less
UNSEEN = 3.0  # the weight of the words of a class that has no label
STRENGTHS = 0.3, 5.0  # C of scikit-learn: how far a few labels may pull the head from its words, at first and at last
LABELS_EACH = 30.0  # labels by which it rises by one
ALONE = 10.0  # C, at least, of labels that do without words
START = 0.5  # temperature before labels speak: on digits, AG News and TREC it brings confidence nearer to accuracy
TEMPERATURES = np.geomspace(0.2, 2, 24)
SPREAD = 1.0  # of the logarithm of a temperature, before labels speak: from a third to three times


@dataclass(frozen=True)
class Words:
    """Vectors (k, d) of the words for each class, in the encoder's space; k at least 2."""

    vectors: NDArray[np.float32]

    def see(self, prior: PoolPrior, power: float) -> NDArray[np.float64]:
        """The words as the pool's prior shows items: (k, r), of unit length."""
        seen = (self.vectors - self.vectors.mean(axis=0)) @ prior.turn(power)
        lengths = np.linalg.norm(seen, axis=1, keepdims=True)
        return np.asarray(seen / np.where(lengths > 0, lengths, 1), dtype=np.float64)


def texts_of(name: str, prompts: Sequence[str], templates: Sequence[str], kind: Kind | None) -> list[str]:
    """The texts that stand for a class: its prompts as they are, or else its name in each template."""
    return list(prompts) or [template.replace("{}", name) for template in templates or TEMPLATES.get(kind, ("{}",))]


def words_of(
    matrix: FeatureMatrix,
    settings: Settings,
    classes: Sequence[tuple[str, Sequence[str]]],
    *,
    read: Callable[[FeatureMatrix, Sequence[str]], NDArray[np.float32] | None],
) -> Words | None:
    """The words for a project's classes, each the mean of its texts' vectors.

    Parameters
    ----------
    classes
        Name and prompts of each.
    read
        `labeling.features.words.embed_words`, where the encoder may be loaded, or `known_words`.

    Returns
    -------
    Words or None
        None where words do not count: with fewer than two classes, another head than the default, or an encoder that
        knows none; or where they are not known.

    Raises
    ------
    Unavailable
        If the encoder's weights, which embed them, cannot be had.
    """
    if settings.head != "default" or len(classes) < 2 or not knows_words(matrix):
        return None
    kind = ENCODERS[matrix.layout.encoder].kind
    texts = [texts_of(name, prompts, settings.templates, kind) for name, prompts in classes]
    vectors = read(matrix, [text for of_class in texts for text in of_class])
    if vectors is None:
        return None
    ends = np.cumsum([len(of_class) for of_class in texts])
    return Words(np.stack([part.mean(axis=0) for part in np.split(vectors, ends[:-1])]))


def power_of_words(prior: PoolPrior, features: NDArray[Any], words: Words) -> float:
    """The power of the prior in which words part the pool's ``features`` (n, d) best, while there are no labels.

    That is the smallest whose mean margin, between the two classes whose words an item is most like, is near the
    greatest. On features in which the pool's main directions are its classes (sentence embeddings, say) that is a high
    power, where variance says nothing (a small model trained on nothing but these classes) a low one, and in both cases
    it is near the most accurate (`tests/benchmarks/bench_words.py`).
    """
    rows = features[np.unique(np.linspace(0, len(features) - 1, LOOKED_AT).astype(np.intp))]
    margins = {}
    for power in POWERS:
        likeness = np.sort(prior.see(rows, power) @ words.see(prior, power).T, axis=1)
        margins[power] = float((likeness[:, -1] - likeness[:, -2]).mean())
    return min(power for power in POWERS if margins[power] >= NEAR * max(margins.values()))


def choose_with_words(
    words: Words,
    prior: PoolPrior,
    features: NDArray[Any],
    labeled: NDArray[np.integer],
    targets: NDArray[np.integer],
    before: Choice,
    *,
    seed: int = 0,
) -> Choice:
    """Choose what a head with words is fitted with: the prior's power, the words' weight, C, and the temperature.

    From ten labels on all are those that make held-out labels the likeliest; the power is the words' own
    (`power_of_words`) or the one that the labels alone would have (`labeling.learning.choice`). Of more than
    `MOST_CLASSES` classes that would take too long, and words are trusted. Many labels do without words.

    Parameters
    ----------
    features : (n, d) array
        The pool.
    labeled, targets : (l,) int
        Rows with a label, and its class index.
    before
        What was chosen last; it stays while there are hardly more labels.
    """
    count = len(targets)
    if not is_due(count, before):
        return before
    rows, strength = np.asarray(features[labeled]), float(np.clip(count / LABELS_EACH, *STRENGTHS))
    if count >= MANY:
        return choose(lambda power: prior.see(rows, power), targets, before, seed=seed)
    own = power_of_words(prior, features, words)
    if count < FEWEST or len(words.vectors) > MOST_CLASSES or len(np.unique(targets)) < 2:
        return Choice(own, strength, 0, TRUSTED, START)
    of_labels = choose_power(lambda power: prior.see(rows, power), targets)
    tried = [
        Choice(power, c, count, weight)
        for power in dict.fromkeys((own, of_labels))
        for weight, c in (*((weight, strength) for weight in WEIGHTS), (0.0, max(ALONE, strength)))
    ]
    logits = {
        choice: _held_out(choice, words.see(prior, choice.power), prior.see(rows, choice.power), targets, seed)
        for choice in tried
    }
    tempered = {choice: _tempered(choice, logits[choice], targets) for choice in tried}
    likely = {choice: _log_likelihood(logits[choice] / tempered[choice].temperature, targets) for choice in tried}
    trusted = max((choice for choice in tried if choice.weight == TRUSTED), key=likely.__getitem__)
    best = max(tried, key=likely.__getitem__)
    return tempered[best if likely[best] >= likely[trusted] + EVIDENCE else trusted]


def _held_out(
    choice: Choice, words: NDArray[np.float64], rows: NDArray[Any], targets: NDArray[np.integer], seed: int
) -> NDArray[np.float64]:
    """Logits (l, k) of labeled rows (l, r), each under a head that was not told its label."""
    logits = np.full((len(targets), len(words)), -np.inf)
    fit = partial(fit_like(choice, words), unlabeled=np.bincount(targets, minlength=len(words)) == 0)
    rows = rows.astype(np.float64)
    for learned, kept in KFold(FOLDS, shuffle=True, random_state=seed).split(rows):
        head = fit(rows[learned], targets[learned])
        logits[np.ix_(kept, head.classes)] = np.log(np.maximum(head.predict_proba(rows[kept]), 1e-300))
    return logits


def _log_likelihood(logits: NDArray[np.float64], targets: NDArray[np.integer]) -> float:
    """Of labels (l,) that were held out, each no less than `FLOOR`."""
    likely = softmax(logits, axis=1)[np.arange(len(targets)), targets]
    return float(np.log(np.maximum(likely, FLOOR)).sum())


def _tempered(choice: Choice, logits: NDArray[np.float64], targets: NDArray[np.integer]) -> Choice:
    """A choice with the temperature that suits labels (l,) that were held out."""
    best = max(TEMPERATURES, key=lambda temperature: _log_posterior(temperature, logits, targets))
    return replace(choice, temperature=float(best))


def _log_posterior(temperature: float, logits: NDArray[np.float64], targets: NDArray[np.integer]) -> float:
    return _log_likelihood(logits / temperature, targets) - (np.log(temperature) / SPREAD) ** 2 / 2


def fit_with_words(
    rows: NDArray[Any],
    targets: NDArray[np.integer],
    words: NDArray[np.float64],
    *,
    weight: float,
    strength: float,
    temperature: float = 1.0,
    unlabeled: NDArray[np.bool_] | None = None,
    weights: NDArray[np.floating] | None = None,
) -> LinearHead:
    """A head (`fit_head`) on labels ``targets`` (l,) of ``rows`` (l, r), and on words (k, r) of classes 0 to k - 1.

    ``unlabeled`` (k,) says which classes have no label anywhere, where there are more labels than these; ``weights``
    (l,) how much each label counts.
    """
    if unlabeled is None:
        unlabeled = np.bincount(targets, minlength=len(words)) == 0
    heed = np.where(unlabeled, max(weight, UNSEEN), weight)
    said = np.flatnonzero(heed)
    head = fit_head(
        np.concatenate([rows, words[said]]),
        np.concatenate([targets, said]),
        strength=strength,
        weights=np.concatenate([np.ones(len(targets)) if weights is None else weights, heed[said]]),
        informed=True,
    )
    return replace(head, temperature=temperature)


def fit_like(choice: Choice, words: NDArray[np.float64]) -> Callable[..., LinearHead]:
    """What makes heads of rows (l, r) and labels (l,) with words (k, r), as was chosen."""
    return partial(
        fit_with_words,
        words=words,
        weight=choice.weight,
        strength=choice.strength,
        temperature=choice.temperature,
    )


def zero_shot_head(words: NDArray[np.float64]) -> LinearHead:
    """The head that the words (k, r) alone make."""
    nothing = np.empty((0, words.shape[1])), np.empty(0, dtype=np.intp)
    return fit_with_words(*nothing, words, weight=TRUSTED, strength=STRENGTHS[0], temperature=START)
