"""LearningRows: what a student learns from rows of which an LLM labelled many and humans a few."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.arrays import MISSING
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.training_rows import TrainingRows, column_values, training_rows
from hf_synthlabels.training.weak_supervision.soft_labels import (
    Temperature,
    at_temperature,
    fit_temperature,
    smoothed_shares,
)
from hf_synthlabels.training.weak_supervision.transition import Transition, estimate_transition

SOURCES_FILE = "label_sources.json"


@dataclass(frozen=True, slots=True, eq=False)
class LearningRows:
    """The rows to train on, who labelled each, and what was estimated from those that have both labels."""

    rows: TrainingRows
    """All that train together; of 'finetune', the LLM-labelled ones, which come first."""
    human: NDArray[np.bool_]
    """Whether the label of each of these rows is a human's, shape (rows,)."""
    after: TrainingRows | None = None
    """The human rows that come after them."""
    transition: Transition | None = None
    temperature: Temperature | None = None

    def to_dict(self) -> dict[str, Any]:
        """How many rows of each kind there are, and the estimates, as plain values for JSON."""
        return {
            "llm_rows": int(np.sum(~self.human)),
            "human_rows": int(np.sum(self.human)) if self.after is None else len(self.after),
            "transition": None if self.transition is None else self.transition.to_dict(),
            "temperature": None if self.temperature is None else self.temperature.to_dict(),
        }


def learning_rows(dataset: Dataset, config: StudentConfig, names: Sequence[str]) -> LearningRows:
    """The rows to train on, as the config says; those without any label are left out and counted.

    Without `human_column` every label counts as the LLM's. `weight_column` holds for all rows, confidence and soft
    labels for those that train by their LLM label.

    Args:
        dataset: rows with the columns that the config names.
        config: its columns, and the options of `SourceOptions`.
        names: every label name.

    Raises:
        DataError: a column is missing or holds what it should not, or too few rows have both labels.
    """
    llm = training_rows(
        dataset,
        names=names,
        label_column=config.label_column,
        probs_column=config.probs_column,
        weight_column=config.weight_column,
    )
    people = _people(dataset, config, names)
    llm, temperature = _softened(llm, people, config)
    llm = _by_confidence(llm, dataset, config)
    transition = None
    if people is None:
        return LearningRows(llm, np.zeros(len(llm), dtype=bool), temperature=temperature)
    if config.correction == "forward":
        everyone, machine = (_of_all(rows, len(dataset)) for rows in (people, llm))
        transition = estimate_transition(everyone, machine, names)
    if config.human_strategy == "mix":
        rows, human = _mixed(llm, people, config.human_weight)
        return LearningRows(rows, human, None, transition, temperature)
    after = people if config.human_strategy == "finetune" else None
    if after is not None and len(np.unique(after.codes)) == 1:
        raise DataError(
            f"`{config.human_column}` is {after.names[after.codes[0]]!r} in all {len(after)} rows that have it. A "
            "student fine-tuned on them would predict nothing else. Set `human_strategy: mix`, or label other rows."
        )
    return LearningRows(llm, np.zeros(len(llm), dtype=bool), after, transition, temperature)


def evaluation_rows(dataset: Dataset, config: StudentConfig, names: Sequence[str]) -> TrainingRows:
    """The rows to evaluate on: those with a human label if the config names them, else those with any.

    Raises:
        DataError: a column is missing or holds what it should not, or no row has a label.
    """
    return _people(dataset, config, names) or training_rows(
        dataset,
        names=names,
        label_column=config.label_column,
        probs_column=config.probs_column,
        weight_column=config.weight_column,
    )


def save_sources(learning: LearningRows | None, folder: str | Path) -> None:
    """Write the numbers of rows and the estimates beside the model, where human labels were told apart.

    What an earlier student left there is removed.
    """
    file = Path(folder) / SOURCES_FILE
    told = learning is not None and (
        learning.after or learning.transition or learning.temperature or learning.human.any()
    )
    if learning is None or not told:
        file.unlink(missing_ok=True)
        return
    file.write_text(json.dumps(learning.to_dict(), indent=2) + "\n", encoding="utf-8")


def _people(dataset: Dataset, config: StudentConfig, names: Sequence[str]) -> TrainingRows | None:
    """The rows with a human label; None where the config names no column of them."""
    if config.human_column is None:
        return None
    column_values(dataset, config.human_column, "human_column")
    return training_rows(dataset, names=names, label_column=config.human_column, weight_column=config.weight_column)


def _softened(
    llm: TrainingRows, people: TrainingRows | None, config: StudentConfig
) -> tuple[TrainingRows, Temperature | None]:
    probs = llm.probs
    if probs is None:
        return llm, None
    if config.probs_draws is not None:
        probs = smoothed_shares(probs, config.probs_draws, config.probs_alpha)
    if config.probs_temperature == "fit":
        assert people is not None  # the config saw to it
        _, ours, theirs = np.intersect1d(people.kept, llm.kept, assume_unique=True, return_indices=True)
        fitted = fit_temperature(probs[theirs], people.codes[ours])
        return replace(llm, probs=at_temperature(probs, fitted.value.estimate)), fitted
    if config.probs_temperature != 1:
        probs = at_temperature(probs, float(config.probs_temperature))
    return replace(llm, probs=probs), None


def _by_confidence(llm: TrainingRows, dataset: Dataset, config: StudentConfig) -> TrainingRows:
    if config.confidence_column is None or not config.confidence_power:
        return llm
    column = config.confidence_column
    raw = column_values(dataset, column, "confidence_column")
    for row in llm.kept:
        number = isinstance(raw[row], int | float) and not isinstance(raw[row], bool)
        if not number or not 0 <= raw[row] <= 1:
            raise DataError(f"`{column}` of row {row} is {raw[row]!r}. The confidence of a label is from 0 to 1.")
    weights = np.array([raw[row] for row in llm.kept], dtype=np.float64) ** config.confidence_power
    if llm.weights is not None:
        weights *= llm.weights
    if not weights.sum() > 0:
        raise DataError(f"`{column}` is 0 in every labelled row, so that none would count. Give `confidence_power` 0.")
    return replace(llm, weights=weights)


def _mixed(llm: TrainingRows, people: TrainingRows, weight: float) -> tuple[TrainingRows, NDArray[np.bool_]]:
    """All rows with a label, human labels in place of the LLM's where there are any."""
    kept = np.union1d(llm.kept, people.kept)
    n_rows = len(llm) + llm.n_unlabelled
    human = np.isin(kept, people.kept)
    codes = _of_all(llm, n_rows)
    codes[people.kept] = people.codes
    probs = weights = None
    if llm.probs is not None:
        every = np.zeros((n_rows, len(llm.names)))
        every[llm.kept] = llm.probs
        every[people.kept] = np.eye(len(llm.names))[people.codes]
        probs = every[kept]
    if llm.weights is not None or people.weights is not None or weight != 1:
        counts = np.ones(n_rows)
        counts[llm.kept] = 1 if llm.weights is None else llm.weights
        counts[people.kept] = weight * (1 if people.weights is None else people.weights)
        weights = counts[kept]
    return TrainingRows(kept, codes[kept], llm.names, n_rows - len(kept), probs, weights), human


def _of_all(rows: TrainingRows, n_rows: int) -> NDArray[np.int64]:
    """The codes of all rows of the data set, `MISSING` where there is none."""
    codes = np.full(n_rows, MISSING, dtype=np.int64)
    codes[rows.kept] = rows.codes
    return codes
