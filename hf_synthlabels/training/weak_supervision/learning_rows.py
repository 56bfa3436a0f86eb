"""Training rows with labels from an LLM and a few humans, mixed or in two stages."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from transformers import Trainer

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import MISSING
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.training_rows import TrainingRows, column_values, training_rows
from hf_synthlabels.training.weak_supervision.annotator_errors import (
    Temperature,
    Transition,
    at_temperature,
    estimate_transition,
    fit_temperature,
    smoothed_shares,
)

SOURCES_FILE = "label_sources.json"
HUMAN_EPOCHS = 2.0
LR_DIVISOR = 5
"""The second stage divides the learning rate by this, so that it corrects the first stage without overwriting it."""


@dataclass(frozen=True, slots=True, eq=False)
class LearningRows:
    """The training rows, the source of each label, and the estimates from rows with both labels."""

    rows: TrainingRows
    """The rows of the first stage."""
    human: NDArray[np.bool_]
    """Whether the label of each of these rows is human, shape (rows,)."""
    second_stage: TrainingRows | None = None
    """The human-labeled rows of `human_strategy: finetune`."""
    transition: Transition | None = None
    temperature: Temperature | None = None

    def to_dict(self) -> dict[str, Any]:
        """Row counts by source and the estimates, as plain values for JSON."""
        return {
            "llm_rows": int(np.sum(~self.human)),
            "human_rows": int(np.sum(self.human)) if self.second_stage is None else len(self.second_stage),
            "transition": None if self.transition is None else self.transition.to_dict(),
            "temperature": None if self.temperature is None else self.temperature.to_dict(),
        }


def learning_rows(dataset: Dataset, config: StudentConfig, names: Sequence[str]) -> LearningRows:
    """The training rows of a config; rows without any label are left out and counted.

    Without `human_column` all labels count as the LLM's. `weight_column` applies to all rows, confidence and soft
    labels to rows that are trained on their LLM label.

    Raises:
        DataError: a column is missing or invalid, or too few rows have both labels.
    """
    llm = _annotated_rows(dataset, config, names)
    human_rows = _human_rows(dataset, config, names)
    llm, temperature = _soften(llm, human_rows, config)
    llm = _weight_by_confidence(llm, dataset, config)
    transition = None
    if human_rows is None:
        return LearningRows(llm, np.zeros(len(llm), dtype=bool), temperature=temperature)
    if config.correction == "forward":
        human_codes, llm_codes = (_all_codes(rows, len(dataset)) for rows in (human_rows, llm))
        transition = estimate_transition(human_codes, llm_codes, names)
    if config.human_strategy == "mix":
        rows, human = _mix(llm, human_rows, config.human_weight)
        return LearningRows(rows, human, None, transition, temperature)
    second_stage = human_rows if config.human_strategy == "finetune" else None
    if second_stage is not None and len(np.unique(second_stage.codes)) == 1:
        raise DataError(
            f"`{config.human_column}` is {human_rows.names[human_rows.codes[0]]!r} in all {len(human_rows)} rows "
            "that have it. A student fine-tuned on them would predict nothing else. Set `human_strategy: mix`, or "
            "label other rows."
        )
    return LearningRows(llm, np.zeros(len(llm), dtype=bool), second_stage, transition, temperature)


def evaluation_rows(dataset: Dataset, config: StudentConfig, names: Sequence[str]) -> TrainingRows:
    """The evaluation rows: those with a human label if the config names a human column, else all labeled rows.

    Raises:
        DataError: a column is missing or invalid, or no row has a label.
    """
    return _human_rows(dataset, config, names) or _annotated_rows(dataset, config, names)


def save_sources(learning: LearningRows | None, folder: str | Path) -> None:
    """Write row counts and estimates next to the model if LLM and human labels were combined; else delete the file."""
    file = Path(folder) / SOURCES_FILE
    combined = learning is not None and (
        learning.second_stage or learning.transition or learning.temperature or learning.human.any()
    )
    if learning is None or not combined:
        file.unlink(missing_ok=True)
        return
    file.write_text(json.dumps(learning.to_dict(), indent=2) + "\n", encoding="utf-8")


def second_stage_config(config: StudentConfig) -> StudentConfig:
    """The config of the second stage: its epochs and learning rate, separate checkpoints, no `max_steps`."""
    second = copy.copy(config)
    second.learning_rate = config.human_learning_rate or config.learning_rate / LR_DIVISOR
    second.num_train_epochs = config.human_epochs or HUMAN_EPOCHS
    second.max_steps = -1
    second.output_dir = str(Path(config.output_dir or "student") / "human")
    return second


def reject_sharded_second_stage(trainer: Trainer) -> None:
    """Reject a second stage of a sharded model.

    Raises:
        ConfigError: FSDP or DeepSpeed shards the model.
    """
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        raise ConfigError(
            "`human_strategy` is 'finetune', which is not supported with FSDP or DeepSpeed. Train twice: first with "
            "'none', then with `model` set to the saved folder and the human labels as `label_column`."
        )


def _annotated_rows(dataset: Dataset, config: StudentConfig, names: Sequence[str]) -> TrainingRows:
    return training_rows(
        dataset,
        names=names,
        label_column=config.label_column,
        probs_column=config.probs_column,
        weight_column=config.weight_column,
    )


def _human_rows(dataset: Dataset, config: StudentConfig, names: Sequence[str]) -> TrainingRows | None:
    """The rows with a human label; None if the config names no human column."""
    if config.human_column is None:
        return None
    column_values(dataset, config.human_column, "human_column")
    return training_rows(dataset, names=names, label_column=config.human_column, weight_column=config.weight_column)


def _soften(
    llm: TrainingRows, human_rows: TrainingRows | None, config: StudentConfig
) -> tuple[TrainingRows, Temperature | None]:
    probs = llm.probs
    if probs is None:
        return llm, None
    if config.probs_draws is not None:
        probs = smoothed_shares(probs, config.probs_draws, config.probs_alpha)
    if config.probs_temperature == "fit":
        assert human_rows is not None  # checked by the config
        _, in_human, in_llm = np.intersect1d(human_rows.kept, llm.kept, assume_unique=True, return_indices=True)
        fitted = fit_temperature(probs[in_llm], human_rows.codes[in_human])
        return replace(llm, probs=at_temperature(probs, fitted.value.estimate)), fitted
    if config.probs_temperature != 1:
        probs = at_temperature(probs, float(config.probs_temperature))
    return replace(llm, probs=probs), None


def _weight_by_confidence(llm: TrainingRows, dataset: Dataset, config: StudentConfig) -> TrainingRows:
    if config.confidence_column is None or not config.confidence_power:
        return llm
    column = config.confidence_column
    raw = column_values(dataset, column, "confidence_column")
    for row in llm.kept:
        number = isinstance(raw[row], int | float) and not isinstance(raw[row], bool)
        if not number or not 0 <= raw[row] <= 1:
            raise DataError(f"`{column}` of row {row} is {raw[row]!r}. A confidence is a number from 0 to 1.")
    weights = np.array([raw[row] for row in llm.kept], dtype=np.float64) ** config.confidence_power
    if llm.weights is not None:
        weights *= llm.weights
    if not weights.sum() > 0:
        raise DataError(f"`{column}` is 0 in every labeled row, so no row has any weight. Set `confidence_power` to 0.")
    return replace(llm, weights=weights)


def _mix(llm: TrainingRows, human_rows: TrainingRows, weight: float) -> tuple[TrainingRows, NDArray[np.bool_]]:
    """All labeled rows, with the human label where there is one, else the LLM label."""
    kept = np.union1d(llm.kept, human_rows.kept)
    n_rows = len(llm) + llm.n_unlabelled
    human = np.isin(kept, human_rows.kept)
    codes = _all_codes(llm, n_rows)
    codes[human_rows.kept] = human_rows.codes
    probs = weights = None
    if llm.probs is not None:
        every = np.zeros((n_rows, len(llm.names)))
        every[llm.kept] = llm.probs
        every[human_rows.kept] = np.eye(len(llm.names))[human_rows.codes]
        probs = every[kept]
    if llm.weights is not None or human_rows.weights is not None or weight != 1:
        counts = np.ones(n_rows)
        counts[llm.kept] = 1 if llm.weights is None else llm.weights
        counts[human_rows.kept] = weight * (1 if human_rows.weights is None else human_rows.weights)
        weights = counts[kept]
    rows = TrainingRows(kept, tuple(codes[kept].tolist()), llm.names, n_rows - len(kept), probs=probs, weights=weights)
    return rows, human


def _all_codes(rows: TrainingRows, n_rows: int) -> NDArray[np.int64]:
    """The codes of all rows of the data set, `MISSING` for unlabeled rows."""
    codes = np.full(n_rows, MISSING, dtype=np.int64)
    codes[rows.kept] = rows.codes
    return codes
