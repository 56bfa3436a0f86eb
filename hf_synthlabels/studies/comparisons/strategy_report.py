"""StrategyReport: the scores of strategies, and what each adds to the baselines, with paired intervals."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.comparison.conditions import ConditionMetric, compare_conditions, seed_scores

METRICS: tuple[ConditionMetric, ...] = ("macro_f1", "accuracy")

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StrategyArm:
    """One strategy on the test rows."""

    name: str
    description: str
    scores: dict[str, Interval]
    """By metric, over test rows and seeds."""
    by_seed: dict[str, tuple[float, ...]]
    above: dict[str, dict[str, Interval]]
    """By baseline and metric: this strategy minus the baseline, over the same rows and the same seeds."""


@dataclass(frozen=True, slots=True)
class StrategyReport:
    """All strategies, trained on the same rows, seeds and steps and tested on the same rows."""

    arms: tuple[StrategyArm, ...]
    baselines: tuple[str, ...]
    annotator: dict[str, Interval]
    """The LLM's own labels of the test rows, by metric; nan where too few of the rows were sent to it."""
    facts: dict[str, Any]
    """Seeds, numbers of rows, steps and mean seconds by strategy, the student's options."""

    def to_markdown(self, metric: ConditionMetric = "macro_f1") -> str:
        """A table: the score of each strategy, and its difference to each baseline; bold where zero is outside."""
        heads = ["trained by", metric.replace("_", " "), *(f"− {name}" for name in self.baselines), "seeds, from – to"]
        lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        for arm in self.arms:
            cells = ["–" if arm.name == name else _signed(arm.above[name][metric]) for name in self.baselines]
            seeds = arm.by_seed[metric]
            spread = f"{_short(min(seeds))} – {_short(max(seeds))}"
            lines.append(
                f"| {arm.name}: {arm.description} | {_plain(arm.scores[metric])} | {' | '.join(cells)} | {spread} |"
            )
        last = ["*the LLM itself*", _plain(self.annotator[metric]), *[""] * (len(self.baselines) + 1)]
        lines.append("| " + " | ".join(last) + " |")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "arms": [
                {
                    "name": arm.name,
                    "description": arm.description,
                    "scores": {metric: score.to_dict() for metric, score in arm.scores.items()},
                    "by_seed": {metric: list(scores) for metric, scores in arm.by_seed.items()},
                    "above": {
                        name: {metric: value.to_dict() for metric, value in values.items()}
                        for name, values in arm.above.items()
                    },
                }
                for arm in self.arms
            ],
            "baselines": list(self.baselines),
            "annotator": {metric: score.to_dict() for metric, score in self.annotator.items()},
            "facts": self.facts,
        }

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> StrategyReport:
        """The report that `to_json` wrote."""
        content = json.loads(text)
        arms = tuple(
            StrategyArm(
                arm["name"],
                arm["description"],
                _intervals(arm["scores"]),
                {metric: tuple(scores) for metric, scores in arm["by_seed"].items()},
                {name: _intervals(values) for name, values in arm["above"].items()},
            )
            for arm in content["arms"]
        )
        return cls(arms, tuple(content["baselines"]), _intervals(content["annotator"]), content["facts"])

    def warnings(self) -> list[str]:
        """What a reader must know before any score."""
        shared, dropped = self.facts.get("shared_texts", 0), self.facts.get("shared_texts_dropped", True)
        if not shared:
            return []
        what = f"{shared:,} training rows have texts that are also among the test rows"
        return [f"{what}; they were left out." if dropped else f"Warning: {what}, so all scores are too high."]

    def __str__(self) -> str:
        width = max(len(arm.name) for arm in self.arms)
        lines = [
            f"macro F1 on {self.facts['test_rows']} rows, {len(self.facts['seeds'])} seeds; differences are paired"
        ]
        lines += self.warnings()
        for arm in self.arms:
            lines.append(f"{arm.name:<{width}}  {arm.scores['macro_f1']}")
            for name in self.baselines:
                if name != arm.name:
                    lines.append(f"{'':<{width}}    minus {name}: {arm.above[name]['macro_f1']}")
        lines.append(f"{'the LLM':<{width}}  {self.annotator['macro_f1']}")
        return "\n".join(lines)


def strategy_report(
    descriptions: Mapping[str, str],
    predictions: Mapping[str, Codes],
    truth: Codes,
    annotator: Codes | None,
    *,
    names: Sequence[str],
    baselines: Sequence[str],
    facts: Mapping[str, Any],
) -> StrategyReport:
    """Score predictions, each strategy against each baseline.

    Intervals are not adjusted for multiple comparisons: among many strategies some differ by chance.

    Args:
        descriptions: by strategy.
        predictions: by strategy, shape (seeds, rows); the same seeds for all.
        truth: human codes, shape (rows,).
        annotator: the LLM's codes, shape (rows,); None where too few of the rows were sent to it.
        names: label names.
        baselines: strategies that the others are held to.
        facts: what else to tell, as plain values.
    """
    k = len(names)
    arms = []
    for name, answers in predictions.items():
        above: dict[str, dict[str, Interval]] = {
            baseline: {
                metric: compare_conditions(
                    truth, answers, predictions[baseline], k, metric, paired_seeds=True
                ).difference
                for metric in METRICS
            }
            for baseline in baselines
            if baseline != name
        }
        scores: dict[str, Interval] = {
            metric: compare_conditions(truth, answers, answers, k, metric).a for metric in METRICS
        }
        by_seed: dict[str, tuple[float, ...]] = {
            metric: tuple(seed_scores(truth, answers, k, metric).tolist()) for metric in METRICS
        }
        arms.append(StrategyArm(name, descriptions[name], scores, by_seed, above))
    own: dict[str, Interval] = {
        metric: Interval(math.nan, math.nan, math.nan, 0.95, "not asked", len(truth))
        if annotator is None
        else compare_conditions(truth, annotator, annotator, k, metric).a
        for metric in METRICS
    }
    return StrategyReport(tuple(arms), tuple(baselines), own, dict(facts))


def _intervals(values: Mapping[str, Mapping[str, Any]]) -> dict[str, Interval]:
    return {metric: Interval.from_dict(value) for metric, value in values.items()}


def _short(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1)


def _plain(score: Interval) -> str:
    if math.isnan(score.estimate):
        return "unknown"
    return f"{_short(score.estimate)} [{_short(score.low)}, {_short(score.high)}]"


def _signed(difference: Interval) -> str:
    low, middle, high = (
        f"{value:+.3f}".replace("0.", ".", 1) for value in (difference.low, difference.estimate, difference.high)
    )
    text = f"{middle} [{low}, {high}]"
    return f"**{text}**" if difference.low > 0 or difference.high < 0 else text
