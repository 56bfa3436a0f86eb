"""Non-inferiority: whether a loss is small enough to count as none, and what so many rows can resolve at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.comparison.condition_bootstrap import PairedScore
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.label_ids import check_level

NonInferiority = Literal["better", "not inferior", "inferior", "not resolved"]
"""`better`: the whole interval is above 0; `not inferior`: above minus the margin; `inferior`: below minus the margin;
`not resolved`: it holds minus the margin, so that these rows and seeds can not say."""

POWER = 0.8


@dataclass(frozen=True, slots=True)
class Resolution:
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


def resolution(pair: PairedScore, margin: float, *, power: float = POWER) -> Resolution:
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
    return Resolution(
        reach * math.sqrt(rows + seeds), reach * math.sqrt(seeds), rows_to_resolve(pair, margin, power=power), power
    )


def rows_to_resolve(pair: PairedScore, effect: float, *, power: float = POWER) -> int | None:
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
