"""JudgeSummary: what many judgments come to, with an interval, and with what the unscored ones could change."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.clients import Price, Usage
from hf_synthlabels.judging.judgment import Judgment
from hf_synthlabels.judging.rubric import Rubric
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.intervals import bounded_mean, wilson


@dataclass(frozen=True, slots=True)
class JudgeSummary:
    """What many judgments come to. Scores are on the rubric's own scale; nan where nothing was scored."""

    mean: Interval
    """Over the scored items; `mean.n` is their number."""
    unit_mean: float
    """The mean on a scale from 0, the worst, to 1, the best."""
    n: int
    """Items, scored or not."""
    n_unscored: dict[str, int]
    """By reason."""
    lowest_mean: float
    """Over all items, if each unscored one had the worst score."""
    highest_mean: float
    """Over all items, if each unscored one had the best score."""
    rungs: dict[str, int]
    """How many scores were read on which rung of the ladder."""
    tally: RunStats
    cost_usd: float | None
    """Of what was asked now; None where no price is known."""
    reference_mean: float = math.nan
    """Of a rubric that scores the reference too."""

    @property
    def n_scored(self) -> int:
        """Items with a score."""
        return self.mean.n

    @property
    def coverage(self) -> float:
        """The share of items with a score; nan without items."""
        return self.mean.n / self.n if self.n else math.nan

    def as_dict(self) -> dict[str, Any]:
        """As plain numbers, texts and dictionaries of numbers; nan stays nan."""
        found: dict[str, Any] = {
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
            "rungs": dict(self.rungs),
            "requests": self.tally.requests,
            "stored": self.tally.stored,
            "prompt_tokens": self.tally.prompt_tokens,
            "completion_tokens": self.tally.completion_tokens,
            "cost_usd": None if self.cost_usd is None else float(self.cost_usd),
        }
        if not math.isnan(self.reference_mean):
            found |= {"reference_mean": float(self.reference_mean), "ratio": self.ratio}
        return found

    @property
    def ratio(self) -> float:
        """The mean over the reference's mean; nan where there is none."""
        return self.mean.estimate / self.reference_mean if self.reference_mean else math.nan

    def __str__(self) -> str:
        low, high = self.lowest_mean, self.highest_mean
        parts = [f"mean {self.mean}" if self.n_scored else "no scores", f"{self.n_scored:,} of {self.n:,} scored"]
        if self.n_unscored:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.n_unscored.items())
            parts.append(f"{reasons} (with them the mean is from {low:.3f} to {high:.3f})")
        if self.cost_usd is not None:
            parts.append(f"${self.cost_usd:.4g}")
        return "; ".join(parts)


@dataclass(slots=True)
class ScoreCount:
    """Counts judgments as they come; holds eight bytes of each."""

    rubric: Rubric
    n: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    rungs: Counter[str] = field(default_factory=Counter)
    scores: array[float] = field(default_factory=lambda: array("d"))
    references: array[float] = field(default_factory=lambda: array("d"))

    def add(self, judgment: Judgment) -> None:
        """Count one."""
        self.n += 1
        if judgment.score is None:
            self.reasons[judgment.status] += 1
            return
        self.scores.append(judgment.score)
        if judgment.rung is not None:
            self.rungs[judgment.rung] += 1
        if judgment.reference_score is not None:
            self.references.append(judgment.reference_score)

    def summary(self, tally: RunStats, price: Price | None = None, level: float = 0.95) -> JudgeSummary:
        """What was counted so far."""
        rubric, scores = self.rubric, self.scores
        mean = mean_interval(rubric, scores, level)
        unscored = self.n - len(scores)
        total = math.fsum(scores)
        return JudgeSummary(
            mean=mean,
            unit_mean=rubric.unit(mean.estimate) if scores else math.nan,
            n=self.n,
            n_unscored=dict(sorted(self.reasons.items())),
            lowest_mean=(total + unscored * rubric.low) / self.n if self.n else math.nan,
            highest_mean=(total + unscored * rubric.high) / self.n if self.n else math.nan,
            rungs=dict(sorted(self.rungs.items())),
            tally=tally,
            cost_usd=cost_usd(tally, price),
            reference_mean=math.fsum(self.references) / len(self.references) if self.references else math.nan,
        )


def cost_usd(tally: RunStats, price: Price | None) -> float | None:
    """What the calls of a run cost; None where no price is known, but nothing where nothing was asked."""
    if price is None:
        return None if tally.requests else 0.0
    usage = Usage(tally.prompt_tokens, tally.completion_tokens, tally.cached_tokens)
    return price.usd(usage, requests=tally.requests)


def mean_interval(rubric: Rubric, scores: array[float], level: float = 0.95) -> Interval:
    """The mean score and its interval, for items that are drawn independently of each other.

    Where all scores are the worst or the best, the mean is a share, and the interval Wilson's. Otherwise it is that of
    Agresti & Coull (1998), carried over from a share to the mean of bounded scores: z^2 pseudo-scores are added, half
    of them the worst and half the best, and the interval is z standard errors of the mean of all around it. So scores
    that are all alike do not make an interval of no width. The ends always enclose the mean.
    """
    low, span = rubric.low, rubric.high - rubric.low
    if scores and rubric.is_binary and all(score in (rubric.low, rubric.high) for score in scores):
        share = wilson(sum(score == rubric.high for score in scores), len(scores), level)
        at, first, last = (low + span * end for end in (share.estimate, share.low, share.high))
        return Interval(at, first, last, level, "wilson", len(scores))
    return bounded_mean(scores, rubric.low, rubric.high, level)
