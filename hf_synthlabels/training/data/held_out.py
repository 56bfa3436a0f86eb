"""Scores of a student's predictions on held-out rows, with intervals."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import ClassLabel, Dataset, Value

from hf_synthlabels.statistics import MEASURES, Interval, validate
from hf_synthlabels.training.prediction import Prediction

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


def prediction_scores(
    prediction: Prediction,
    dataset: Dataset,
    columns: Sequence[str],
    written: Collection[str],
    *,
    tokens: str | None = None,
) -> list[HeldOut]:
    """Scores of predictions against each label column.

    Args:
        prediction: the predicted labels of the rows.
        dataset: the rows.
        columns: label columns to compare with; a column without any label is left out.
        written: label columns of an LLM.
        tokens: column with lists of tokens.
    """
    labelled = prediction.add_to(_with_names(prediction, dataset, columns), PREDICTED)
    results = []
    for column in dict.fromkeys(columns):
        if column not in dataset.column_names or all(value is None for value in dataset[column][:]):
            continue
        report = validate(
            labelled, human=column, llm=PREDICTED, schema=prediction.schema, tokens=tokens, confidence=False
        )
        scores = {
            name: score
            for name, score in report.scores.items()
            if name != "coverage" and not name.endswith("_answered") and not math.isnan(score.estimate)
        }
        results.append(HeldOut(column, column in written, report.n_human, scores, report.kind))
    return results


def _with_names(prediction: Prediction, dataset: Dataset, columns: Sequence[str]) -> Dataset:
    """Columns of integer codes as ClassLabel columns with the student's names."""
    if prediction.schema.kind not in ("text-classification", "text-pair"):
        return dataset
    for column in columns:
        feature = dataset.features.get(column)
        if isinstance(feature, Value) and feature.dtype.startswith(("int", "uint")):
            dataset = dataset.cast_column(column, ClassLabel(names=list(prediction.schema.names)))
    return dataset
