"""Comparison of human labels with LLM labels: scores by class, confusion, ratios and exact tests of each student."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.statistics import Interval, ValidationReport
from hf_synthlabels.statistics.agreement import confusion
from hf_synthlabels.statistics.arrays import MISSING
from hf_synthlabels.statistics.comparison.conditions import (
    CONDITION_METRICS,
    ConditionComparison,
    ConditionMetric,
    compare_conditions,
    seed_scores,
)
from hf_synthlabels.statistics.comparison.paired import mcnemar
from hf_synthlabels.studies.analysis.base import (
    HUMAN,
    Analysis,
    Condition,
    Pair,
    TaskAnalysis,
    analyze_runs,
    llm_human_pairs,
)
from hf_synthlabels.studies.analysis.scores import CLASSES
from hf_synthlabels.studies.report import Arm, ClassScores, LabelComparison, StudyReport
from hf_synthlabels.studies.runs import MAX_UNREQUESTED, StudyRuns, TaskRuns

Codes = NDArray[np.int64]

ENVIRONMENT = ("minutes", "processors", "machine", "python", "versions", "finished_at")
"""Facts of a study that its report repeats."""


def study_report(runs: StudyRuns | Analysis) -> StudyReport:
    """Every annotator against human labels, for each student; of tasks with one class per row."""
    analysis = analyze_runs(runs)
    facts = dict(analysis.runs.facts or {})
    students = facts.get("study", {}).get("students", {})
    comparisons = tuple(
        _comparison(pair, students.get(pair.llm.student))
        for task in analysis.tasks
        if task.runs.kind in CLASSES
        for pair in llm_human_pairs(task)
    )
    environment = {name: facts[name] for name in ENVIRONMENT if name in facts}
    return StudyReport(analysis.runs.name, comparisons, tuple(map(dict, analysis.runs.references)), environment)


def class_scores(task: TaskAnalysis, condition: Condition) -> tuple[ClassScores, ...]:
    """By class the means over seeds; a proportion without a denominator counts as 0 in its seed."""
    counts = np.stack(
        [confusion.confusion_counts(_truth(task), seed, len(task.runs.names)) for seed in _answers(task, condition)]
    )
    means = [np.nan_to_num(scores, nan=0.0).mean(axis=0) for scores in confusion.class_scores(counts)]
    support = np.bincount(_truth(task), minlength=len(task.runs.names))
    return tuple(
        ClassScores(name, float(means[0][code]), float(means[1][code]), float(means[2][code]), int(support[code]))
        for code, name in enumerate(task.runs.names)
    )


def condition_confusion(task: TaskAnalysis, condition: Condition) -> tuple[tuple[int, ...], ...]:
    """Human labels by predictions, counts over all seeds; a last column for rows without one, where there are some."""
    counts = np.sum(
        [confusion.confusion_counts(_truth(task), seed, len(task.runs.names)) for seed in _answers(task, condition)],
        axis=0,
    )
    kept = counts if counts[:, -1].any() else counts[:, :-1]
    return tuple(tuple(row) for row in kept.tolist())


def recorded_agreement(task: TaskRuns, labels: str, part: str, name: str = "agreement") -> ValidationReport | None:
    """A recorded agreement of an annotator's labels with human labels; None where it was not recorded.

    Args:
        task: of the study.
        labels: the annotator's source, with the prompt if it has several.
        part: `train` or `test`.
        name: `agreement`, or `validation` for the validation rows.
    """
    values = task.annotators.get(labels, {}).get(part, {}).get(name)
    return None if values is None else ValidationReport.from_dict(values)


def _comparison(pair: Pair, options: Any) -> LabelComparison:
    task, runs, labels = pair.task, pair.task.runs, pair.llm.labels
    few = [
        condition
        for condition in task.single_source()
        if condition.source in runs.human_samples and condition.student == pair.llm.student
    ]
    llm, human, truth = _answers(task, pair.llm), _answers(task, pair.human), _truth(task)
    paired = {metric: _compared(task, llm, human, metric) for metric in CONDITION_METRICS}
    return LabelComparison(
        task=runs.name,
        student=pair.llm.student,
        labels=labels,
        names=runs.names,
        seeds=tuple(task.conditions[pair.llm]),
        n_train=len(runs.train_truth),
        n_test=len(runs.truth),
        validation=recorded_agreement(runs, labels, "train", "validation"),
        train_agreement=recorded_agreement(runs, labels, "train"),
        annotator=recorded_agreement(runs, labels, "test"),
        arms=tuple(_arm(task, condition) for condition in (pair.human, pair.llm, *few)),
        ratio={metric: each.ratio for metric, each in paired.items()},
        difference={metric: each.difference for metric, each in paired.items()},
        margins={
            "annotator": _own_margin(task, labels, llm),
            **{each.source: _compared(task, llm, _answers(task, each)).difference for each in few},
        },
        paired=tuple(
            mcnemar(truth, task.codes(pair.llm, seed), task.codes(pair.human, seed))
            for seed in task.shared_seeds(pair.llm, pair.human)
        ),
        options=dict(options) if isinstance(options, Mapping) else {"student": options},
        client=str(runs.annotators.get(labels, {}).get("facts", {}).get("client", "")),
    )


def _arm(task: TaskAnalysis, condition: Condition) -> Arm:
    cells, answers, truth = list(task.conditions[condition].values()), _answers(task, condition), _truth(task)
    n_rows, size = round(float(np.mean([cell.rows for cell in cells]))), len(task.runs.names)
    usd, seconds = _label_cost(task.runs, condition, n_rows)
    return Arm(
        source=condition.labels,
        description=_description(task, condition),
        n_rows=n_rows,
        n_unlabelled=0
        if condition.source in task.runs.human_samples
        else (condition.size or len(task.runs.train_truth)) - n_rows,
        steps=cells[0].steps,
        # Compared with itself: the interval over rows and seeds does not depend on the other condition.
        scores={metric: _compared(task, answers, answers, metric).a for metric in CONDITION_METRICS},
        by_seed={metric: tuple(seed_scores(truth, answers, size, metric).tolist()) for metric in CONDITION_METRICS},
        classes=class_scores(task, condition),
        confusion=condition_confusion(task, condition),
        label_usd=usd,
        label_s=seconds,
        train_s=float(np.mean([cell.train_s for cell in cells])),
    )


def _compared(task: TaskAnalysis, a: Codes, b: Codes, metric: ConditionMetric = "macro_f1") -> ConditionComparison:
    """Two conditions whose seeds are resampled separately."""
    bootstrap = task.bootstrap
    return compare_conditions(
        _truth(task), a, b, len(task.runs.names), metric, level=bootstrap.level, resamples=bootstrap.resamples
    )


def _own_margin(task: TaskAnalysis, labels: str, llm: Codes) -> Interval:
    own = task.runs.llm_labels[labels]
    if task.runs.unrequested(labels, "test") > MAX_UNREQUESTED * len(own):
        return Interval(math.nan, math.nan, math.nan, task.bootstrap.level, "not asked", len(own))
    codes = np.array([[MISSING if code is None else code for code in own]])
    return _compared(task, llm, codes).difference


def _description(task: TaskAnalysis, condition: Condition) -> str:
    if condition.source in task.runs.human_samples:
        return "only the validation rows' human labels"
    if condition.source != HUMAN:
        return "LLM labels of the same rows"
    return "all human labels" if condition.size is None else f"{condition.size:,} human labels"


def _label_cost(task: TaskRuns, condition: Condition, n_rows: int) -> tuple[float | None, float | None]:
    """Money and seconds for the labels of a condition; None for what is not known."""
    is_annotator = condition.labels in task.train_labels
    key = condition.labels if is_annotator else HUMAN
    # Every request is paid for, whether the answer has a label or not.
    labels = (condition.size or len(task.train_labels[key])) if is_annotator else n_rows
    usd, seconds = task.usd_per_row.get(key), task.s_per_row.get(key)
    return None if usd is None else usd * labels, None if seconds is None else seconds * labels


def _truth(task: TaskAnalysis) -> Codes:
    return np.array(task.runs.truth, dtype=np.int64)


def _answers(task: TaskAnalysis, condition: Condition) -> Codes:
    """Predicted codes, shape (seeds, rows); `MISSING` where there is none."""
    return np.stack([task.codes(condition, seed) for seed in task.conditions[condition]])
