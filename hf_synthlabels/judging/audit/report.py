"""Results of an audit: statistics of a metric and of its baselines, and the verdict on each property."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hf_synthlabels.statistics import Interval

PropertyVerdict = Literal["pass", "fail", "open", "no_baseline", "not_computed"]
"""`pass`: significantly better than every baseline in every statistic of the property. `fail`: significantly worse than
a baseline in some statistic. `open`: neither. `no_baseline`: there is no baseline. `not_computed`: see `reasons`."""

PROPERTIES: Mapping[str, Mapping[str, int]] = {
    "cit": {"cit_kendall": 1},
    "cat": {"cat_offset": -1, "cat_transfer": 1, "cat_dr2": -1, "cat_cross_excess": 1},
    "tfa": {"tfa_icc": 1, "tfa_auc": 1, "tfa_auc_all": 1},
}
"""The statistics that decide a property, with -1 if lower values are better."""


@dataclass(frozen=True, slots=True)
class TaskAudit:
    """Results of one task."""

    name: str
    coverage: Interval
    """Proportion of the rows with a human score that have a score (Wilson)."""
    scores: Mapping[str, Interval]
    """spearman, kendall, accuracy, system_spearman, system_kendall, offset; with formats icc, icc_consistency, flip,
    auc and auc_all."""

    def to_dict(self) -> dict[str, Any]:
        """Every field, intervals as dictionaries."""
        scores = {name: interval.to_dict() for name, interval in self.scores.items()}
        return {"name": self.name, "coverage": self.coverage.to_dict(), "scores": scores}


@dataclass(frozen=True, slots=True)
class FormatAudit:
    """Results of one format: means over tasks."""

    mean: Interval
    mean_right: Interval
    mean_wrong: Interval
    auc: Interval
    """P(score of a right answer in this format > score of a wrong answer in the reference format)."""
    spearman: Interval
    system_kendall: Interval

    def to_dict(self) -> dict[str, Any]:
        """The intervals as dictionaries."""
        return {name: getattr(self, name).to_dict() for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class MetricAudit:
    """Statistics of one metric, defined in `CIT`, `CAT` and `TFA`."""

    scores: Mapping[str, Interval]
    coverage: Interval
    task_share: float
    """Proportion of tasks in which nearly all rows have a score."""
    tasks: tuple[TaskAudit, ...]
    formats: Mapping[str, FormatAudit]
    reasons: Mapping[str, str]
    """Why a statistic is nan, by the name of the statistic or of its group."""

    def to_dict(self) -> dict[str, Any]:
        """Every field, intervals as dictionaries; nan is None."""
        return {
            "scores": {name: interval.to_dict() for name, interval in self.scores.items()},
            "coverage": self.coverage.to_dict(),
            "task_share": None if math.isnan(self.task_share) else self.task_share,
            "tasks": [task.to_dict() for task in self.tasks],
            "formats": {name: each.to_dict() for name, each in self.formats.items()},
            "reasons": dict(self.reasons),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Advantage of the metric over a baseline in one statistic, on the rows that both scored."""

    statistic: str
    baseline: str
    difference: Interval
    """Positive if the metric is better, even for statistics of which lower values are better."""

    @property
    def verdict(self) -> PropertyVerdict:
        """Whether the interval is above 0, below 0, or includes 0."""
        if math.isnan(self.difference.estimate) or math.isnan(self.difference.low):
            return "not_computed"
        return "pass" if self.difference.low > 0 else "fail" if self.difference.high < 0 else "open"

    def to_dict(self) -> dict[str, Any]:
        """Every field, and the verdict."""
        return {
            "statistic": self.statistic,
            "baseline": self.baseline,
            "difference": self.difference.to_dict(),
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True)
class Audit:
    """Audit of a metric."""

    metric: MetricAudit
    baselines: Mapping[str, MetricAudit]
    comparisons: tuple[Comparison, ...]
    verdicts: Mapping[str, PropertyVerdict]
    """Verdicts on `cit`, `cat` and `tfa`."""
    n_unreferenced: int
    """Rows without a human score, which are excluded."""

    @property
    def scores(self) -> Mapping[str, Interval]:
        """Statistics of the metric."""
        return self.metric.scores

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why statistics are nan."""
        return self.metric.reasons

    def to_dict(self) -> dict[str, Any]:
        """Every field, for JSON."""
        return {
            "metric": self.metric.to_dict(),
            "baselines": {name: each.to_dict() for name, each in self.baselines.items()},
            "comparisons": [each.to_dict() for each in self.comparisons],
            "verdicts": dict(self.verdicts),
            "n_unreferenced": self.n_unreferenced,
        }


def decide(scores: Mapping[str, Interval], comparisons: Sequence[Comparison]) -> dict[str, PropertyVerdict]:
    """The verdict on each property.

    A property passes if every comparison passes at the level of its interval. Requiring all comparisons makes a false
    pass less likely (intersection-union test, Berger 1982), so the level needs no correction. A statistic that is
    undefined for the metric or a baseline is not compared; a property without comparisons is not computed.
    """
    out: dict[str, PropertyVerdict] = {}
    for name, statistics in PROPERTIES.items():
        known = [each for each in statistics if each in scores and not math.isnan(scores[each].estimate)]
        verdicts = [each.verdict for each in comparisons if each.statistic in known and each.verdict != "not_computed"]
        if not known:
            out[name] = "not_computed"
        elif not verdicts:
            out[name] = "no_baseline"
        elif "fail" in verdicts:
            out[name] = "fail"
        else:
            out[name] = "open" if "open" in verdicts else "pass"
    return out
