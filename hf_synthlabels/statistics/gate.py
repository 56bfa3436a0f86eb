"""Gate: the score that labels must reach before anything is trained on them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.measures import ERRORS, check_measure, check_threshold
from hf_synthlabels.statistics.power import rows_to_fail, rows_to_pass, scaled_rows_to_fail, scaled_rows_to_pass

__all__ = ["Gate", "GateVerdict", "Verdict"]

Verdict = Literal["pass", "fail", "too_few_human_labels"]

FORM = re.compile(r"\s*(\w+)\s*(>=|<=)\s*(\S+)\s*")


@dataclass(frozen=True, slots=True)
class Gate:
    """A threshold for the lower end of a score's interval; of an error, for the upper end.

    Raises:
        ConfigError: `metric` is not one of `MEASURES`, or `threshold` is not a number that the score can take.
    """

    metric: str
    threshold: float

    def __post_init__(self) -> None:
        check_measure(self.metric)
        check_threshold(self.metric, self.threshold)

    def __str__(self) -> str:
        return f"{self.metric} {self.sign} {self.threshold:g}"

    @property
    def sign(self) -> str:
        """How the score is held against the threshold: `>=`, of an error `<=`."""
        return "<=" if self.metric in ERRORS else ">="

    @classmethod
    def parse(cls, text: str) -> Gate:
        """Read a gate such as `macro_f1>=0.7` or `mae<=0.5`; spaces do not matter.

        Raises:
            ConfigError: the text has another form, or names a score or a threshold that there is not.
        """
        match = FORM.fullmatch(text)
        if match is None:
            raise ConfigError(f"`gate` is {text!r}: write a score, >= and a threshold, such as 'macro_f1>=0.7'.")
        metric, sign, number = match.groups()
        try:
            threshold = float(number)
        except ValueError:
            raise ConfigError(f"`gate` has the threshold {number!r}: give a number from 0 to 1, such as 0.7.") from None
        gate = cls(metric, threshold)
        if sign != gate.sign:
            better = "less" if gate.sign == "<=" else "more"
            raise ConfigError(
                f"`gate` is {text!r}: of {metric} {better} is better, so write '{metric}{gate.sign}{number}'."
            )
        return gate

    def judge(self, interval: Interval, n_human: int) -> GateVerdict:
        """Hold the interval of the gate's score against the threshold.

        Args:
            interval: of the score; its ends decide.
            n_human: the human-labelled rows behind it, from which the rows needed are reckoned.

        Returns:
            `pass` if the lower end reaches the threshold, `fail` if the upper end is below it, and otherwise
            `too_few_human_labels` with the rows that would decide. Of an error, `pass` if the upper end does not exceed
            the threshold, and `fail` if the lower end does.
        """
        error = self.metric in ERRORS
        if interval.high <= self.threshold if error else interval.low >= self.threshold:
            return GateVerdict(self, "pass", interval)
        if interval.low > self.threshold if error else interval.high < self.threshold:
            return GateVerdict(self, "fail", interval)
        if math.isnan(interval.estimate):
            return GateVerdict(self, "too_few_human_labels", interval)
        if interval.method == "wilson" and interval.n == n_human:
            above = rows_to_pass(interval.estimate, self.threshold, interval.level)
            below = rows_to_fail(interval.estimate, self.threshold, interval.level)
        else:
            above = scaled_rows_to_pass(interval, self.threshold, n_human)
            below = scaled_rows_to_fail(interval, self.threshold, n_human)
        # An error passes below the threshold.
        return GateVerdict(self, "too_few_human_labels", interval, *((below, above) if error else (above, below)))


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """What a gate says of the labels."""

    gate: Gate
    verdict: Verdict
    interval: Interval
    rows_needed: int | None = None
    """Human-labelled rows, in all, that would do to pass if the estimate stays; None unless it is on the good side of
    the threshold and the verdict open."""
    rows_to_fail: int | None = None
    """The same, to show that the labels fail; None unless the estimate is on the bad side and the verdict open."""

    def __str__(self) -> str:
        if self.verdict != "too_few_human_labels":
            lower = (self.verdict == "pass") == (self.gate.sign == ">=")
            end = f"lower end {self.interval.low:.3f}" if lower else f"upper end {self.interval.high:.3f}"
            return f"{self.gate}: {self.verdict} ({end}, n = {self.interval.n:,})"
        if self.rows_needed is not None:
            return f"{self.gate}: too few human labels; about {self.rows_needed:,} in all would do to pass"
        if self.rows_to_fail is not None:
            return (
                f"{self.gate}: too few human labels; about {self.rows_to_fail:,} in all would do to show that it fails"
            )
        return f"{self.gate}: too few human labels; no number of rows like these would decide"

    def to_dict(self) -> dict[str, Any]:
        """The fields, flat but for the interval."""
        return {
            "metric": self.gate.metric,
            "threshold": self.gate.threshold,
            "verdict": self.verdict,
            "interval": self.interval.to_dict(),
            "rows_needed": self.rows_needed,
            "rows_to_fail": self.rows_to_fail,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GateVerdict:
        """The verdict that `to_dict` wrote."""
        return cls(
            Gate(values["metric"], values["threshold"]),
            values["verdict"],
            Interval.from_dict(values["interval"]),
            values["rows_needed"],
            values["rows_to_fail"],
        )
