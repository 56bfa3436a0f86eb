"""Costs: money and time per point of the score, and from how many texts on a student is cheaper."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hf_synthlabels.statistics.exhibits import Bars, Exhibit, Section, Table, Value
from hf_synthlabels.studies.analysis.base import HUMAN, Analysis, Condition, TaskAnalysis, analyze_runs
from hf_synthlabels.studies.runs import StudyRuns

SPENT = (
    "task, student, labels",
    "labels",
    "US dollars for labels",
    "seconds to label",
    "seconds to train",
    "score",
    "US dollars per point",
    "seconds per point",
)
BROKEN_EVEN = (
    "task, student, labels",
    "counted in",
    "annotator, a text",
    "student, a text",
    "once",
    "texts to break even",
)
RANGE = (
    "Once: labels of the training rows, and in seconds the training. In brackets the range: in seconds the quickest "
    "and slowest seed; in money without and with the human labels of the test rows."
)


@dataclass(frozen=True, slots=True)
class ConditionCost:
    """What one student costs, means over seeds; None is unknown, never free."""

    labels: int
    label_usd: float | None
    label_s: float | None
    train_s: float
    predict_s: float
    """For one row."""
    score: float

    @property
    def usd_per_point(self) -> float | None:
        """US dollars for its labels per point of the score out of 100."""
        return _per(self.label_usd, self.score)

    @property
    def s_per_point(self) -> float | None:
        """Seconds to label and train per point of the score out of 100."""
        return None if self.label_s is None else _per(self.label_s + self.train_s, self.score)


@dataclass(frozen=True, slots=True)
class BreakEven:
    """From how many texts on a student costs less than asking the annotator for each; infinite where it never does."""

    volume: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isinf(self.volume):
            return "never"
        ends = (self._words(self.low), self._words(self.high))
        return self._words(self.volume) if ends[0] == ends[1] else f"{self._words(self.volume)} [{ends[0]}, {ends[1]}]"

    @staticmethod
    def _words(volume: float) -> str:
        return "never" if math.isinf(volume) else f"{math.ceil(volume):,}"


def break_even(once: float, annotator: float, student: float, *, low: float, high: float) -> BreakEven:
    """The volume V with `once` + V `student` = V `annotator`.

    Args:
        once: what labels and training cost.
        annotator: what it costs to ask the annotator for one text.
        student: what the student costs for one text.
        low: the least that `once` may be.
        high: the most.
    """
    saved = annotator - student
    if saved <= 0:
        return BreakEven(math.inf, math.inf, math.inf)
    return BreakEven(once / saved, low / saved, high / saved)


def condition_cost(task: TaskAnalysis, condition: Condition) -> ConditionCost:
    """What a condition costs."""
    runs, labels = list(task.conditions[condition].values()), task.n_labeled(condition)
    key = condition.labels if condition.labels in task.runs.usd_per_row else condition.source
    usd, seconds = task.runs.usd_per_row.get(key), task.runs.s_per_row.get(key)
    return ConditionCost(
        labels,
        None if usd is None else usd * labels,
        None if seconds is None else seconds * labels,
        float(np.mean([run.train_s for run in runs])),
        float(np.mean([run.predict_s for run in runs])) / len(task.runs.truth),
        task.score(condition).estimate,
    )


def report_sections(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """Costs of students trained on human and annotator labels, at their largest size."""
    analysis = analyze_runs(runs)
    conditions = [(task, condition) for task in analysis.tasks for condition in _conditions(task)]
    if not conditions:
        return ()
    costs = [(task, condition, condition_cost(task, condition)) for task, condition in conditions]
    rows = tuple(_row(*each) for each in costs)
    note = (
        "A point is 0.01 of the score. Unknown is not zero: prices of human labels are in the study file under "
        "`costs`, those of an LLM in its recipe. Means over seeds; the machine's own price is not counted."
    )
    volumes = [
        row for task, condition, cost in costs if condition.source != HUMAN for row in _volumes(task, condition, cost)
    ]
    panels = {
        "US dollars for the labels": tuple((_name(task, condition), cost.label_usd) for task, condition, cost in costs),
        "seconds to train once": tuple((_name(task, condition), cost.train_s) for task, condition, cost in costs),
    }
    exhibits: list[Exhibit] = [
        Bars("costs", "Money and time", panels, note),
        Table("costs_table", "Cost per point of the score", SPENT, rows, note),
    ]
    if volumes:
        title = "Break-even: from how many texts on the student costs less than the annotator"
        exhibits.append(Table("break_even", title, BROKEN_EVEN, tuple(volumes), RANGE))
    return (Section("costs", "Cost", _verdict(costs, volumes), tuple(exhibits)),)


def _conditions(task: TaskAnalysis) -> list[Condition]:
    """The condition with the most rows of each student of human or annotator labels."""
    sources = (HUMAN, *task.annotators)
    found = {
        (condition.student, condition.labels): condition
        for condition in task.single_source()
        if condition.source in sources and task.n_labeled(condition)
    }
    return list(found.values())


def _name(task: TaskAnalysis, condition: Condition) -> str:
    return f"{task.runs.name}, {condition.student}, {condition.labels}"


def _row(task: TaskAnalysis, condition: Condition, cost: ConditionCost) -> tuple[Value, ...]:
    spent = (cost.label_usd, cost.label_s, cost.train_s)
    per = (cost.usd_per_point, cost.s_per_point)
    return (_name(task, condition), cost.labels, *spent, cost.score, *per)


def _volumes(task: TaskAnalysis, condition: Condition, cost: ConditionCost) -> list[tuple[Value, ...]]:
    key = condition.labels if condition.labels in task.runs.usd_per_row else condition.source
    usd, seconds = task.runs.usd_per_row.get(key), task.runs.s_per_row.get(key)
    rows: list[tuple[Value, ...]] = []
    if usd and cost.label_usd is not None:
        price = task.runs.usd_per_row.get(HUMAN)
        tested = 0.0 if price is None else price * len(task.runs.truth)
        found = break_even(cost.label_usd, usd, 0.0, low=cost.label_usd, high=cost.label_usd + tested)
        rows.append((_name(task, condition), "US dollars", usd, 0.0, cost.label_usd, str(found)))
    if seconds and cost.label_s is not None:
        trained = [run.train_s for run in task.conditions[condition].values()]
        once = cost.label_s + cost.train_s
        found = break_even(
            once, seconds, cost.predict_s, low=cost.label_s + min(trained), high=cost.label_s + max(trained)
        )
        rows.append((_name(task, condition), "seconds", seconds, cost.predict_s, once, str(found)))
    return rows


def _verdict(costs: list[tuple[TaskAnalysis, Condition, ConditionCost]], volumes: list[tuple[Value, ...]]) -> str:
    known = [(_name(task, condition), cost) for task, condition, cost in costs if cost.label_usd is not None]
    if volumes:
        name, unit, *_, volume = volumes[0]
        return f"{name}: the student is cheaper than its annotator from {volume} texts, in {unit}."
    if not known:
        return "The cost of the labels is not recorded."
    name, cost = min(known, key=lambda each: each[1].usd_per_point or 0.0)
    return f"Lowest cost per point: {name}, {cost.label_usd:,.2f} US dollars for {cost.labels:,} labels."


def _per(amount: float | None, score: float) -> float | None:
    return None if amount is None or not score > 0 else amount / (100 * score)
