"""Gates: a threshold that a score of the labels must reach."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.design.sample_size import (
    POWER,
    rows_to_fail,
    rows_to_pass,
    scaled_rows_to_fail,
    scaled_rows_to_pass,
)
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.validation.measures import ERRORS, check_measure, check_threshold

Verdict = Literal["pass", "fail", "too_few_human_labels", "continue"]

FORM = re.compile(r"\s*(\w+)\s*(>=|<=)\s*(\S+)\s*")


@dataclass(frozen=True, slots=True)
class Gate:
    """A threshold for the lower limit of a score's interval, or for the upper limit of an error's.

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
        """`>=`, or `<=` for an error."""
        return "<=" if self.metric in ERRORS else ">="

    @classmethod
    def parse(cls, text: str) -> Gate:
        """Read a gate such as `macro_f1>=0.7` or `mae<=0.5`; spaces do not matter."""
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

    def judge(self, interval: Interval, n_human: int, n_rows: int | None = None) -> GateVerdict:
        """Compare the interval of the gate's score with the threshold.

        Args:
            interval: of the score; its limits decide.
            n_human: human-labeled rows behind it.
            n_rows: rows that could be labeled in all, if known.

        Returns:
            `pass` if the lower limit reaches the threshold, `fail` if the upper limit is below it, and otherwise
            `too_few_human_labels` with the rows that would decide. An error passes if its upper limit does not exceed
            the threshold, and fails if its lower limit does. An interval that holds at all looks gives `continue`
            instead of `too_few_human_labels`.
        """
        error = self.metric in ERRORS
        if interval.high <= self.threshold if error else interval.low >= self.threshold:
            return GateVerdict(self, "pass", interval)
        if interval.low > self.threshold if error else interval.high < self.threshold:
            return GateVerdict(self, "fail", interval)
        if interval.holds_at_any_time:
            return GateVerdict(self, "continue", interval)
        if math.isnan(interval.estimate):
            return GateVerdict(self, "too_few_human_labels", interval)
        if interval.method == "wilson" and interval.n == n_human:
            above = rows_to_pass(interval.estimate, self.threshold, interval.level)
            below = rows_to_fail(interval.estimate, self.threshold, interval.level)
        else:
            above = scaled_rows_to_pass(interval, self.threshold, n_human)
            below = scaled_rows_to_fail(interval, self.threshold, n_human)
        # An error passes below the threshold.
        needed, failing = (below, above) if error else (above, below)
        return GateVerdict(self, "too_few_human_labels", interval, needed, failing, n_rows)


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """The decision of a gate."""

    gate: Gate
    verdict: Verdict
    interval: Interval
    rows_needed: int | None = None
    """Human-labeled rows, in all, with which the labels pass with 80% power if the estimate stays; None unless it is
    on the good side of the threshold and the verdict open."""
    rows_to_fail: int | None = None
    """The same, to show that the labels fail; None unless the estimate is on the bad side and the verdict open."""
    n_rows: int | None = None
    """Rows that there are to label in all; None where that is not known or the verdict is not open."""

    def __str__(self) -> str:
        if self.verdict == "continue":
            return f"{self.gate}: continue (the interval {self.interval.limits} contains it, n = {self.interval.n:,})"
        if self.verdict != "too_few_human_labels":
            lower = (self.verdict == "pass") == (self.gate.sign == ">=")
            end = f"lower limit {self.interval.low:.3f}" if lower else f"upper limit {self.interval.high:.3f}"
            return f"{self.gate}: {self.verdict} ({end}, n = {self.interval.n:,})"
        rows = self.rows_to_fail if self.rows_needed is None else self.rows_needed
        if rows is None:
            return f"{self.gate}: too few human labels; more rows like these would not decide"
        what = "show that it fails" if self.rows_needed is None else "pass"
        text = f"{self.gate}: too few human labels; about {rows:,} in all would {what} with {POWER:.0%} power"
        if self.n_rows is not None and rows > self.n_rows:
            text += f", more than the {self.n_rows:,} rows of this table"
        return text

    @property
    def next_step(self) -> str:
        """What to do after this verdict."""
        match self.verdict:
            case "pass":
                return ""
            case "fail":
                return (
                    "Read the mistakes above, then clarify the label definitions or change the model, and "
                    "annotate again. Validate on human labels that did not guide the change. Or label by hand."
                )
            case "continue":
                return (
                    "Label more rows of the sample, in the order of the sheet, or draw more rows. Look again with "
                    "--sequential at any time."
                )
            case _:
                return (
                    "Choose a sample size, draw more rows with `hf-synthlabels sample`, label them, and validate "
                    "once. A gate that is checked after every batch passes too often, except with --sequential."
                )

    def to_dict(self) -> dict[str, Any]:
        """The fields, flat but for the interval."""
        return {
            "metric": self.gate.metric,
            "threshold": self.gate.threshold,
            "verdict": self.verdict,
            "interval": self.interval.to_dict(),
            "rows_needed": self.rows_needed,
            "rows_to_fail": self.rows_to_fail,
            **({} if self.n_rows is None else {"n_rows": self.n_rows}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GateVerdict:
        """Read what `to_dict` returned."""
        return cls(
            Gate(values["metric"], values["threshold"]),
            values["verdict"],
            Interval.from_dict(values["interval"]),
            values["rows_needed"],
            values["rows_to_fail"],
            values.get("n_rows"),
        )
