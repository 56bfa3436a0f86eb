"""Strategies for many LLM labels and a few human ones: what each adds to the baselines, seeds and rows paired."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.arrays import MISSING
from hf_synthlabels.statistics.comparison.conditions import ConditionMetric, compare_conditions, seed_scores
from hf_synthlabels.statistics.exhibits import Exhibit, Intervals, Section, Table, Value
from hf_synthlabels.studies.analysis.base import HUMAN, PLAIN, Analysis, Condition, TaskAnalysis, analyze_runs
from hf_synthlabels.studies.analysis.scores import CLASSES, score_name
from hf_synthlabels.studies.runs import MAX_UNREQUESTED, StudyRuns
from hf_synthlabels.studies.strategies import STRATEGIES

METRICS: tuple[ConditionMetric, ...] = ("macro_f1", "accuracy")

HUMAN_ONLY, LLM_ONLY, THEN_HUMAN, ALL_HUMAN = "human_only", "llm_only", "llm_then_human", "all_human"
BASELINES = (HUMAN_ONLY, LLM_ONLY, THEN_HUMAN)
"""What every strategy has to exceed, where the study trains it."""

DESCRIPTIONS: Mapping[str, str] = {
    HUMAN_ONLY: "the human rows alone",
    LLM_ONLY: "the LLM labels alone",
    **{each.name: each.description for each in STRATEGIES},
    ALL_HUMAN: "human labels of all rows, for reference",
}


@dataclass(frozen=True, slots=True)
class StrategyScores:
    """One strategy on the test rows."""

    name: str
    scores: dict[str, Interval]
    """By metric, over test rows and seeds."""
    by_seed: dict[str, tuple[float, ...]]
    above: dict[str, dict[str, Interval]]
    """By baseline and metric: this strategy minus the baseline, on the same rows and seeds."""


@dataclass(frozen=True, slots=True)
class StrategyComparison:
    """Strategies of one student for the labels of one annotator and equally many human labels."""

    task: str
    student: str
    labels: str
    n_human: int
    n_test: int
    seeds: tuple[int, ...]
    strategies: tuple[StrategyScores, ...]
    annotator: dict[str, Interval] | None
    """The annotator's own labels of the test rows, by metric; None where it was asked about too few of them."""


def strategy_comparisons(task: TaskAnalysis) -> list[StrategyComparison]:
    """Strategies by student, annotator, size and number of human labels; of tasks with one class per row.

    Intervals are not adjusted for multiple comparisons: among many strategies some differ by chance.
    """
    if task.runs.kind not in CLASSES:
        return []
    groups: dict[tuple[Condition, int], dict[str, Condition]] = {}
    for condition in task.conditions:
        plain = [
            each
            for each in task.single_source(condition.source)
            if (each.prompt, each.size, each.student) == (condition.prompt, condition.size, condition.student)
        ]
        if condition.strategy != PLAIN and plain:
            groups.setdefault((plain[0], condition.n_human), {})[condition.strategy] = condition
    counts = {plain: max(n_human for other, n_human in groups if other == plain) for plain, _ in groups}
    return [
        _comparison(task, plain, n_human, {**groups.get((plain, 0), {}), **members})
        for (plain, n_human), members in groups.items()
        # Strategies without human labels are shown next to those with some.
        if n_human or not counts[plain]
    ]


