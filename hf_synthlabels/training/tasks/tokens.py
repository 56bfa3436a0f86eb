"""TokenTask: entities, learnt as one tag for each word and read back by their characters."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from transformers import AutoModelForTokenClassification, EvalPrediction, PreTrainedTokenizerBase, Trainer

from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import Entity, LabelSchema, bio_tags, from_bio, to_bio, token_offsets
from hf_synthlabels.labels.text import UNSPACED
from hf_synthlabels.statistics.validation.label_columns import label_column, read_label
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.collators import Collator
from hf_synthlabels.training.data.features import LABELS, WEIGHT
from hf_synthlabels.training.data.training_rows import column_values
from hf_synthlabels.training.data.windows import Windows, cut_windows
from hf_synthlabels.training.evaluation.metrics import entity_metrics
from hf_synthlabels.training.prediction import Prediction
from hf_synthlabels.training.tasks.base import Head, LabelledRows, Metrics, Rows, labelled_rows
from hf_synthlabels.training.tasks.losses import IGNORED
from hf_synthlabels.training.tasks.objectives import Objective
from hf_synthlabels.training.tasks.token_objectives import TokenTags

# In scripts without spaces each character is a word, so that an entity may begin at any.
WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+|[^\w\s]")

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Text:
    """A row's text and the places of its words, first character and the one after the last."""

    text: str
    words: list[Place]


@dataclass(frozen=True, slots=True, eq=False)
class _Chosen:
    """Where each word of each row is read: the window, and the token in it. Shape (words of all rows, 4)."""

    table: NDArray[np.int64]
    """Row, word, window, token."""


