"""The estimate of a task under every annotator and prompt of a study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import concatenate_datasets

from hf_synthlabels.errors import StudyError
from hf_synthlabels.statistics import Inference
from hf_synthlabels.statistics.robustness.curve_report import SpecificationReport
from hf_synthlabels.statistics.robustness.specification_curve import Analysis, Conclusion, specification_curve
from hf_synthlabels.statistics.robustness.tuned_rows import ReplacedColumns
from hf_synthlabels.statistics.robustness.variants import Variant
from hf_synthlabels.studies.config_sections import NO_PROMPT, EstimateKeys
from hf_synthlabels.studies.tasks.task import StudyTask

KINDS = ("text-classification", "text-pair", "text-scale")
"""Kinds whose labels `estimate` reads."""


def check_estimate(task: StudyTask, variants: Sequence[tuple[str, str]]) -> None:
    """Refuse an estimate that cannot be computed, before any annotator is paid.

    Args:
        task: of the study.
        variants: sources and prompts that label rows.

    Raises:
        StudyError: the kind has no estimate, there are fewer than two variants, or a column is missing.
    """
    keys = task.study.estimate
    if keys is None:
        return
    if task.schema.kind not in KINDS:
        raise StudyError(
            f"`estimate` needs classes or a scale, and task {task.name!r} is of kind {task.schema.kind!r}."
        )
    if len(variants) < 2:
        raise StudyError(
            f"`estimate` needs two or more annotators or prompts, and task {task.name!r} has one: add one."
        )
    columns = task.parts.test.column_names
    for name, column in (("groups", keys.groups), ("clusters", keys.clusters)):
        if column is not None and column not in columns:
            raise StudyError(f"`estimate.{name}` is {column!r}, which is not a column. Use: {', '.join(columns)}.")


def estimated_variants(task: StudyTask, variants: Sequence[tuple[str, str]]) -> SpecificationReport | None:
    """The specification curve of a task; None if the study asks for no estimate.

    All rows count. The human labels of the test rows correct the estimates, and those of the training rows choose a
    variant.
    """
    keys = task.study.estimate
    if keys is None:
        return None
    pool = task.parts.train.select(task.pool)
    rows = concatenate_datasets([part.select_columns(_columns(task)) for part in (pool, task.parts.test)])
    human = task.recipe.task.human or "label"
    columns = {human: _labels(task, [*task.human.labels, *task.truth.labels])}
    named = [_variant(source, prompt, variants) for source, prompt in variants]
    for (source, prompt), variant in zip(variants, named, strict=True):
        values = [*task.book.labels(source, prompt).values, *task.test_book.labels(source, prompt).values]
        columns[variant.column] = _labels(task, values)
    tune = np.arange(len(rows)) < len(pool)
    tune &= np.array([label is not None for label in columns[human]])
    conclusion = Conclusion(quantities=keys.quantity, null=keys.against, estimator=keys.estimator)
    return specification_curve(
        ReplacedColumns(rows, columns), named, _analysis(task, keys, human), conclusion, tune if tune.any() else None
    )


def _analysis(task: StudyTask, keys: EstimateKeys, human: str) -> Analysis:
    is_scale = task.schema.kind == "text-scale" and keys.groups is None and keys.formula is None
    options: dict[str, Any] = {
        "estimand": "mean" if is_scale else None,
        "family": keys.family,
        "positive": keys.positive,
        "clusters": keys.clusters,
    }
    return Analysis(
        human=human,
        llm=task.recipe.output.column,
        formula=keys.formula,
        groups=keys.groups,
        options=options,
        inference=Inference(level=task.study.level),
    )


def _columns(task: StudyTask) -> list[str]:
    """The columns that training and test rows have in common."""
    test = task.parts.test.column_names
    return [name for name in task.parts.train.column_names if name in test]


def _variant(source: str, prompt: str, variants: Sequence[tuple[str, str]]) -> Variant:
    name = source if prompt == NO_PROMPT else f"{source}/{prompt}"
    axes = (("source", source, {each for each, _ in variants}), ("prompt", prompt, {each for _, each in variants}))
    # Not a column of the data.
    return Variant(name, f"labels of {name}", tuple((axis, value) for axis, value, every in axes if len(every) > 1))


def _labels(task: StudyTask, values: Sequence[Any]) -> list[Any]:
    """Codes as class names; numbers as they are."""
    names = task.schema.names
    return [None if value is None else names[value] if names else value for value in values]