def report_sections(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """Every strategy against the baselines; none where a study has no strategies."""
    analysis = analyze_runs(runs)
    found = [each for task in analysis.tasks for each in strategy_comparisons(task)]
    if not found:
        return ()
    exhibits = [exhibit for place, each in enumerate(found, 1) for exhibit in _exhibits(place, each)]
    return (Section("strategies", "Comparison of strategies", _verdict(found[0]), tuple(exhibits)),)


def _comparison(
    task: TaskAnalysis, llm: Condition, n_human: int, strategies: Mapping[str, Condition]
) -> StrategyComparison:
    human = [each for each in task.single_source(HUMAN) if each.student == llm.student]
    named = {HUMAN_ONLY: next((each for each in human if n_human and each.size == n_human), None), LLM_ONLY: llm}
    order = {each.name: place for place, each in enumerate(STRATEGIES)}
    named |= dict(sorted(strategies.items(), key=lambda each: order[each[0]]))
    named[ALL_HUMAN] = next((each for each in human if each.size is None), None)
    members = {name: condition for name, condition in named.items() if condition is not None}
    seeds = task.shared_seeds(*members.values())
    answers = {name: np.stack([task.codes(each, seed) for seed in seeds]) for name, each in members.items()}
    truth, size = np.array(task.runs.truth, dtype=np.int64), len(task.runs.names)

    def compared(name: str, other: str, metric: ConditionMetric) -> Interval:
        return compare_conditions(
            truth, answers[name], answers[other], size, metric, level=task.bootstrap.level,
            resamples=task.bootstrap.resamples, paired_seeds=True,
        ).difference  # fmt: skip

    def score(codes: np.ndarray, metric: ConditionMetric) -> Interval:
        return compare_conditions(
            truth, codes, codes, size, metric, level=task.bootstrap.level, resamples=task.bootstrap.resamples
        ).a

    own = task.runs.llm_labels.get(llm.labels)
    asked = own is not None and task.runs.unrequested(llm.labels, "test") <= MAX_UNREQUESTED * len(own)
    codes = np.array([MISSING if code is None else code for code in own or ()], dtype=np.int64)
    return StrategyComparison(
        task.runs.name,
        llm.student,
        llm.labels,
        n_human,
        len(truth),
        tuple(seeds),
        tuple(
            StrategyScores(
                name,
                {metric: score(answers[name], metric) for metric in METRICS},
                {metric: tuple(seed_scores(truth, answers[name], size, metric).tolist()) for metric in METRICS},
                {
                    base: {metric: compared(name, base, metric) for metric in METRICS}
                    for base in BASELINES
                    if base in members and base != name
                },
            )
            for name in members
        ),
        {metric: score(codes, metric) for metric in METRICS} if asked else None,
    )


def _exhibits(place: int, each: StrategyComparison) -> Iterator[Exhibit]:
    title = f"{each.task}, {each.student}, {each.labels}, {each.n_human:,} human labels"
    note = (
        f"{each.n_test:,} test rows, {len(each.seeds)} seeds; differences are paired over both. Intervals are not "
        "corrected for multiple comparisons: some of many strategies differ by chance."
    )
    for at, base in enumerate(base for base in BASELINES if any(base in one.above for one in each.strategies)):
        gaps = tuple((one.name, one.above[base]["macro_f1"]) for one in each.strategies if base in one.above)
        yield Intervals(
            f"above_{place}_{at + 1}", f"{title}: macro F1 minus that of {base}", {f"minus {base}": gaps},
            "difference in macro F1", (("none", 0.0),), note,
        )  # fmt: skip
    for metric in METRICS:
        heads = ("strategy", "what it does", score_name("text-classification", metric))
        rows: list[tuple[Value, ...]] = [
            (
                one.name,
                DESCRIPTIONS[one.name],
                one.scores[metric],
                *(one.above[base][metric] if base in one.above else None for base in BASELINES),
                min(one.by_seed[metric]),
                max(one.by_seed[metric]),
            )
            for one in each.strategies
        ]
        if each.annotator is not None:
            rows.append(("the LLM itself", "", each.annotator[metric], *(None,) * (len(BASELINES) + 2)))
        columns = (*heads, *(f"minus {base}" for base in BASELINES), "lowest seed", "highest seed")
        yield Table(f"strategies_{place}_{metric}", title, columns, tuple(rows), note)


def _verdict(each: StrategyComparison) -> str:
    best = max(each.strategies, key=lambda one: one.scores["macro_f1"].estimate)
    gaps = "; ".join(f"minus {base} {values['macro_f1']}" for base, values in best.above.items())
    name = f"{each.task}, {each.student}, {each.labels}"
    return f"{name}: highest macro F1 {best.scores['macro_f1']} with {best.name}{f' ({gaps})' if gaps else ''}."