@dataclass(frozen=True, slots=True)
class TokenTask:
    """Entities of a text, or of a list of tokens; then tags, one for each token, are labels as well."""

    config: StudentConfig
    schema: LabelSchema

    @property
    def objective(self) -> Objective:
        """Cross-entropy of each word's first token."""
        return TokenTags()

    @property
    def head(self) -> Head:
        """One output for each tag."""
        tags = bio_tags(self.schema)
        settings = {"id2label": dict(enumerate(tags)), "label2id": {tag: code for code, tag in enumerate(tags)}}
        return Head(AutoModelForTokenClassification, settings, "tag tokens")

    def rows(self, dataset: Dataset) -> LabelledRows:
        """The rows whose entities are known, there being none among them."""
        config, names = self.config, self.schema.names
        texts = _texts(dataset, config.text_columns[0])
        column = label_column(dataset, config.label_column, "token-classification")
        given = _token_lists(dataset, config.text_columns[0])
        found = labelled_rows(
            dataset,
            config.label_column,
            lambda row: read_label(
                column, row, "token-classification", names, None, None if given is None else given[row]
            ),
            names=names,
            weight_column=config.weight_column,
        )
        for row, places in zip(found.kept, found.labels, strict=True):
            for _, end, _ in places:
                if end > len(texts[row].text):
                    raise DataError(
                        f"`{config.label_column}` of row {row} has an entity that ends at {end}, and the text has "
                        f"{len(texts[row].text)} characters. Correct the row."
                    )
        return found

    def check(self, rows: Rows) -> None:
        """One entity at least must occur."""
        assert isinstance(rows, LabelledRows)
        if not any(rows.labels):
            raise DataError(
                f"`{self.config.label_column}` has no entity in any of {len(rows)} labelled rows. A student needs some."
            )

    def learnable(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Rows:  # noqa: ARG002
        """All of them."""
        return rows

    def features(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase, *, training: bool) -> Dataset:  # noqa: ARG002
        """Windows of tokens with a tag for the first token of each word, every word in one window only."""
        assert isinstance(rows, LabelledRows)
        texts = _texts(dataset.select(rows.kept), self.config.text_columns[0])
        windows, chosen = self._cut(texts, tokenizer)
        codes = {tag: code for code, tag in enumerate(bio_tags(self.schema))}
        tags = [
            to_bio(text.words, [Entity(start, end, "", label) for start, end, label in places])
            for text, places in zip(texts, rows.labels, strict=True)
        ]
        labels = [np.full(len(offsets), IGNORED, dtype=np.int64) for offsets in windows.offsets]
        for row, word, window, token in chosen.table.tolist():
            labels[window][token] = codes[tags[row][word]]
        features = windows.features.add_column(LABELS, [label.tolist() for label in labels])
        return features if rows.weights is None else features.add_column(WEIGHT, rows.weights[windows.rows].tolist())

    def collator(self, tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any] | None:
        """Labels are padded with the tokens."""
        return Collator(tokenizer)

    def metrics(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Metrics | None:
        """Strict precision, recall and F1 of the entities."""
        assert isinstance(rows, LabelledRows)
        texts = _texts(dataset.select(rows.kept), self.config.text_columns[0])
        _, chosen = self._cut(texts, tokenizer)

        def measured(prediction: EvalPrediction) -> dict[str, float]:
            found = [
                [(entity.start, entity.end, entity.label) for entity in row]
                for row in self._entities(texts, chosen, _log_probs(prediction.predictions)).labels
            ]
            return entity_metrics(found, rows.labels)

        return measured

    def predict(self, trainer: Trainer, dataset: Dataset) -> Prediction:
        """The entities of every row; a missing text has none.

        The confidence of a row is the product of its words' likeliest tags: how likely all of them are right together,
        if words were independent.
        """
        if not len(dataset):
            return Prediction(self.schema, (), np.empty(0), np.empty((0, 0)))
        texts = _texts(dataset, self.config.text_columns[0])
        windows, chosen = self._cut(texts, trainer.processing_class)
        outputs = trainer.predict(windows.features).predictions
        found = self._entities(texts, chosen, _log_probs(outputs))
        return Prediction(self.schema, found.labels, found.confidence, np.empty((len(dataset), 0)))

    def _cut(self, texts: Sequence[_Text], tokenizer: PreTrainedTokenizerBase) -> tuple[Windows, _Chosen]:
        config = self.config
        windows = cut_windows(
            [text.text for text in texts], tokenizer, max_length=config.max_length, stride=config.doc_stride
        )
        return windows, _choose(texts, windows)

    def _entities(self, texts: Sequence[_Text], chosen: _Chosen, log_probs: NDArray[np.float32]) -> _Found:
        tags = bio_tags(self.schema)
        said: list[list[str | None]] = [[None] * len(text.words) for text in texts]
        sure = np.zeros(len(texts))
        table = chosen.table
        values = log_probs[table[:, 2], table[:, 3]]
        np.add.at(sure, table[:, 0], values.max(axis=-1, initial=-np.inf))
        for (row, word), code in zip(table[:, :2].tolist(), values.argmax(axis=-1).tolist(), strict=True):
            said[row][word] = tags[code]
        for text, row in zip(texts, said, strict=True):
            _joined(text, row)
        entities = tuple(
            from_bio(text.words, [tag or "O" for tag in row], text.text) for text, row in zip(texts, said, strict=True)
        )
        return _Found(entities, np.exp(sure))


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """The entities of each row, and how likely all words of the row are right."""

    labels: tuple[tuple[Entity, ...], ...]
    confidence: NDArray[np.float64]


def _texts(dataset: Dataset, column: str) -> list[_Text]:
    """Texts with their words: those that are given, or those that a text has."""
    lists = _token_lists(dataset, column)
    if lists is not None:
        return [_Text(" ".join(words), token_offsets(words)) for words in lists]
    texts = []
    for row, value in enumerate(column_values(dataset, column, "text_columns")):
        if value is not None and not isinstance(value, str):
            raise DataError(
                f"`{column}` of row {row} is {value!r}, not text. Name a column of texts or of token lists."
            )
        text = value or ""
        texts.append(_Text(text, [match.span() for match in WORD.finditer(text)]))
    return texts


def _token_lists(dataset: Dataset, column: str) -> list[list[str]] | None:
    """The tokens of each row where the column holds lists; None where it holds texts."""
    values = column_values(dataset, column, "text_columns")
    if not any(isinstance(value, list) for value in values):
        return None
    for row, value in enumerate(values):
        if value is not None and not (isinstance(value, list) and all(isinstance(word, str) for word in value)):
            raise DataError(f"`{column}` of row {row} is {value!r}, not a list of texts. Give one for each row.")
    return [value or [] for value in values]


def _choose(texts: Sequence[_Text], windows: Windows) -> _Chosen:
    """For each word its first token, in the window in which that is farthest from where the text was cut."""
    best: dict[tuple[int, int], tuple[int, int, int]] = {}
    for window, (row, offsets) in enumerate(zip(windows.rows.tolist(), windows.offsets, strict=True)):
        own = np.flatnonzero(offsets[:, 1] > offsets[:, 0])
        if not len(own) or not texts[row].words:
            continue
        ends = np.array([end for _, end in texts[row].words])
        starts = np.array([start for start, _ in texts[row].words])
        # A token belongs to the first word that ends behind its beginning, if that has begun where the token ends;
        # a token may begin with the space before its word.
        words = np.searchsorted(ends, offsets[own, 0], side="right")
        inside = words < len(ends)
        own, words = own[inside], words[inside]
        begun = (starts[words] < offsets[own, 1]) & (offsets[own, 0] <= starts[words])
        own, words = own[begun], words[begun]
        for word, first in zip(*np.unique(words, return_index=True), strict=True):
            token = int(own[first])
            margin = min(token, len(offsets) - 1 - token)
            if margin > best.get((row, int(word)), (-1, 0, 0))[0]:
                best[row, int(word)] = (margin, window, token)
    table = [(row, word, window, token) for (row, word), (_, window, token) in sorted(best.items())]
    return _Chosen(np.array(table, dtype=np.int64).reshape(-1, 4))


def _joined(text: _Text, tags: list[str | None]) -> None:
    """A word that shares its only token with the word before it, such as the second of three dots, goes on with it."""
    for word in range(1, len(tags)):
        before = tags[word - 1]
        if tags[word] is None and before not in (None, "O") and text.words[word - 1][1] == text.words[word][0]:
            tags[word] = f"I-{str(before)[2:]}"


def _log_probs(predictions: Any) -> NDArray[np.float32]:
    """Logarithms of the tags' probabilities, shape (windows, tokens, tags)."""
    logits = predictions[0] if isinstance(predictions, tuple) else predictions
    shifted = logits - logits.max(axis=-1, keepdims=True)
    found: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return found
