"""Named entity recognition: one BIO tag per word, converted to and from character spans."""

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
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.batches import Collator
from hf_synthlabels.training.data.features import IGNORED, LABELS, WEIGHT, Windows, cut_windows
from hf_synthlabels.training.data.training_rows import TrainingRows, column_values, labelled_rows
from hf_synthlabels.training.prediction import Prediction
from hf_synthlabels.training.tasks.base import Head, Metrics, first_output
from hf_synthlabels.training.tasks.objectives import Objective, TokenTags

# In scripts without spaces each character is a word, because an entity may begin at any character.
WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+|[^\w\s]")

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Text:
    """A row's text and the character spans of its words."""

    text: str
    words: list[Place]


@dataclass(frozen=True, slots=True)
class TokenTask:
    """Entities of a text, or of a list of tokens, whose labels may also be one tag per token."""

    config: StudentConfig
    schema: LabelSchema

    @property
    def objective(self) -> Objective:
        """Cross-entropy of the first token of each word."""
        return TokenTags()

    @property
    def head(self) -> Head:
        """One output per tag."""
        tags = bio_tags(self.schema)
        settings = {"id2label": dict(enumerate(tags)), "label2id": {tag: code for code, tag in enumerate(tags)}}
        return Head(AutoModelForTokenClassification, settings, "tag tokens")

    def rows(self, dataset: Dataset) -> TrainingRows:
        """The rows with a list of entities, which may be empty."""
        config = self.config
        texts = _texts(dataset, config.text_columns[0])
        tokens = _token_lists(dataset, config.text_columns[0])
        rows = labelled_rows(
            dataset, config.label_column, self.schema, tokens=tokens, weight_column=config.weight_column
        )
        for row, places in zip(rows.kept, rows.labels, strict=True):
            for _, end, _ in places:
                if end > len(texts[row].text):
                    raise DataError(
                        f"`{config.label_column}` of row {row} has an entity that ends at {end}, but the text has "
                        f"{len(texts[row].text)} characters. Correct the row."
                    )
        return rows

    def learnable(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> TrainingRows:  # noqa: ARG002
        """All rows, of which at least one has an entity."""
        if not any(rows.labels):
            raise DataError(
                f"`{self.config.label_column}` has no entity in any of {len(rows)} labeled rows. A student needs some."
            )
        return rows

    def features(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> Dataset:
        """Windows of tokens, with a tag for the first token of each word in exactly one window."""
        texts = _texts(dataset.select(rows.kept), self.config.text_columns[0])
        windows, positions = self._windows(texts, tokenizer)
        codes = {tag: code for code, tag in enumerate(bio_tags(self.schema))}
        tags = [
            to_bio(text.words, [Entity(start, end, "", label) for start, end, label in places])
            for text, places in zip(texts, rows.labels, strict=True)
        ]
        labels = [np.full(len(offsets), IGNORED, dtype=np.int64) for offsets in windows.offsets]
        for row, word, window, token in positions.tolist():
            labels[window][token] = codes[tags[row][word]]
        features = windows.features.add_column(LABELS, [label.tolist() for label in labels])
        return features if rows.weights is None else features.add_column(WEIGHT, rows.weights[windows.rows].tolist())

    def collator(self, tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any] | None:
        """A collator that pads labels like tokens."""
        return Collator(tokenizer)

    def metrics(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> Metrics | None:
        """Strict entity precision, recall and F1 over all rows, as in the CoNLL scorer."""
        texts = _texts(dataset.select(rows.kept), self.config.text_columns[0])
        _, positions = self._windows(texts, tokenizer)

        def compute(prediction: EvalPrediction) -> dict[str, float]:
            entities, _ = self._entities(texts, positions, _log_probs(prediction.predictions))
            predicted = [{(entity.start, entity.end, entity.label) for entity in row} for row in entities]
            pairs = [(places, set(human)) for places, human in zip(predicted, rows.labels, strict=True)]
            hits = sum(len(places & human) for places, human in pairs)
            n_predicted, n_human = sum(len(places) for places, _ in pairs), sum(len(human) for _, human in pairs)
            return {
                "entity_precision": hits / n_predicted if n_predicted else 0.0,
                "entity_recall": hits / n_human if n_human else 0.0,
                "entity_f1": 2 * hits / (n_predicted + n_human) if n_predicted + n_human else 1.0,
            }

        return compute

    def predict(self, trainer: Trainer, dataset: Dataset) -> Prediction:
        """The entities of every row; a missing text has none.

        The confidence of a row is the product of the probabilities of its words' tags, i.e. the probability that all
        tags are correct if words were independent.
        """
        if not len(dataset):
            return Prediction(self.schema, (), np.empty(0), np.empty((0, 0)))
        texts = _texts(dataset, self.config.text_columns[0])
        windows, positions = self._windows(texts, trainer.processing_class)
        outputs = trainer.predict(windows.features).predictions
        labels, confidence = self._entities(texts, positions, _log_probs(outputs))
        return Prediction(self.schema, labels, confidence, np.empty((len(dataset), 0)))

    def _windows(self, texts: Sequence[_Text], tokenizer: PreTrainedTokenizerBase) -> tuple[Windows, NDArray[np.int64]]:
        config = self.config
        windows = cut_windows(
            [text.text for text in texts], tokenizer, max_length=config.max_length, stride=config.doc_stride
        )
        return windows, _word_positions(texts, windows)

    def _entities(
        self, texts: Sequence[_Text], positions: NDArray[np.int64], log_probs: NDArray[np.float32]
    ) -> tuple[tuple[tuple[Entity, ...], ...], NDArray[np.float64]]:
        """The entities and the confidence of each row."""
        names = bio_tags(self.schema)
        tags: list[list[str | None]] = [[None] * len(text.words) for text in texts]
        log_confidence = np.zeros(len(texts))
        values = log_probs[positions[:, 2], positions[:, 3]]
        np.add.at(log_confidence, positions[:, 0], values.max(axis=-1, initial=-np.inf))
        for (row, word), code in zip(positions[:, :2].tolist(), values.argmax(axis=-1).tolist(), strict=True):
            tags[row][word] = names[code]
        for text, row_tags in zip(texts, tags, strict=True):
            _continue_shared_tokens(text, row_tags)
        entities = tuple(
            from_bio(text.words, [tag or "O" for tag in row_tags], text.text)
            for text, row_tags in zip(texts, tags, strict=True)
        )
        return entities, np.exp(log_confidence)


def _texts(dataset: Dataset, column: str) -> list[_Text]:
    """Texts with their words, which are the given tokens or found by a regular expression."""
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
    """The tokens of each row if the column has lists; None if it has texts."""
    values = column_values(dataset, column, "text_columns")
    if not any(isinstance(value, list) for value in values):
        return None
    for row, value in enumerate(values):
        if value is not None and not (isinstance(value, list) and all(isinstance(word, str) for word in value)):
            raise DataError(f"`{column}` of row {row} is {value!r}, not a list of texts. Give one for each row.")
    return [value or [] for value in values]


def _word_positions(texts: Sequence[_Text], windows: Windows) -> NDArray[np.int64]:
    """The first token of each word, in the window where it is farthest from the ends.

    Returns:
        Row, word, window and token, shape (words of all rows, 4).
    """
    best: dict[tuple[int, int], tuple[int, int, int]] = {}
    for window, (row, offsets) in enumerate(zip(windows.rows.tolist(), windows.offsets, strict=True)):
        tokens = np.flatnonzero(offsets[:, 1] > offsets[:, 0])
        if not len(tokens) or not texts[row].words:
            continue
        starts, ends = np.array(texts[row].words).T
        # A token belongs to the first word that ends after the token starts, if that word starts before the token
        # ends. A token may start with the space before its word.
        words = np.searchsorted(ends, offsets[tokens, 0], side="right")
        inside = words < len(ends)
        tokens, words = tokens[inside], words[inside]
        overlaps = (starts[words] < offsets[tokens, 1]) & (offsets[tokens, 0] <= starts[words])
        tokens, words = tokens[overlaps], words[overlaps]
        for word, first in zip(*np.unique(words, return_index=True), strict=True):
            token = int(tokens[first])
            margin = min(token, len(offsets) - 1 - token)
            if margin > best.get((row, int(word)), (-1, 0, 0))[0]:
                best[row, int(word)] = (margin, window, token)
    table = [(row, word, window, token) for (row, word), (_, window, token) in sorted(best.items())]
    return np.array(table, dtype=np.int64).reshape(-1, 4)


def _continue_shared_tokens(text: _Text, tags: list[str | None]) -> None:
    """Continue the entity of the previous word where both share a token, such as the second of three dots."""
    for word in range(1, len(tags)):
        before = tags[word - 1]
        if tags[word] is None and before not in (None, "O") and text.words[word - 1][1] == text.words[word][0]:
            tags[word] = f"I-{str(before)[2:]}"


def _log_probs(predictions: Any) -> NDArray[np.float32]:
    """Log-probabilities of the tags, shape (windows, tokens, tags)."""
    logits = first_output(predictions)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return log_probs
