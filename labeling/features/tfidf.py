"""Words and the letters within them: texts as weighted counts, along the directions in which the pool varies most.

Counts grow with their logarithm and weigh the more the fewer texts have the term (TF-IDF); a truncated singular value
decomposition brings what occurs together to the same direction. All terms are kept by name, so that a word can be told
what it adds.

References
----------
Salton and Buckley, "Term-weighting approaches in automatic text retrieval", Information Processing and Management 24,
1988.
Deerwester et al., "Indexing by latent semantic analysis", JASIS 41, 1990.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from labeling.features.base import Content, Kind, State, as_array, from_array, version_of

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

MOST_WORDS, MOST_GRAMS = 30_000, 30_000  # the most frequent
WORDS = (1, 2)  # in a row
GRAMS = (3, 5)  # letters in a row, within a word and its edges
RARE_WORDS, RARE_GRAMS = 2, 3  # texts that a term must occur in, unless the pool is tiny
TINY = 50  # texts
GRAM_WEIGHT = 0.7  # of letters beside words
WIDTH = 256
READ = 20_000  # characters of a text that are looked at
CODE = 1
SEED = 0


@dataclass(frozen=True, eq=False)
class Tfidf:
    """TF-IDF of words and of letters within words, projected on the pool's main directions.

    Attributes
    ----------
    words, grams : list of str
        The vocabulary: words and pairs of words, and runs of letters.
    rarity : (words + grams,) float32
        The weight of each term (IDF).
    directions : (words + grams, width) float32
    """

    words: list[str]
    grams: list[str]
    rarity: NDArray[np.float32]
    directions: NDArray[np.float32]
    name: ClassVar[str] = "tfidf"
    kind: ClassVar[Kind | None] = "text"
    sample: ClassVar[int] = 10_000
    chunk: ClassVar[int] = 2000

    @classmethod
    def fit(cls, items: Sequence[Content]) -> Self:
        """Learn vocabulary, weights and directions from a sample of the pool."""
        from scipy.sparse import hstack
        from sklearn.utils.extmath import randomized_svd

        texts = _texts(items)
        words, rarity_of_words, of_words = _learned(_words(), texts, RARE_WORDS)
        grams, rarity_of_grams, of_grams = _learned(_grams(), texts, RARE_GRAMS)
        rarity = np.concatenate([rarity_of_words, rarity_of_grams])
        counts = hstack([of_words, GRAM_WEIGHT * of_grams], format="csr", dtype=np.float32)
        wanted = min(WIDTH, *counts.shape)
        if not wanted or not counts.nnz:
            return cls(words, grams, rarity, np.zeros((len(rarity), 1), dtype=np.float32))
        _, values, directions = randomized_svd(counts, wanted, n_oversamples=20, n_iter=4, random_state=SEED)
        real = max(1, int(np.count_nonzero(values > 1e-6 * values[0])))
        rounded = directions[:real].T.astype(np.float16).astype(np.float32)
        return cls(words, grams, rarity, np.ascontiguousarray(rounded))

    @classmethod
    def restore(cls, parameters: Mapping[str, int | str], state: State) -> Self:
        """The encoder that once had this state."""
        words, grams = from_array(state["words"]), from_array(state["grams"])
        return cls(words, grams, state["rarity"], state["directions"].astype(np.float32))

    @property
    def parameters(self) -> Mapping[str, int | str]:
        """All is in the state."""
        return {}

    @property
    def state(self) -> State:
        """The vocabulary as JSON in bytes, and arrays; directions in half precision, in which they were made."""
        return {
            "words": as_array(self.words), "grams": as_array(self.grams), "rarity": self.rarity,
            "directions": self.directions.astype(np.float16),
        }  # fmt: skip

    @property
    def version(self) -> str:
        """Name of the folder of its matrices."""
        return version_of(self.name, self.parameters, CODE, self.state)

    @property
    def width(self) -> int:
        """Length of a vector: 256, less where the pool had fewer texts to learn from."""
        return self.directions.shape[1]

    def encode(self, items: Sequence[Content]) -> NDArray[np.float32]:
        """Vectors of n items with texts: (n, width), of length 1; zero for a text with no known term."""
        texts, known = _texts(items), len(self.words)
        words, grams = (_count(reader, texts) for reader in self._readers)
        vectors = np.asarray(words @ self.directions[:known], dtype=np.float32)
        vectors += GRAM_WEIGHT * (grams @ self.directions[known:])
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.where(lengths > 0, lengths, 1)
        return vectors

    def term_weights(self, directions: NDArray[np.floating[Any]]) -> tuple[list[str], NDArray[np.float32]]:
        """What each word of the vocabulary adds along directions of the feature space.

        Parameters
        ----------
        directions : (k, width)
            Such as the rows of a head's weights, brought back to the encoder's own space.

        Returns
        -------
        terms : list of str
            The words, in lower case, as scikit-learn's `TfidfVectorizer` finds them: two letters or more.
        weights : (k, terms) float32
            For one occurrence of a word, before a text is brought to length 1.
        """
        single = [place for place, word in enumerate(self.words) if " " not in word]
        weights = np.asarray(directions, dtype=np.float32) @ self.directions[single].T
        return [self.words[place] for place in single], weights * self.rarity[single]

    @cached_property
    def _readers(self) -> "tuple[TfidfVectorizer | None, TfidfVectorizer | None]":
        known = len(self.words)
        return _knowing(_words(), self.words, self.rarity[:known]), _knowing(_grams(), self.grams, self.rarity[known:])


def _texts(items: Sequence[Content]) -> list[str]:
    return [(item.text or "")[:READ] for item in items]


def _words() -> "TfidfVectorizer":
    from sklearn.feature_extraction.text import TfidfVectorizer  # imported when used: it takes long

    return TfidfVectorizer(ngram_range=WORDS, sublinear_tf=True, dtype=np.float32, max_features=MOST_WORDS)


def _grams() -> "TfidfVectorizer":
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        analyzer="char_wb", ngram_range=GRAMS, sublinear_tf=True, dtype=np.float32, max_features=MOST_GRAMS
    )


def _learned(
    reader: "TfidfVectorizer", texts: list[str], rare: int
) -> "tuple[list[str], NDArray[np.float32], csr_matrix]":
    """The terms of some texts, their weights, and how the texts count them; none where the texts have no terms."""
    reader.set_params(min_df=1 if len(texts) < TINY else rare)
    try:
        counts = reader.fit_transform(texts)
    except ValueError:  # scikit-learn's word for an empty vocabulary
        return [], np.empty(0, dtype=np.float32), _count(None, texts)
    return list(map(str, reader.get_feature_names_out())), np.asarray(reader.idf_, dtype=np.float32), counts


def _knowing(reader: "TfidfVectorizer", terms: list[str], rarity: NDArray[np.float32]) -> "TfidfVectorizer | None":
    if not terms:
        return None
    reader.set_params(vocabulary={term: place for place, term in enumerate(terms)})
    reader.idf_ = rarity
    return reader


def _count(reader: "TfidfVectorizer | None", texts: list[str]) -> "csr_matrix":
    from scipy.sparse import csr_matrix

    if reader is None:
        return csr_matrix((len(texts), 0), dtype=np.float32)
    return reader.transform(texts or [""])[: len(texts)]  # scikit-learn takes no empty list
