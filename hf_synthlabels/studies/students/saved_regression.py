"""SavedRegression: a cheap student stored as numbers and words, without code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_synthlabels.errors import DataError, StudyError
from hf_synthlabels.labels import LabelSchema, Scale, decode
from hf_synthlabels.studies.students.features import (
    FEATURES,
    SentenceVectors,
    counted_words,
    restored_counter,
    word_counters,
)
from hf_synthlabels.studies.students.job import Job
from hf_synthlabels.studies.students.regression import (
    choose_strength,
    feature_maker,
    fit_regression,
    on_scale,
    text_columns,
    training_part,
)
from hf_synthlabels.studies.tasks.training_tables import Tables
from hf_synthlabels.training.prediction import Prediction, check_columns, label_columns, with_labels

SAVED_KINDS = ("text-classification", "text-pair", "text-scale")
FACTS, NUMBERS = "regression.json", "regression.npz"

Floats = NDArray[np.float64]


def is_regression(folder: str | Path) -> bool:
    """Whether a folder holds a saved regression."""
    return (Path(folder) / FACTS).is_file()


@dataclass(frozen=True, slots=True, eq=False)
class SavedRegression:
    """A regression with its features; equal to the student of the study cell that it was fitted from."""

    schema: LabelSchema
    columns: tuple[str, ...]
    """The text columns that it reads."""
    model: str | None
    """The encoder of its vectors; None counts words."""
    counters: tuple[Any, ...]
    weights: Floats
    """Shape (classes, features), of a scale (1, features)."""
    bias: Floats
    classes: NDArray[np.int64]
    """The code of each row of `weights`; empty for a scale."""

    @classmethod
    def fit(cls, job: Job, tables: Tables) -> Self:
        """Fit the student of a cell.

        Raises:
            DataError: there is nothing to learn.
            StudyError: its labels are of a kind that cannot be saved.
        """
        if job.schema.kind not in SAVED_KINDS:
            raise StudyError(f"`kind` is {job.schema.kind!r}. Only {', '.join(SAVED_KINDS)} can be saved.")
        texts, target = training_part(job, tables)
        maker = feature_maker(job)
        strength = choose_strength(maker, texts, target, job.cell.seed)
        counters = tuple(word_counters(texts)) if job.learner == "tfidf" else ()
        features = counted_words(counters, texts) if counters else maker.fitted(texts)(texts)
        fitted = fit_regression(features, target, strength)
        weights, bias = np.atleast_2d(fitted.coef_), np.atleast_1d(fitted.intercept_)
        classes = np.array(getattr(fitted, "classes_", ()), dtype=np.int64)
        if len(classes) == 2:
            # A regression of two classes has one row: that of the second class against the first.
            weights, bias = np.vstack([np.zeros_like(weights), weights]), np.array([0.0, bias[0]])
        model = None if counters else str(job.options[FEATURES])
        return cls(job.schema, job.columns, model, counters, weights, bias, classes)

    def save(self, folder: Path) -> None:
        """Write it; there is nothing in it that runs."""
        folder.mkdir(parents=True, exist_ok=True)
        facts = {
            "kind": self.schema.kind,
            "names": self.schema.names,
            "scale": None if self.schema.scale is None else asdict(self.schema.scale),
            "columns": self.columns,
            "model": self.model,
            "words": [counter.get_feature_names_out().tolist() for counter in self.counters],
        }
        (folder / FACTS).write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
        weights = {f"idf_{place}": counter.idf_ for place, counter in enumerate(self.counters)}
        with (folder / NUMBERS).open("wb") as file:
            np.savez_compressed(file, weights=self.weights, bias=self.bias, classes=self.classes, **weights)

    @classmethod
    def from_folder(cls, folder: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            StudyError: the folder holds no readable regression.
        """
        try:
            facts = json.loads((Path(folder) / FACTS).read_text(encoding="utf-8"))
            with np.load(Path(folder) / NUMBERS, allow_pickle=False) as numbers:
                counters = tuple(
                    restored_counter(words, numbers[f"idf_{place}"]) for place, words in enumerate(facts["words"])
                )
                scale = None if facts["scale"] is None else Scale(**facts["scale"])
                schema = LabelSchema(kind=facts["kind"], names=tuple(facts["names"]), scale=scale)
                values = (numbers["weights"], numbers["bias"], numbers["classes"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StudyError(f"`student` {str(folder)!r} cannot be read ({error}). Run its study again.") from None
        return cls(schema, tuple(facts["columns"]), facts["model"], counters, *values)

    def predict(self, rows: Dataset) -> Prediction:
        """Its labels of some rows.

        Raises:
            DataError: a text column is missing.
        """
        for column in self.columns:
            if column not in rows.column_names:
                raise DataError(f"`data` has no column {column!r}. It has: {', '.join(rows.column_names)}.")
        scores = self._scores(text_columns(rows, self.columns))
        if self.schema.scale is not None:
            numbers = on_scale(scores[:, 0], self.schema.scale)
            nothing = np.full(len(numbers), np.nan)
            return Prediction(self.schema, tuple(map(float, numbers)), nothing, np.empty((len(numbers), 0)))
        shifted = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
        probabilities = np.zeros((len(scores), len(self.schema.names)))
        probabilities[:, self.classes] = shifted / shifted.sum(axis=1, keepdims=True)
        codes = probabilities.argmax(axis=1)
        labels = tuple(decode(self.schema, int(code), codes=True) for code in codes)
        return Prediction(self.schema, labels, probabilities.max(axis=1, initial=0.0), probabilities)

    def label(
        self,
        rows: Dataset,
        column: str = "student_label",
        *,
        min_confidence: float | None = None,
        probabilities: bool = False,
    ) -> Dataset:
        """The rows with its label columns, as those of any student.

        Raises:
            DataError: a text column is missing, or a label column is there already.
            ConfigError: the kind of label has no confidence or no probabilities.
        """
        check_columns(self.schema, min_confidence, probabilities=probabilities)
        prediction = self.predict(rows)
        added = label_columns(prediction, column, min_confidence=min_confidence, probabilities=probabilities)
        return with_labels(rows, added)

    def _scores(self, texts: Sequence[Sequence[str]]) -> Floats:
        if self.model is None:
            features = counted_words(self.counters, texts)
        else:
            features = SentenceVectors(self.model).fitted(texts)(texts).astype(np.float64)
        return np.asarray(features @ self.weights.T) + self.bias
