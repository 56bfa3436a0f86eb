"""What PPI++ gives: a mean of human labels that a judge has made more precise, and what that rests on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.intervals import Interval


@dataclass(frozen=True, slots=True)
class PPIEstimate:
    """A mean of human labels, or a difference of two, that a judge's scores have made more precise."""

    interval: Interval
    """Its `n` is the number of human labels."""
    classical: Interval
    """From the human labels alone."""
    judge_mean: float
    """What the judge says alone, uncorrected: mean score of all scored rows, or the difference of two."""
    lam: tuple[float, ...]
    """How much the judge was used, from 0 (not at all) on; one for each sample."""
    n_rows: int
    """All rows, with and without a human label."""
    n_unscored: int
    """Rows without a judge's score; they count with the mean score of the others."""
    effective_n: float
    """How many human labels would have been as precise without the judge; nan where nothing varies."""
    notes: tuple[str, ...] = ()
    """What to keep in mind."""

    @property
    def bias(self) -> float:
        """What the judge says less the estimate: how far its uncorrected mean is off."""
        return self.judge_mean - self.interval.estimate

    @property
    def width_ratio(self) -> float:
        """The interval's width as a share of the classical one's."""
        classical = self.classical.high - self.classical.low
        return (self.interval.high - self.interval.low) / classical if classical > 0 else math.nan

    def within(self, low: float, high: float) -> PPIEstimate:
        """The same with estimate and ends cut to the scale of the labels, such as 0 and 1 for yes and no.

        Corrected means know no scale: near its end they, or more often an end of the interval, may lie beyond it.

        Raises:
            ConfigError: `low` is not below `high`.
        """
        if not low < high:
            raise ConfigError(f"`low` is {low!r} and `high` {high!r}: give the scale's lower end and its upper one.")

        def cut(interval: Interval) -> Interval:
            if math.isnan(interval.estimate):
                return interval
            numbers = (interval.estimate, interval.low, interval.high)
            estimate, lower, upper = (value if math.isnan(value) else min(high, max(low, value)) for value in numbers)
            return replace(interval, estimate=estimate, low=lower, high=upper)

        return replace(self, interval=cut(self.interval), classical=cut(self.classical))

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON; nan becomes None."""
        plain = {"judge_mean": self.judge_mean, "bias": self.bias, "effective_n": self.effective_n}
        plain["width_ratio"] = self.width_ratio
        return {
            "interval": self.interval.to_dict(),
            "classical": self.classical.to_dict(),
            **{name: None if math.isnan(value) else value for name, value in plain.items()},
            "lam": list(self.lam),
            "n_rows": self.n_rows,
            "n_unscored": self.n_unscored,
            "notes": list(self.notes),
        }
