"""Summary of judgments: the mean score with its interval, and bounds for the unscored items."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.clients import Price, Usage
from hf_synthlabels.judging.judgment import Judgment
from hf_synthlabels.judging.rubric import Rubric
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.intervals import bounded_mean, wilson


@dataclass(frozen=True, slots=True)
class JudgeSummary:
    """Summary of judgments on the rubric's own scale; nan if nothing was scored."""

    mean: Interval
    """Mean of the scored items; `mean.n` is their number."""
    unit_mean: float
    """The mean from 0, the worst, to 1, the best."""
    n: int
    """Number of items, scored or not."""
    n_unscored: dict[str, int]
    """Unscored items by status."""
    lowest_mean: float
    """Mean of all items if each unscored one had the worst score."""
    highest_mean: float
    """Mean of all items if each unscored one had the best score."""
    parse_methods: dict[str, int]
    """Scores by parse method."""
    stats: RunStats
    cost_usd: float | None
    """Cost of this run; None without a known price."""
    reference_mean: float = math.nan
    """Mean score of the references, if the rubric scores them."""
    criteria: Mapping[str, JudgeSummary] = field(default_factory=dict)
    """Summary of each criterion by name, if the rubric has several; the rest describes the overall score."""

    @property
    def n_scored(self) -> int:
        """Number of items with a score."""
        return self.mean.n

    @property
    def coverage(self) -> float:
        """Proportion of items with a score; nan without items."""
        return self.mean.n / self.n if self.n else math.nan

    @property
    def ratio(self) -> float:
        """The mean divided by the mean of the references; nan without references."""
        return self.mean.estimate / self.reference_mean if self.reference_mean else math.nan

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, texts and dictionaries of numbers; nan stays nan."""
        values = {
            **self.scores_dict(),
            "requests": self.stats.requests,
            "stored": self.stats.stored,
            "prompt_tokens": self.stats.prompt_tokens,
            "completion_tokens": self.stats.completion_tokens,
            "cost_usd": None if self.cost_usd is None else float(self.cost_usd),
        }
        if not math.isnan(self.reference_mean):
            values |= {"reference_mean": float(self.reference_mean), "ratio": self.ratio}
        if self.criteria:
            values["criteria"] = {name: criterion.scores_dict() for name, criterion in self.criteria.items()}
        return values

    def scores_dict(self) -> dict[str, Any]:
        """The scores and their counts, without requests and cost."""
        return {
            "mean": float(self.mean.estimate),
            "mean_low": float(self.mean.low),
            "mean_high": float(self.mean.high),
            "level": float(self.mean.level),
            "interval_method": self.mean.method,
            "unit_mean": float(self.unit_mean),
            "n": self.n,
            "n_scored": self.n_scored,
            "coverage": float(self.coverage),
            "n_unscored": dict(self.n_unscored),
            "lowest_mean": float(self.lowest_mean),
            "highest_mean": float(self.highest_mean),
            "parse_methods": dict(self.parse_methods),
        }

    def __str__(self) -> str:
        parts = [f"mean {self.mean}" if self.n_scored else "no scores", f"{self.n_scored:,} of {self.n:,} scored"]
        if self.n_unscored:
            statuses = ", ".join(f"{count:,} {status}" for status, count in self.n_unscored.items())
            low, high = self.lowest_mean, self.highest_mean
            parts.append(f"{statuses} (with them the mean is from {low:.3f} to {high:.3f})")
        if self.cost_usd is not None:
            parts.append(f"${self.cost_usd:.4g}")
        lines = [f"  {name}: {criterion}" for name, criterion in self.criteria.items()]
        return "\n".join(["; ".join(parts), *lines])


@dataclass(slots=True)
class ScoreCount:
    """Running counts of judgments; stores eight bytes per score."""

    rubric: Rubric
    n: int = 0
    unscored: Counter[str] = field(default_factory=Counter)
    parse_methods: Counter[str] = field(default_factory=Counter)
    scores: array[float] = field(default_factory=lambda: array("d"))
    references: array[float] = field(default_factory=lambda: array("d"))
    criteria: dict[str, ScoreCount] = field(init=False)

    def __post_init__(self) -> None:
        self.criteria = {name: ScoreCount(part) for name, part in self.rubric.parts.items()}

    def add(self, judgment: Judgment) -> None:
        """Count one judgment."""
        self.n += 1
        for name, count in self.criteria.items():
            count.add(judgment.criteria[name])
        if judgment.score is None:
            self.unscored[judgment.status] += 1
            return
        self.scores.append(judgment.score)
        if judgment.parse_method is not None:
            self.parse_methods[judgment.parse_method] += 1
        if judgment.reference_score is not None:
            self.references.append(judgment.reference_score)

    def summary(self, stats: RunStats, price: Price | None = None, level: float = 0.95) -> JudgeSummary:
        """Summary of the judgments so far."""
        rubric, scores = self.rubric, self.scores
        mean = mean_interval(rubric, scores, level)
        n_unscored = self.n - len(scores)
        total = math.fsum(scores)
        return JudgeSummary(
            mean=mean,
            unit_mean=rubric.unit(mean.estimate) if scores else math.nan,
            n=self.n,
            n_unscored=dict(sorted(self.unscored.items())),
            lowest_mean=(total + n_unscored * rubric.low) / self.n if self.n else math.nan,
            highest_mean=(total + n_unscored * rubric.high) / self.n if self.n else math.nan,
            parse_methods=dict(sorted(self.parse_methods.items())),
            stats=stats,
            cost_usd=cost_usd(stats, price),
            reference_mean=math.fsum(self.references) / len(self.references) if self.references else math.nan,
            criteria={
                name: replace(count.summary(RunStats(), None, level), cost_usd=None)
                for name, count in self.criteria.items()
            },
        )


def cost_usd(stats: RunStats, price: Price | None) -> float | None:
    """Cost of the calls of a run; 0 without calls, None without a known price."""
    if price is None:
        return None if stats.requests else 0.0
    usage = Usage(stats.prompt_tokens, stats.completion_tokens, stats.cached_tokens)
    return price.usd(usage, requests=stats.requests)


def mean_interval(rubric: Rubric, scores: array[float], level: float = 0.95) -> Interval:
    """The mean score with an interval for independently sampled items.

    If all scores are the worst or the best one, the mean is a proportion with Wilson's interval. Otherwise,
    `bounded_mean` extends Agresti & Coull (1998) to bounded scores, so that equal scores do not yield an interval of
    width 0.
    """
    low, span = rubric.low, rubric.high - rubric.low
    if scores and rubric.is_binary and all(score in (rubric.low, rubric.high) for score in scores):
        proportion = wilson(sum(score == rubric.high for score in scores), len(scores), level)
        estimate, lower, upper = (low + span * end for end in (proportion.estimate, proportion.low, proportion.high))
        return Interval(estimate, lower, upper, level, "wilson", len(scores))
    return bounded_mean(scores, rubric.low, rubric.high, level)
