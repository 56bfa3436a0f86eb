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
from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints, check_level
from hf_synthlabels.statistics.comparison.condition_bootstrap import PairedScore
from hf_synthlabels.statistics.intervals import Interval, normal_quantile


@dataclass(frozen=True, slots=True)
class McNemar:
    """How two annotators share out the rows that they get right."""

    both: int
    only_a: int
    only_b: int
    neither: int
    p_value: float
    """Two-sided and exact; 1 when the two are never discordant."""

    @property
    def n(self) -> int:
        """The number of rows."""
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def difference(self) -> float:
        """Accuracy of a minus accuracy of b; nan when there is no row."""
        return (self.only_a - self.only_b) / self.n if self.n else float("nan")


def mcnemar(human: Sequence[Any] | Ints, a: Sequence[Any] | Ints, b: Sequence[Any] | Ints) -> McNemar:
    """The exact McNemar test (1947): are the rows that only one of the two gets right shared out as by a coin?

    Two-sided binomial test of the discordant rows at 1/2. A prediction that is missing (None, or `MISSING` among
    codes) is wrong. The rows are the sample here, so the test is of one run of a against one run of b: with several
    seeds, make one test per seed pair (they are not independent: the rows are the same), or use `compare_conditions`,
    which takes seeds as a source of chance, too.

    Args:
        human: the label of each row, as names or codes, shape (rows,).
        a: the first annotator's labels, in the same form.
        b: the second annotator's.

    Raises:
        DataError: the lengths differ, something has two dimensions, or a human label is missing.
    """
    columns = [np.asarray(labels, dtype=object) for labels in (human, a, b)]
    shapes = [column.shape for column in columns]
    if any(len(shape) != 1 or shape != shapes[0] for shape in shapes):
        raise DataError(
            f"`human`, `a` and `b` have the shapes {', '.join(map(str, shapes))}: "
            "give one label per row; with several seeds, test each by itself."
        )
    truth, first, second = columns
    if missing := sum(label is None or label == MISSING for label in truth):
        raise DataError(f"`human` is missing in {missing:,} rows: leave those rows out.")
    right_a, right_b = (first == truth).astype(bool), (second == truth).astype(bool)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    p_value = discordant_p(only_a, only_b)
    return McNemar(int((right_a & right_b).sum()), only_a, only_b, int((~right_a & ~right_b).sum()), p_value)


def discordant_p(only_a: int, only_b: int) -> float:
    """The two-sided exact p of McNemar's test from the discordant rows; 1 where there are none."""
    discordant = only_a + only_b
    return float(stats.binomtest(only_a, discordant, 0.5).pvalue) if discordant else 1.0


def mean_difference(a: Floats, b: Floats, *, level: float = 0.95) -> Interval:
    """The mean of a - b over the same rows, each from 0 to 1, with an interval.

    Half a row that a alone gets right, half a row that b alone does, and a row where they agree are added: without
    them, rows that never differ would seem to prove that none ever does (Agresti & Min 2005, for pairs of
    proportions). The ends are z standard errors around the mean of what is then there.

    Args:
        a: credits of the first annotator, shape (rows,); rows where either is nan are left out.
        b: credits of the second.
        level: confidence level.

    Raises:
        DataError: the lengths differ.
    """
    if len(a) != len(b):
        raise DataError(f"`a` has {len(a):,} rows and `b` {len(b):,}: give credits of the same rows.")
    differences = (a - b)[~np.isnan(a - b)]
    n = len(differences)
    method = "normal, with two pseudo-rows"
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, level, method, 0)
    mean = float(differences.mean())
    centre = float(differences.sum()) / (n + 2)
    square = (float((differences**2).sum()) + 1.0) / (n + 2)
    reach = normal_quantile(level) * math.sqrt(max(square - centre**2, 0.0) / (n + 2))
    low, high = max(-1.0, centre - reach), min(1.0, centre + reach)
    return Interval(mean, min(low, mean), max(high, mean), level, method, n)


NonInferiority = Literal["better", "not inferior", "inferior", "not resolved"]
"""`better`: the whole interval is above 0; `not inferior`: above minus the margin; `inferior`: below minus the margin;
`not resolved`: it holds minus the margin, so that these rows and seeds can not say."""


POWER = 0.8


@dataclass(frozen=True, slots=True)
class DetectableMargin:
    """What a comparison of two arms can resolve."""

    margin: float
    """The smallest margin by which an arm that is truly as good would be found not inferior, at that power."""
    floor: float
    """The same with endless test rows: what the seeds alone leave open."""
    rows: int | None
    """Test rows that the stated margin takes with as many seeds; None where no number will do."""
    power: float


def non_inferiority(difference: Interval, margin: float) -> NonInferiority:
    """The verdict on a difference, new minus old, of which more is better.

    The lower end of a two-sided interval at 95 % against minus the margin is a one-sided test at 2.5 % (Piaggio et
    al. 2012, the CONSORT extension). The margin is to be stated before the numbers are seen.

    Args:
        difference: with its interval; undefined ends are not resolved.
        margin: the loss that counts as none, at least 0.

    Raises:
        ConfigError: `margin` is less than 0.
    """
    _check_margin(margin)
    if difference.low > 0:
        return "better"
    if difference.low > -margin:
        return "not inferior"
    return "inferior" if difference.high < -margin else "not resolved"


def detectable_margin(pair: PairedScore, margin: float, *, power: float = POWER) -> DetectableMargin:
    """What the test rows and seeds of a comparison can resolve.

    An arm that is truly as good is found not inferior with the chance `power` when the margin is (z_level + z_power)
    standard errors of the difference (Julious 2004, equation 20, for pairs). The error's square is the rows' part,
    which falls as 1/n, and the seeds'.

    Args:
        pair: the comparison.
        margin: the stated one.
        power: the chance of the verdict.

    Raises:
        ConfigError: `margin` or `power` can not be used.
    """
    _check_margin(margin)
    reach = _reach(pair.a.level, power)
    rows, seeds = pair.row_variance, pair.seed_variance
    return DetectableMargin(
        reach * math.sqrt(rows + seeds), reach * math.sqrt(seeds), rows_to_detect(pair, margin, power=power), power
    )


def rows_to_detect(pair: PairedScore, effect: float, *, power: float = POWER) -> int | None:
    """How many test rows it takes to tell an effect from none, with as many seeds and the same spread.

    Args:
        pair: the comparison, whose variances are taken to stay.
        effect: a difference of the score, or a margin.
        power: the chance to find it.

    Returns:
        The number of rows; None for no effect, or where the seeds alone hide it.

    Raises:
        ConfigError: `power` is not between 0.5 and 1.
    """
    left = (effect / _reach(pair.a.level, power)) ** 2 - pair.seed_variance
    # The tiny factor keeps rounding errors from asking for one row more.
    return max(1, math.ceil(pair.a.n * pair.row_variance / left * (1 - 1e-9))) if effect and left > 0 else None


def _reach(level: float, power: float) -> float:
    check_level(level)
    if not 0.5 <= power < 1:
        raise ConfigError(f"`power` is {power!r}: give a chance from 0.5 to below 1, such as 0.8.")
    return NormalDist().inv_cdf((1 + level) / 2) + NormalDist().inv_cdf(power)


def _check_margin(margin: float) -> None:
    if not 0 <= margin < math.inf:
        raise ConfigError(f"`margin` is {margin!r}: give a difference of the score, at least 0, such as 0.04.")
