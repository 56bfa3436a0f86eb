"""Text features of cheap students: TF-IDF or the embeddings of a frozen encoder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.clients.embedding import sentence_encoder
from hf_synthlabels.errors import DataError

FEATURES = "features"
"""The key of a student in a study file that names the encoder of its vectors."""

MAX_VECTORS = 200_000
"""Maximum number of cached embeddings per encoder."""

Columns = Sequence[Sequence[str]]
"""The texts of each text column."""


class FeatureMaker(Protocol):
    """Makes features of texts, after it has seen those to learn from."""

    def fitted(self, texts: Columns) -> Callable[[Columns], Any]:
        """What makes features, shape (rows, features), once it has seen texts.

        Raises:
            DataError: they have no word.
        """
        ...

    def saved(self, texts: Columns) -> float:
        """Seconds that were saved by what an earlier cell has made."""
        ...


def word_counters(texts: Columns) -> list[Any]:
    """For each text column what counts its words.

    Raises:
        DataError: a column has no word.
    """
    try:
        return [_counter().fit(column) for column in texts]
    except ValueError as error:
        raise DataError(f"`text` has no word in any of {len(texts[0])} rows: {error}. Give other rows.") from None


def restored_counter(words: Sequence[str], weights: Sequence[float]) -> Any:
    """A counter with the words, in their order, and the inverse document frequencies that an earlier one had."""
    counter = _counter(vocabulary={word: place for place, word in enumerate(words)})
    counter.idf_ = np.array(weights, dtype=np.float64)
    return counter


def _counter(**options: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    # A token of one character is a word too, as in Chinese.
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b", **options)


def counted_words(counters: Sequence[Any], texts: Columns) -> Any:
    """The counts of all columns side by side."""
    from scipy.sparse import hstack

    return hstack([one.transform(column) for one, column in zip(counters, texts, strict=True)], format="csr")


class WordCounts:
    """Words and pairs of words in each text column, side by side, weighted by how rare they are."""

    def fitted(self, texts: Columns) -> Callable[[Columns], Any]:
        """Learn the words."""
        counters = word_counters(texts)
        return lambda asked: counted_words(counters, asked)

    def saved(self, texts: Columns) -> float:  # noqa: ARG002
        """Nothing."""
        return 0.0


class SentenceVectors:
    """The vectors of an encoder that is not trained, of each text column side by side; made once in a process."""

    def __init__(self, model: str) -> None:
        """Take an encoder.

        Args:
            model: its name; it is loaded when it is first needed.
        """
        self._model = model
        self._made: dict[str, tuple[NDArray[Any], float]] = _vectors.setdefault(model, {})
        self._new: set[str] = set()

    def fitted(self, texts: Columns) -> Callable[[Columns], Any]:  # noqa: ARG002
        """There is nothing to learn."""
        return lambda asked: np.hstack([self._encoded(column) for column in asked])

    def saved(self, texts: Columns) -> float:
        """Seconds that these vectors took in an earlier cell."""
        return sum(self._made[text][1] for column in texts for text in column if text not in self._new)

    def _encoded(self, texts: Sequence[str]) -> NDArray[Any]:
        missing = list(dict.fromkeys(text for text in texts if text not in self._made))
        if missing:
            if self._model not in _encoders:
                _encoders[self._model] = sentence_encoder(self._model)
            if len(self._made) > MAX_VECTORS:
                self._made.clear()
                missing = list(dict.fromkeys(texts))
            began = time.perf_counter()
            vectors = _encoders[self._model](missing)
            each = (time.perf_counter() - began) / len(missing)
            self._made.update((text, (vector, each)) for text, vector in zip(missing, vectors, strict=True))
            self._new.update(missing)
        return np.stack([self._made[text][0] for text in texts])


_encoders: dict[str, Callable[[list[str]], NDArray[Any]]] = {}
_vectors: dict[str, dict[str, tuple[NDArray[Any], float]]] = {}
