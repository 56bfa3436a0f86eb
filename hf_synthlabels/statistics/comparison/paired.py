"""Paired comparisons: McNemar's test, mean differences and non-inferiority."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints, check_lengths
from hf_synthlabels.statistics.comparison.condition_bootstrap import PairedScore
from hf_synthlabels.statistics.intervals import Interval, normal_quantile

NonInferiority = Literal["superior", "non-inferior", "inferior", "inconclusive"]
"""`superior`: the whole interval is above 0; `non-inferior`: above minus the margin; `inferior`: below minus the
margin; `inconclusive`: it includes minus the margin."""

POWER = 0.8


@dataclass(frozen=True, slots=True)
class McNemar:
    """Rows by which of two annotators is correct."""

    both: int
    only_a: int
    only_b: int
    neither: int
    p_value: float
    """Two-sided and exact; 1 without discordant rows."""

    @property
    def n(self) -> int:
        """The number of rows."""
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def difference(self) -> float:
        """Accuracy of a minus accuracy of b; nan without rows."""
        return (self.only_a - self.only_b) / self.n if self.n else float("nan")


def mcnemar(human: Sequence[Any] | Ints, a: Sequence[Any] | Ints, b: Sequence[Any] | Ints) -> McNemar:
    """The exact McNemar test (1947): a two-sided binomial test of the discordant rows.

    A missing prediction (None, or `MISSING` among label ids) is incorrect. The test compares one run of a with one run
    of b; `compare_conditions` includes the variance between seeds.

    Args:
        human: label of each row, as names or label ids, shape (rows,).
        a: labels of the first annotator, in the same form.
        b: labels of the second annotator.

    Raises:
        DataError: the lengths differ, an input has two dimensions, or a human label is missing.
    """
    columns = [np.asarray(labels, dtype=object) for labels in (human, a, b)]
    shapes = [column.shape for column in columns]
    if any(len(shape) != 1 or shape != shapes[0] for shape in shapes):
        raise DataError(
            f"`human`, `a` and `b` have the shapes {', '.join(map(str, shapes))}: "
            "give one label per row, and test each seed separately."
        )
    truth, first, second = columns
    if missing := sum(label is None or label == MISSING for label in truth):
        raise DataError(f"`human` is missing in {missing:,} rows: leave those rows out.")
    correct_a, correct_b = (first == truth).astype(bool), (second == truth).astype(bool)
    only_a, only_b = int((correct_a & ~correct_b).sum()), int((correct_b & ~correct_a).sum())
    both, neither = int((correct_a & correct_b).sum()), int((~correct_a & ~correct_b).sum())
    return McNemar(both, only_a, only_b, neither, discordant_p(only_a, only_b))


def discordant_p(only_a: int, only_b: int) -> float:
    """The two-sided exact p-value of McNemar's test; 1 without discordant rows."""
    discordant = only_a + only_b
    return float(stats.binomtest(only_a, discordant, 0.5).pvalue) if discordant else 1.0


def mean_difference(a: Floats, b: Floats, *, level: float = 0.95) -> Interval:
    """The mean of a - b over the same rows, each from 0 to 1, with a normal interval.

    Pseudo-rows are added (half a row won by a, half by b, and a tie), so that equal rows do not give an interval of
    width 0 (Agresti & Min 2005, for pairs of proportions).

    Args:
        a: scores of the first annotator, shape (rows,); rows where either is nan are left out.
        b: scores of the second annotator.
        level: confidence level.

    Raises:
        DataError: the lengths differ.
    """
    check_lengths(a=a, b=b)
    differences = (a - b)[~np.isnan(a - b)]
    n = len(differences)
    method = "normal, with two pseudo-rows"
    if n == 0:
        return Interval.undefined(level, method)
    mean = float(differences.mean())
    center = float(differences.sum()) / (n + 2)
    square = (float((differences**2).sum()) + 1.0) / (n + 2)
    half = normal_quantile(level) * math.sqrt(max(square - center**2, 0.0) / (n + 2))
    low, high = max(-1.0, center - half), min(1.0, center + half)
    return Interval(mean, min(low, mean), max(high, mean), level, method, n)


@dataclass(frozen=True, slots=True)
class DetectableMargin:
    """Margins of non-inferiority that a comparison of two conditions can detect."""

    margin: float
    """Minimum detectable margin: an equally good condition is found non-inferior with probability `power`."""
    floor: float
    """The same with infinitely many test rows, given the variance between seeds."""
    rows: int | None
    """Test rows needed for the stated margin with as many seeds; None if more rows do not suffice."""
    power: float


def non_inferiority(difference: Interval, margin: float) -> NonInferiority:
    """The verdict on a difference, new minus old, where more is better.

    Comparing the lower limit of a two-sided 95% interval with minus the margin is a one-sided test at 2.5% (Piaggio et
    al. 2012, the CONSORT extension). State the margin before you see the results.

    Args:
        difference: undefined limits are inconclusive.
        margin: largest acceptable loss, at least 0.
    """
    _check_margin(margin)
    if difference.low > 0:
        return "superior"
    if difference.low > -margin:
        return "non-inferior"
    return "inferior" if difference.high < -margin else "inconclusive"


def detectable_margin(pair: PairedScore, margin: float, *, power: float = POWER) -> DetectableMargin:
    """The margins that the test rows and seeds of a comparison can detect.

    An equally good condition is found non-inferior with probability `power` if the margin is (z_level + z_power)
    standard errors of the difference (Julious 2004, equation 20, for pairs). The variance has a component of the rows,
    which falls as 1/n, and one of the seeds.

    Args:
        pair: the comparison.
        margin: the stated margin.
        power: probability of the verdict, from 0.5 to below 1.
    """
    _check_margin(margin)
    errors = _quantile_sum(pair.a.level, power)
    rows, seeds = pair.row_variance, pair.seed_variance
    return DetectableMargin(
        margin=errors * math.sqrt(rows + seeds),
        floor=errors * math.sqrt(seeds),
        rows=rows_to_detect(pair, margin, power=power),
        power=power,
    )


def rows_to_detect(pair: PairedScore, effect: float, *, power: float = POWER) -> int | None:
    """Test rows needed to detect an effect with as many seeds and the same variances.

    Args:
        pair: the comparison whose variances are used.
        effect: a difference of the score, or a margin.
        power: probability of detecting it, from 0.5 to below 1.

    Returns:
        The number of rows; None for no effect, or if the variance between seeds alone hides it.
    """
    variance = (effect / _quantile_sum(pair.a.level, power)) ** 2 - pair.seed_variance
    # The factor keeps rounding errors from adding a row.
    rows = pair.a.n * pair.row_variance * (1 - 1e-9)
    return max(1, math.ceil(rows / variance)) if effect and variance > 0 else None


def _quantile_sum(level: float, power: float) -> float:
    if not 0.5 <= power < 1:
        raise ConfigError(f"`power` is {power!r}: give a probability from 0.5 to below 1, such as 0.8.")
    return normal_quantile(level) + NormalDist().inv_cdf(power)


def _check_margin(margin: float) -> None:
    if not 0 <= margin < math.inf:
        raise ConfigError(f"`margin` is {margin!r}: give a difference of the score, at least 0, such as 0.04.")
