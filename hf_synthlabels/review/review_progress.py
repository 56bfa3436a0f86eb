"""Progress of a review: counts, pace, agreement of the LLM with annotators and of annotators with each other."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.review.annotator_decisions import Annotator
from hf_synthlabels.review.review_state import ReviewState
from hf_synthlabels.statistics import Interval, cohen_kappa, krippendorff_alpha
from hf_synthlabels.statistics.arrays import Floats, Mask
from hf_synthlabels.statistics.sequential.betting import anytime_interval

RECENT = 50
"""Number of decisions that the time estimate uses."""

MIN_TIMED = 10
"""Decisions before which a time estimate would be a guess."""

MAX_S = 600.0
"""Longest time on one row; longer pauses are breaks."""


@dataclass(frozen=True, slots=True)
class LabelMatrix:
    """Label codes of the rows that at least two annotators labeled; equal labels have equal codes."""

    names: tuple[str, ...]
    codes: NDArray[np.float64]
    """Shape (rows, annotators); NaN without a label."""
    scale: str
    """Level of measurement: `nominal`, or `interval` for numbers."""


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Agreement of two annotators on the rows that both labeled."""

    first: str
    second: str
    n: int
    same: float
    """Proportion of equal labels."""
    kappa: float
    """Cohen's kappa; NaN if undefined."""


@dataclass(frozen=True, slots=True)
class AnnotatorAgreement:
    """Inter-annotator agreement."""

    alpha: float
    """Krippendorff's alpha; NaN if undefined."""
    scale: str
    n: int
    """Rows labeled by at least two annotators."""
    pairs: tuple[PairAgreement, ...]


def agreement_so_far(state: ReviewState, level: float = 0.95) -> Interval:
    """Weighted proportion of rows in which the LLM label equals the human label; for texts the mean token F1.

    The interval holds at all looks at once, because the page shows it after every row and annotators stop when they
    like. Weights are inverse inclusion probabilities. Skipped and disputed rows are left out.
    """
    is_counted = ~np.isnan(state.credits) & ~np.isnan(state.rows.inclusion_probabilities)
    credits = state.credits[is_counted]
    values = credits if state.rows.schema.kind == "text-generation" else (credits == 1).astype(np.float64)
    return _mean_so_far(state, values, is_counted, level)


def _mean_so_far(state: ReviewState, values: Floats, rows: Mask, level: float = 0.95) -> Interval:
    """The weighted mean of values from 0 to 1 of some rows, with an interval for any time."""
    probabilities = state.rows.inclusion_probabilities
    least, greatest = float(np.nanmin(probabilities)), float(np.nanmax(probabilities))
    if greatest - least <= 1e-9 * greatest:
        # As in `validate` with equal inclusion probabilities.
        return anytime_interval(values, level)
    return anytime_interval(values, level, weights=1 / probabilities[rows], max_weight=1 / least)


def label_matrix(state: ReviewState) -> LabelMatrix:
    """Current labels of all annotators."""
    annotators = [each for each in state.annotators.values() if each.labels]
    codes = np.column_stack([_codes(state, each) for each in annotators]) if annotators else np.zeros((0, 0))
    scale = "interval" if state.rows.schema.kind == "text-scale" else "nominal"
    # Where a variable of a codebook does not apply, annotators do not disagree on it.
    is_compared = ((~np.isnan(codes)).sum(axis=1) > 1) & (state.applies[: len(codes)] > 0)
    return LabelMatrix(tuple(each.name for each in annotators), codes[is_compared], scale)


def annotator_agreement(matrix: LabelMatrix) -> AnnotatorAgreement:
    """Krippendorff's alpha of all annotators, and proportion of equal labels and Cohen's kappa of each pair."""
    codes, scale = matrix.codes, matrix.scale
    pairs = tuple(
        _pair(first, second, codes[:, a], codes[:, b])
        for (a, first), (b, second) in itertools.combinations(enumerate(matrix.names), 2)
    )
    alpha = krippendorff_alpha(codes, scale) if len(codes) else math.nan  # type: ignore[arg-type]
    return AnnotatorAgreement(alpha, scale, len(codes), tuple(pair for pair in pairs if pair.n))


def progress(state: ReviewState, name: str) -> dict[str, Any]:
    """Progress of an annotator, and of the review as a whole."""
    annotator, queue = state.annotator(name), len(state.rows.queue)
    done = len(annotator.labels) + len(annotator.skips)
    return {
        "rows": queue,
        "labeled": len(annotator.labels),
        "skipped": len(annotator.skips),
        "open": max(0, queue - done),
        "seconds": seconds_per_row(annotator),
        "decided": int((~np.isnan(state.credits)).sum()),
        "disputed": sum(state.resolutions[row].value is None for row in state.disputes),
        "agreement": agreement_so_far(state).to_dict(),
        "measure": "token F1" if state.rows.schema.kind == "text-generation" else "same label",
        "mean_error": _mean_error(state),
        "annotators": [
            {"name": each.name, "labeled": len(each.labels), "skipped": len(each.skips)}
            for each in state.annotators.values()
            if each.labels or each.skips
        ],
    }


def seconds_per_row(annotator: Annotator) -> float | None:
    """Median time of an annotator's latest decisions; None before there are enough."""
    times = [event.seconds for event in annotator.history[-RECENT:] if event.seconds and event.seconds < MAX_S]
    return median(times) if len(times) >= MIN_TIMED else None


def _mean_error(state: ReviewState) -> dict[str, Any] | None:
    """Weighted mean absolute error of ratings, with an interval for any time; None before the first or without a scale.

    Rows without an LLM label are left out.
    """
    scale = state.rows.schema.scale
    if scale is None:
        return None
    has_llm = np.array([label is not None for label in state.rows.llm_labels], dtype=np.bool_)
    is_counted = ~np.isnan(state.credits) & ~np.isnan(state.rows.inclusion_probabilities) & has_llm
    rows, length = np.flatnonzero(is_counted).tolist(), scale.high - scale.low
    if not rows:
        return None
    errors = np.array([abs(state.resolutions[row].value - state.rows.llm_labels[row]) for row in rows]) / length
    share = _mean_so_far(state, np.clip(errors, 0, 1), is_counted)
    estimate, low, high = (length * value for value in (share.estimate, share.low, share.high))
    return replace(share, estimate=estimate, low=low, high=high).to_dict()


def _codes(state: ReviewState, annotator: Annotator) -> NDArray[np.float64]:
    codes = np.full(len(state.rows), np.nan)
    if state.rows.schema.kind == "text-scale":
        codes[list(annotator.labels)] = [event.human_label for event in annotator.labels.values()]
    else:
        codes[list(annotator.codes)] = list(annotator.codes.values())
    return codes


def _pair(first: str, second: str, a: NDArray[np.float64], b: NDArray[np.float64]) -> PairAgreement:
    both = ~np.isnan(a) & ~np.isnan(b)
    n = int(both.sum())
    same = float((a[both] == b[both]).mean()) if n else math.nan
    return PairAgreement(first, second, n, same, cohen_kappa(a[both], b[both]) if n else math.nan)
