"""Scores of each condition, and paired comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.agreement.confusion import class_scores, confusion_counts
from hf_synthlabels.statistics.comparison.conditions import compare_conditions, seed_scores
from hf_synthlabels.statistics.comparison.paired import McNemar, mcnemar
from hf_synthlabels.studies.comparisons.report import SCORES, Arm, ClassScores
from hf_synthlabels.studies.comparisons.study import ComparisonStudy
from hf_synthlabels.studies.journal import Cell

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ArmRows:
    """The labels that an arm is trained on."""

    name: str
    description: str
    codes: Sequence[int | None]
    """Of each training row; None where the arm has no label."""
    column: str
    """Where the labels stand."""


@dataclass(frozen=True, slots=True)
class Paired:
    """One arm against another on the same rows, by score, and seed by seed."""

    ratio: dict[str, Interval]
    difference: dict[str, Interval]
    tests: tuple[McNemar, ...]


def scored_arm(
    source: ArmRows,
    cells: Sequence[Cell],
    answers: Codes,
    truth: Codes,
    names: Sequence[str],
    *,
    study: ComparisonStudy,
    record: Mapping[str, Any],
    paid: float | None = None,
) -> Arm:
    """An arm with its scores over rows and seeds, its scores by class, and what it cost.

    Args:
        source: what it was trained on.
        cells: its students, one for each seed.
        answers: their predictions, shape (seeds, rows).
        truth: human codes, shape (rows,).
        names: label names.
        study: level, resamples and prices.
        record: the provenance of the LLM labels.
        paid: what the LLM labels cost; None if unknown.
    """
    n_rows = len(source.codes) - list(source.codes).count(None)
    # Compared with itself: the interval over rows and seeds does not depend on the other condition.
    scores: dict[str, Interval] = {
        metric: compare_conditions(
            truth, answers, answers, len(names), metric, level=study.level, resamples=study.resamples
        ).a
        for metric in SCORES
    }
    by_seed: dict[str, tuple[float, ...]] = {
        metric: tuple(seed_scores(truth, answers, len(names), metric).tolist()) for metric in SCORES
    }
    usd, seconds = _label_cost(source, n_rows, study, record, paid)
    return Arm(
        source=source.name,
        description=source.description,
        n_rows=n_rows,
        n_unlabelled=len(source.codes) - n_rows if source.name != "validation" else 0,
        steps=cells[0].steps,
        scores=scores,
        by_seed=by_seed,
        classes=_class_scores(answers, truth, names),
        confusion=_confusion(answers, truth, names),
        label_usd=usd,
        label_s=seconds,
        train_s=float(np.mean([cell.train_s for cell in cells])),
    )


def compared(llm: Codes, human: Codes, truth: Codes, names: Sequence[str], *, study: ComparisonStudy) -> Paired:
    """The LLM-trained students against the human-trained ones: ratio, difference, exact tests.

    Args:
        llm: predictions of the LLM-trained students, shape (seeds, rows).
        human: those of the human-trained ones.
        truth: human codes, shape (rows,).
        names: label names.
        study: level and resamples.
    """
    results = {
        metric: compare_conditions(truth, llm, human, len(names), metric, level=study.level, resamples=study.resamples)
        for metric in SCORES
    }
    return Paired(
        ratio={metric: result.ratio for metric, result in results.items()},
        difference={metric: result.difference for metric, result in results.items()},
        tests=tuple(mcnemar(truth, first, second) for first, second in zip(llm, human, strict=True)),
    )


def margin(llm: Codes, other: Codes, truth: Codes, names: Sequence[str], *, study: ComparisonStudy) -> Interval:
    """Macro F1 of the LLM-trained students minus that of another annotator or arm, on the same rows.

    Args:
        llm: predictions of the LLM-trained students, shape (seeds, rows).
        other: those of the other, shape (its seeds, rows); `MISSING` where it has none.
        truth: human codes, shape (rows,).
        names: label names.
        study: level and resamples.
    """
    return compare_conditions(
        truth, llm, other, len(names), "macro_f1", level=study.level, resamples=study.resamples
    ).difference


def _class_scores(answers: Codes, truth: Codes, names: Sequence[str]) -> tuple[ClassScores, ...]:
    """By class the means over seeds; a share without a denominator counts as 0 in its seed."""
    counts = np.stack([confusion_counts(truth, seed, len(names)) for seed in answers])
    means = [np.nan_to_num(scores, nan=0.0).mean(axis=0) for scores in class_scores(counts)]
    support = np.bincount(truth, minlength=len(names))
    return tuple(
        ClassScores(name, float(means[0][k]), float(means[1][k]), float(means[2][k]), int(support[k]))
        for k, name in enumerate(names)
    )


def _confusion(answers: Codes, truth: Codes, names: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    counts = np.sum([confusion_counts(truth, seed, len(names)) for seed in answers], axis=0)
    # Students always answer, so the column for no label is empty.
    return tuple(tuple(row[:-1]) for row in counts.tolist())


def _label_cost(
    source: ArmRows, n_rows: int, study: ComparisonStudy, record: Mapping[str, Any], paid: float | None
) -> tuple[float | None, float | None]:
    """Money and seconds for the labels of an arm; None for what is not known."""
    if source.name == "llm":
        tally, seconds = record.get("tally", {}), record.get("annotation_s")
        share = len(source.codes) / max(1, tally.get("rows", 0))
        # Reading answers back says nothing of how long they took to make.
        read = record.get("annotator", {}).get("client") == "recorded" or tally.get("stored", 0) > tally.get(
            "requests", 0
        )
        return paid, None if read or seconds is None else seconds * share
    usd = None if study.human_usd_per_label is None else study.human_usd_per_label * n_rows
    return usd, None if study.human_s_per_label is None else study.human_s_per_label * n_rows
