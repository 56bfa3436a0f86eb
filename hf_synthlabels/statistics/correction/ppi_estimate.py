"""Result of PPI++: a mean of human labels with and without a judge's scores."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.intervals import Interval


@dataclass(frozen=True, slots=True)
class PPIEstimate:
    """A mean of human labels, or a difference of two, with and without a judge's scores."""

    interval: Interval
    """Its `n` is the number of human labels."""
    classical: Interval
    """From the human labels only."""
    judge_mean: float
    """The uncorrected mean score of all scored rows, or the difference of two."""
    lam: tuple[float, ...]
    """Weight of the judge in each sample; 0 if it is not used."""
    n_rows: int
    """Rows with and without a human label."""
    n_unscored: int
    """Rows without a judge's score; they get the mean score of the others."""
    effective_n: float
    """Human labels that would be as precise without the judge; nan where nothing varies."""
    notes: tuple[str, ...] = ()

    @property
    def bias(self) -> float:
        """The uncorrected mean less the estimate."""
        return self.judge_mean - self.interval.estimate

    @property
    def width_ratio(self) -> float:
        """The width of the interval divided by that of the classical one."""
        classical = self.classical.high - self.classical.low
        return (self.interval.high - self.interval.low) / classical if classical > 0 else math.nan

    def within(self, low: float, high: float) -> PPIEstimate:
        """The estimate with all numbers cut to the scale of the labels, such as 0 and 1 for binary labels.

        Raises:
            ConfigError: `low` is not below `high`.
        """
        if not low < high:
            raise ConfigError(f"`low` is {low!r} and `high` {high!r}: give the lower and the upper end of the scale.")

        def cut(interval: Interval) -> Interval:
            if math.isnan(interval.estimate):
                return interval
            numbers = (interval.estimate, interval.low, interval.high)
            estimate, lower, upper = (value if math.isnan(value) else min(high, max(low, value)) for value in numbers)
            return replace(interval, estimate=estimate, low=lower, high=upper)

        return replace(self, interval=cut(self.interval), classical=cut(self.classical))

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types; nan becomes None."""
        numbers = {name: getattr(self, name) for name in ("judge_mean", "bias", "effective_n", "width_ratio")}
        return {
            "interval": self.interval.to_dict(),
            "classical": self.classical.to_dict(),
            **{name: None if math.isnan(value) else value for name, value in numbers.items()},
            "lam": list(self.lam),
            "n_rows": self.n_rows,
            "n_unscored": self.n_unscored,
            "notes": list(self.notes),
        }
