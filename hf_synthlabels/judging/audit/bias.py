"""Bias of a judge: effects of length, own model and format on its scores, given the human scores."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from hf_synthlabels.errors import DataError
from hf_synthlabels.judging.audit.rows import Codes, Floats, Ints, check_lengths, numbers
from hf_synthlabels.statistics import BootstrapConfig, Interval
from hf_synthlabels.statistics.arrays import check_level
from hf_synthlabels.statistics.bootstrap import cluster_bootstrap

RANK = 1e-8
"""Minimum relative norm of a column's residual on the other columns; below it, the columns are collinear."""


@dataclass(frozen=True, slots=True)
class BiasReport:
    """Effect of each property of an answer on the judge's error, other properties being equal."""

    effects: Mapping[str, Interval]
    """By name: `length` (per doubling), `own`, `format:<name>` (relative to the first format), in score units."""
    n: int
    clusters: int
    dropped: int
    """Incomplete rows, which are excluded."""
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
    """Least-squares regression of score - human score on properties of the answers, with robust intervals.

    The covariance is HC3 (MacKinnon & White 1985). With `items` it is the cluster-robust CR3 (Bell & McCaffrey 2002),
    the jackknife over items. The quantile is Student's with n - k degrees of freedom, or clusters - 1.

    Args:
        scores: scores of the judge from 0 to 1; None for a missing one.
        human: human scores on the same scale.
        lengths: positive lengths of the answers; the regressor is log2, so the effect is per doubling.
        own: whether the judge's own model wrote the answer.
        formats: format of each answer.
        tasks: task of each row, as fixed effects.
        items: cluster of each row.
        given_human: also condition on the human score. The errors of a judge that uses less of the scale decrease with
            the human score, and longer answers are often better; without conditioning, that would count as bias.
        level: confidence level.

    Raises:
        DataError: the columns differ in length, a score is not in [0, 1], or a length is not positive.
        ConfigError: `level` is not between 0 and 1.
    """
    check_level(level)
    score, truth = numbers("scores", scores), numbers("human", human)
    check_lengths(len(score), human=human, lengths=lengths, own=own, formats=formats, tasks=tasks, items=items)
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
            raise DataError(f"`lengths` has {length[short[0]]:g} in row {short[0]}: give positive lengths.")
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
    """Estimate and confidence limits of each named effect, the first columns; nan with a reason if undefined."""
    undefined = (math.nan, math.nan, math.nan)
    effects, reasons = dict.fromkeys(names, undefined), {}
    # The other columns come first: what an effect shares with them is attributed to them.
    order = [*range(len(names), table.shape[1]), *range(len(names))]
    chosen: list[int] = []
    for column in order:
        if _adds(table[:, chosen], table[:, column]):
            chosen.append(column)
        elif column < len(names):
            reasons[names[column]] = "it is constant, or collinear with tasks, human scores or other effects"
    design = table[:, chosen]
    n, k = design.shape
    degrees = len(np.unique(groups)) - 1 if clustered else n - k
    if n <= k or degrees < 1:
        return effects, reasons | {name: f"{n} rows are too few for {k} coefficients" for name in names}
    inverse: Floats = np.linalg.inv(design.T @ design).astype(np.float64)
    coefficients = inverse @ design.T @ error
    spread = np.sqrt(np.diag(_covariance(design, error - design @ coefficients, groups, inverse)))
    reach = float(stats.t.ppf((1 + level) / 2, degrees))
    for place, column in enumerate(chosen):
        if column < len(names):
            middle, half = float(coefficients[place]), reach * float(spread[place])
            effects[names[column]] = (middle, middle - half, middle + half)
            if math.isnan(half):
                reasons[names[column]] = "a single row or item determines a coefficient: there is no interval"
    return effects, reasons


def _adds(others: Floats, column: Floats) -> bool:
    """Whether a column is linearly independent of the others."""
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
    """Preference of a judge for its own model's answers, compared with human preference on the same pairs."""

    judge: Interval
    """Mean of 1 for a win of the own answer, 0.5 for a tie and 0 for a loss."""
    human: Interval
    difference: Interval
    """judge - human; above 0 is self-preference."""
    dropped: int
    """Pairs without both verdicts, which are excluded."""

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
    """Compare the win rate of the judge's own model by the judge and by humans (Panickssery et al. 2024).

    A preference that humans share is not a bias, hence the paired difference.

    Args:
        judge: for each pair of an own and another answer, 1 if the own wins, 0.5 for a tie, 0 if it loses; None without
            a verdict. Equals `PairJudgment.score` if own answers come first.
        human: the same for the human verdicts.
        items: cluster of each pair.
        bootstrap: confidence level, number of resamples and seed.

    Raises:
        DataError: the columns differ in length, or a value is not in [0, 1].
    """
    check_lengths(len(judge), human=human, items=items)
    by_judge, by_human = numbers("judge", judge), numbers("human", human)
    groups = np.arange(len(by_judge)) if items is None else Codes.of(items).values
    both = ~np.isnan(by_judge) & ~np.isnan(by_human)
    by_judge, by_human, groups = by_judge[both], by_human[both], groups[both]

    def interval(values: Floats) -> Interval:
        return cluster_bootstrap(lambda rows: float(values[rows].mean()), groups, bootstrap)

    difference = interval(by_judge - by_human)
    return SelfPreference(interval(by_judge), interval(by_human), difference, int((~both).sum()))
