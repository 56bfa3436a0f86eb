"""Scores of a student on held-out rows, with intervals, against human or LLM labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import ClassLabel, Dataset, Value

from hf_synthlabels.statistics import MEASURES, Interval, validate
from hf_synthlabels.tables.columns import annotation_columns
from hf_synthlabels.training.student import Student

PREDICTED = "hf_synthlabels_prediction"


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Scores against one column of labels."""

    column: str
    llm: bool
    """Whether the labels are those of an LLM: then the scores measure agreement, not accuracy."""
    rows: int
    scores: Mapping[str, Interval]
    kind: str

    @property
    def title(self) -> str:
        """Title of the scores."""
        of = "agreement with the LLM labels" if self.llm else "against the labels"
        return f"{of} in `{self.column}`, {self.rows:,} held-out rows"

    def lines(self) -> list[str]:
        """One line per score."""
        names = {name: MEASURES[self.kind].get(name, name) for name in self.scores}
        width = max(map(len, names.values()), default=0)
        return [
            f"  {names[name]:<{width}}  {score.estimate:.3f} [{score.low:.3f}, {score.high:.3f}]"
            for name, score in self.scores.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        scores = {
            name: {"estimate": score.estimate, "low": score.low, "high": score.high, "n": score.n}
            for name, score in self.scores.items()
        }
        return {"column": self.column, "llm": self.llm, "rows": self.rows, "scores": scores}


def llm_columns(dataset: Dataset, records: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """The label columns written by an LLM, known from their provenance or their companion columns."""
    known = {str(record.get("column")) for record in records} | set(annotation_columns(dataset.column_names))
    return [name for name in dataset.column_names if name in known]


def _with_names(student: Student, dataset: Dataset, columns: Sequence[str]) -> Dataset:
    """Columns of integer codes as ClassLabel columns with the student's names."""
    if student.config.task not in ("text-classification", "text-pair"):
        return dataset
    for column in columns:
        feature = dataset.features.get(column)
        if isinstance(feature, Value) and feature.dtype.startswith(("int", "uint")):
            dataset = dataset.cast_column(column, ClassLabel(names=list(student.names)))
    return dataset


def held_out_scores(
    student: Student, dataset: Dataset, columns: Sequence[str], records: Sequence[Mapping[str, Any]] = ()
) -> list[HeldOut]:
    """Scores of a student's predictions against each label column; empty for text generation.

    Every process must call it.

    Args:
        student: the student.
        dataset: rows that it was not trained on.
        columns: label columns to compare with; a column without any label is left out.
        records: provenance of the rows.
    """
    if student.config.task == "text-generation" or not len(dataset):
        return []
    dataset = _with_names(student, dataset, columns)
    labelled = student.predict(dataset).add_to(dataset, PREDICTED)
    written = llm_columns(dataset, records)
    tokens = student.config.text_columns[0] if student.config.task == "token-classification" else None
    lists = tokens is not None and not hasattr(dataset.features[tokens], "dtype")
    results = []
    for column in dict.fromkeys(columns):
        if column not in dataset.column_names or all(value is None for value in dataset[column][:]):
            continue
        report = validate(
            labelled, human=column, llm=PREDICTED, schema=student.task.schema, tokens=tokens if lists else None
        )
        scores = {
            name: score
            for name, score in report.scores.items()
            if name != "coverage" and not name.endswith("_answered") and not math.isnan(score.estimate)
        }
        results.append(HeldOut(column, column in written, report.n_human, scores, report.kind))
    return results
