"""Progress: how far the work is, how often the LLM agrees with people so far, and people with each other."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from hf_synthlabels.review.review_state import Annotator, ReviewState
from hf_synthlabels.statistics import Interval, cohen_kappa, krippendorff_alpha
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign, share_interval, weighted_mean
from hf_synthlabels.statistics.intervals import wilson

RECENT = 50
"""Number of decisions that the time estimate uses."""

MAX_S = 600.0
"""Longest time on one row; longer pauses are breaks."""


@dataclass(frozen=True, slots=True)
class Given:
    """The rows with labels of two annotators or more."""

    names: tuple[str, ...]
    table: np.ndarray[Any, np.dtype[np.float64]]
    """Shape (rows, annotators); NaN without a label."""
    scale: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two annotators on the rows that both labeled."""

    first: str
    second: str
    n: int
    same: float
    """The share of these rows to which both gave the same label."""
    kappa: float
    """Cohen's; nan where it is undefined."""


@dataclass(frozen=True, slots=True)
class Agreements:
    """How far annotators agree with each other."""

    alpha: float
    """Krippendorff's; nan where it is undefined."""
    scale: str
    """What alpha took labels for: nominal, or interval where they are numbers."""
    n: int
    """Rows with labels of two annotators or more."""
    pairs: tuple[Pair, ...]


def agreement_so_far(board: ReviewState, level: float = 0.95) -> Interval:
    """The share of rows in which the LLM gave the label that people gave, each row counted with 1 / chance.

    Of written texts it is the mean F1 of shared words. Rows that people skipped or disagree about are left out.
    """
    counted = ~np.isnan(board.credits) & ~np.isnan(board.rows.chances)
    credits, weights = board.credits[counted], 1 / board.rows.chances[counted]
    if board.rows.schema.kind == "text-generation":
        return weighted_mean(credits, weights, level)
    if len(weights) and np.ptp(weights) <= 1e-9 * weights.max():
        # As in `validate` with equal inclusion probabilities.
        return wilson(int((credits == 1).sum()), len(credits), level)
    return share_interval(credits == 1, None, SamplingDesign(weights), level)


def given_labels(board: ReviewState) -> Given:
    """The labels of all annotators as they are now; labels that count as the same have equal numbers."""
    people = [who for who in board.annotators.values() if who.labels]
    table = np.column_stack([_codes(board, who) for who in people]) if people else np.zeros((0, 0))
    scale = "interval" if board.rows.schema.kind == "text-scale" else "nominal"
    return Given(tuple(who.name for who in people), table[(~np.isnan(table)).sum(axis=1) > 1], scale)


def annotator_agreement(given: Given) -> Agreements:
    """Krippendorff's alpha of all annotators, and of each two the share of equal labels and Cohen's kappa.

    Labels that count as the same are equal: entities with the same places, answers with the same words.
    """
    table, scale = given.table, given.scale
    pairs = tuple(
        _pair(first, second, table[:, a], table[:, b])
        for (a, first), (b, second) in itertools.combinations(enumerate(given.names), 2)
    )
    alpha = krippendorff_alpha(table, scale) if len(table) else math.nan  # type: ignore[arg-type]
    return Agreements(alpha, scale, len(table), tuple(pair for pair in pairs if pair.n))


def progress(board: ReviewState, name: str) -> dict[str, Any]:
    """What the page shows of the work: counts, pace, and the interval so far."""
    who, queue = board.annotator(name), len(board.rows.queue)
    interval = agreement_so_far(board)
    times = [event.seconds for event in who.history[-RECENT:] if event.seconds and event.seconds < MAX_S]
    done = len(who.labels) + len(who.skips)
    return {
        "rows": queue,
        "labeled": len(who.labels),
        "skipped": len(who.skips),
        "open": max(0, queue - done),
        "seconds": median(times) if times else None,
        "decided": int((~np.isnan(board.credits)).sum()),
        "disputed": sum(board.resolutions[row].value is None for row in board.disputes),
        "agreement": interval.to_dict(),
        "measure": "token F1" if board.rows.schema.kind == "text-generation" else "same label",
        "mean_error": _mean_error(board),
        "annotators": [
            {"name": each.name, "labeled": len(each.labels), "skipped": len(each.skips)}
            for each in board.annotators.values()
            if each.labels or each.skips
        ],
    }


def _mean_error(board: ReviewState) -> float | None:
    """Of numbers on a scale, how far the LLM is off on average; weighted as the rest is."""
    if board.rows.schema.kind != "text-scale":
        return None
    rows = [row for row in np.flatnonzero(~np.isnan(board.credits)).tolist() if board.rows.llm_labels[row] is not None]
    if not rows:
        return None
    errors = [abs(board.resolutions[row].value - board.rows.llm_labels[row]) for row in rows]
    return float(np.average(errors, weights=1 / board.rows.chances[rows]))


def _codes(board: ReviewState, who: Annotator) -> np.ndarray[Any, np.dtype[np.float64]]:
    found = np.full(len(board.rows), np.nan)
    if board.rows.schema.kind == "text-scale":
        found[list(who.labels)] = [event.human_label for event in who.labels.values()]
    else:
        found[list(who.codes)] = list(who.codes.values())
    return found


def _pair(first: str, second: str, a: Any, b: Any) -> Pair:
    both = ~np.isnan(a) & ~np.isnan(b)
    n = int(both.sum())
    same = float((a[both] == b[both]).mean()) if n else math.nan
    return Pair(first, second, n, same, cohen_kappa(a[both], b[both]) if n else math.nan)
