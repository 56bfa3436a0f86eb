"""Bias: what moves a judge's scores beside how good humans find an answer: length, its own model, format."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from hf_synthlabels.errors import DataError
from hf_synthlabels.judging.audit.audit_rows import Codes, Floats, Ints, numbers
from hf_synthlabels.statistics import BootstrapConfig, Interval
from hf_synthlabels.statistics.arrays import check_level
from hf_synthlabels.statistics.bootstrap import cluster_bootstrap

RANK = 1e-8
"""A column of which less than this share is left beside the others can not be told apart from them."""


@dataclass(frozen=True, slots=True)
class BiasReport:
    """How much each property of an answer moves the judge's error, all else equal."""

    effects: Mapping[str, Interval]
    """By name: `length` (per doubling), `own`, `format:<name>` (against the first format), in units of the score."""
    n: int
    clusters: int
    dropped: int
    """Rows that lack a score, a human score or a property."""
    reasons: Mapping[str, str]
    """Why an effect is nan."""

    def to_dict(self) -> dict[str, Any]:
        """Every field, intervals as dictionaries."""
        return {
            "effects": {name: effect.to_dict() for name, effect in self.effects.items()},
            "n": self.n,
            "clusters": self.clusters,
            "dropped": self.dropped,
            "reasons": dict(self.reasons),
        }


def judge_bias(
    scores: Sequence[float | None],
    human: Sequence[float | None],
    *,
    lengths: Sequence[float | None] | None = None,
    own: Sequence[bool] | None = None,
    formats: Sequence[Hashable] | None = None,
    tasks: Sequence[Hashable] | None = None,
    items: Sequence[Hashable] | None = None,
    given_human: bool = True,
    level: float = 0.95,
) -> BiasReport:
    """Least squares of score - human score on properties of the answers, with intervals that allow unequal variances.

    The covariance is HC3 (MacKinnon & White 1985): (X'X)^-1 X' diag(e^2 / (1 - h)^2) X (X'X)^-1. With `items` it is its
    form for clusters, CR3 (Bell & McCaffrey 2002), which is the jackknife that leaves out one item at a time; the
    quantile is Student's with n - k degrees of freedom, or clusters - 1.

    Args:
        scores: the judge's, from 0 to 1; None where it gave none.
        human: on the same scale.
        lengths: of the answers, above 0; they enter as log2, so the effect is that of twice the length.
        own: whether the judge's own model wrote the answer.
        formats: of the answers.
        tasks: each has a level of its own.
        items: which rows hang together.
        given_human: also hold the human score fixed. Judges who use less of the scale than humans have errors that fall
            with the human score, and longer answers are often better: without it that would count as bias.
        level: confidence level.

    Raises:
        DataError: columns differ in length, a score is not from 0 to 1 or a length not above 0.
        ConfigError: `level` is not between 0 and 1.
    """
    check_level(level)
    score, truth = numbers("scores", scores), numbers("human", human)
    given = {"human": human, "lengths": lengths, "own": own, "formats": formats, "tasks": tasks, "items": items}
    for name, column in given.items():
        if column is not None and len(column) != len(score):
            raise DataError(f"`{name}` has {len(column)} rows and `scores` {len(score)}: give one for each.")
    effects = _effects(lengths, own, formats)
    others = [truth] if given_human else []
    level_of = np.zeros(len(score), dtype=np.int64) if tasks is None else Codes.of(tasks).values
    others += [(level_of == task).astype(np.float64) for task in np.unique(level_of)]
    table = np.column_stack([*effects.values(), *others])
    kept = ~np.isnan(table).any(axis=1) & ~np.isnan(score) & ~np.isnan(truth)
    groups = np.arange(len(score)) if items is None else Codes.of(items).values
    clusters = len(np.unique(groups[kept]))
    fitted, reasons = _fit(table[kept], (score - truth)[kept], groups[kept], list(effects), items is not None, level)
    method = "CR3" if items is not None else "HC3"
    n = int(kept.sum())
    intervals = {name: Interval(*fitted[name], level, method, n) for name in effects}
    return BiasReport(intervals, n, clusters, int((~kept).sum()), reasons)


def _effects(
    lengths: Sequence[float | None] | None, own: Sequence[bool] | None, formats: Sequence[Hashable] | None
) -> dict[str, Floats]:
    out: dict[str, Floats] = {}
    if lengths is not None:
        length = numbers("lengths", lengths, unit=False)
        if (short := np.flatnonzero(length <= 0)).size:
            raise DataError(f"`lengths` has {length[short[0]]:g} in row {short[0]}: give lengths above 0.")
        out["length"] = np.log2(length)
    if own is not None:
        out["own"] = np.array([bool(each) for each in own], dtype=np.float64)
    if formats is not None:
        codes = Codes.of(formats)
        for code, name in list(enumerate(codes.names))[1:]:
            out[f"format:{name}"] = (codes.values == code).astype(np.float64)
    return out


def _fit(
    table: Floats, error: Floats, groups: Ints, names: Sequence[str], clustered: bool, level: float
) -> tuple[dict[str, tuple[float, float, float]], dict[str, str]]:
    """Estimate and ends of each named effect, which are the first columns; nan with the reason where there is none."""
    nothing = (math.nan, math.nan, math.nan)
    found, reasons = dict.fromkeys(names, nothing), {}
    # The others first: what an effect shares with them is theirs.
    order = [*range(len(names), table.shape[1]), *range(len(names))]
    chosen: list[int] = []
    for column in order:
        if _adds(table[:, chosen], table[:, column]):
            chosen.append(column)
        elif column < len(names):
            reasons[names[column]] = (
                "it is constant, or can not be told apart from tasks, human scores or other effects"
            )
    design = table[:, chosen]
    n, k = design.shape
    degrees = len(np.unique(groups)) - 1 if clustered else n - k
    if n <= k or degrees < 1:
        return found, reasons | {name: f"{n} rows are too few for {k} coefficients" for name in names}
    inverse: Floats = np.linalg.inv(design.T @ design).astype(np.float64)
    coefficients = inverse @ design.T @ error
    spread = np.sqrt(np.diag(_covariance(design, error - design @ coefficients, groups, inverse)))
    reach = float(stats.t.ppf((1 + level) / 2, degrees))
    for place, column in enumerate(chosen):
        if column < len(names):
            middle, half = float(coefficients[place]), reach * float(spread[place])
            found[names[column]] = (middle, middle - half, middle + half)
            if math.isnan(half):
                reasons[names[column]] = "one row or item alone decides a coefficient: there is no interval"
    return found, reasons


def _adds(others: Floats, column: Floats) -> bool:
    """Whether a column holds something that the others do not."""
    size = float(np.linalg.norm(column))
    if size == 0 or others.shape[1] == 0:
        return size > 0
    rest = column - others @ np.linalg.lstsq(others, column, rcond=None)[0]
    return float(np.linalg.norm(rest)) > RANK * size


def _covariance(design: Floats, residual: Floats, groups: Ints, inverse: Floats) -> Floats:
    """Sum over clusters of u u' with u = (X'X)^-1 X_g' (I - H_gg)^-1 e_g."""
    out = np.zeros_like(inverse)
    order = np.argsort(groups, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        part = design[rows]
        left = np.eye(len(rows)) - part @ inverse @ part.T
        if np.linalg.eigvalsh(left)[0] < RANK:
            return np.full_like(inverse, np.nan)
        moved = inverse @ part.T @ np.linalg.solve(left, residual[rows])
        out += np.outer(moved, moved)
    return out


@dataclass(frozen=True, slots=True)
class SelfPreference:
    """How often a judge prefers its own model's answers, beside how often humans do on the same pairs."""

    judge: Interval
    """The mean of: 1 the own answer wins, 0.5 a tie, 0 the other wins."""
    human: Interval
    difference: Interval
    """judge - human; above 0 is self-preference."""
    dropped: int
    """Pairs without a verdict of either."""

    def to_dict(self) -> dict[str, Any]:
        """Every field, intervals as dictionaries."""
        intervals = {name: getattr(self, name).to_dict() for name in ("judge", "human", "difference")}
        return intervals | {"dropped": self.dropped}


def self_preference(
    judge: Sequence[float | None],
    human: Sequence[float | None],
    *,
    items: Sequence[Hashable] | None = None,
    bootstrap: BootstrapConfig | None = None,
) -> SelfPreference:
    """Compare a judge's win rate of its own model's answers with that of humans (Panickssery et al. 2024).

    That a judge prefers its own model's answers is no bias where humans do so too; hence the paired difference.

    Args:
        judge: for each pair of an own and another answer 1 when the own wins, 0.5 for a tie, 0 when the other wins;
            None where there is no verdict. `PairJudgment.score` is that when own answers are the first ones.
        human: the same by humans.
        items: which pairs hang together.
        bootstrap: level, resamples and seed.

    Raises:
        DataError: columns differ in length, or a value is not from 0 to 1.
    """
    ours, theirs = numbers("judge", judge), numbers("human", human)
    groups = np.arange(len(ours)) if items is None else Codes.of(items).values
    if len(theirs) != len(ours) or len(groups) != len(ours):
        raise DataError(
            f"`judge` has {len(ours)} rows, `human` {len(theirs)}, `items` {len(groups)}: give one for each."
        )
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    ours, theirs, groups = ours[both], theirs[both], groups[both]

    def interval(values: Floats) -> Interval:
        return cluster_bootstrap(lambda rows: float(values[rows].mean()), groups, bootstrap)

    return SelfPreference(interval(ours), interval(theirs), interval(ours - theirs), int((~both).sum()))
