"""Synthetic first: human only, synthetic only, the random control, and synthetic rows before human ones."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.exhibits import Curve, Curves, Exhibit, Point, Section, Table, Value
from hf_synthlabels.studies.analysis.base import HUMAN, RANDOM, Analysis, Condition, TaskAnalysis, analyze_runs
from hf_synthlabels.studies.analysis.scores import CLASSES
from hf_synthlabels.studies.runs import StudyRuns
from hf_synthlabels.studies.wording import counted

SWITCHED = (
    "task, student, schedule",
    "rows",
    "switch after",
    "score",
    "minus all of the second",
    "minus all of the first",
)
CONTROLLED = (
    "task, student",
    "rows",
    "score, permuted labels",
    "human minus permuted",
    "accuracy, human minus permuted",
)
KNOWN = 0.05
"""A base mix on which no student scores higher was not learned, so it cannot be forgotten."""
SWITCH = re.compile(r"(?P<first>.+)>(?P<then>.+)@(?P<at>\d+)")


def source_switch(source: str) -> tuple[str, str, int] | None:
    """What a switching source begins with, goes on with, and after how many rows; None where it is another source."""
    found = SWITCH.fullmatch(source)
    return None if found is None else (found["first"], found["then"], int(found["at"]))


def report_sections(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """Every schedule over sizes, the switches against their parts, and forgetting; none without control or switch."""
    analysis = analyze_runs(runs)
    tasks = [task for task in analysis.tasks if _schedules(task)]
    if not tasks:
        return _forgetting(analysis)
    figures: list[Exhibit] = []
    for at, task in enumerate(tasks, 1):
        note = "Intervals over test rows and seeds. What is no label of the schema counts as wrong."
        figures.append(
            Curves(
                f"schedules_{at}", f"{task.runs.name}: {task.main_score_name} by rows", _curves(task), "training rows",
                task.main_score_name, "linear", _marks(task), note=note,
            )
        )  # fmt: skip
    rows = [row for task in tasks for row in _switches(task)]
    if rows:
        note = "Paired over test rows and seeds, at the same number of rows."
        figures.append(Table("switches", "LLM-then-human training vs. either alone", SWITCHED, tuple(rows), note))
    controls = [row for task in tasks for row in _controls(task)]
    if controls:
        note = (
            "Permuted human labels carry information about the output format only. Macro F1 also rises when a "
            "student that predicted one class predicts several, whatever the rows; accuracy does not."
        )
        figures.append(Table("controls", "Permuted-label control", CONTROLLED, tuple(controls), note))
    title = "LLM-then-human training"
    return (Section("synthetic_first", title, _verdict(rows, controls), tuple(figures)), *_forgetting(analysis))


def _schedules(task: TaskAnalysis) -> list[Condition]:
    return [
        condition for condition in task.single_source() if condition.source == RANDOM or source_switch(condition.source)
    ]


def _curves(task: TaskAnalysis) -> tuple[Curve, ...]:
    lines: dict[tuple[str, str], list[Point]] = {}
    for condition in task.single_source():
        size = task.n_labeled(condition) if condition.size is None else condition.size
        lines.setdefault((condition.student, condition.labels), []).append(
            Point(float(size), task.score(condition).interval)
        )
    return tuple(Curve(f"{student}, {labels}", tuple(points)) for (student, labels), points in lines.items())


def _marks(task: TaskAnalysis) -> tuple[tuple[str, float], ...]:
    places = {found[2] for condition in task.single_source() if (found := source_switch(condition.source))}
    return tuple((f"switch at {at:,}", float(at)) for at in sorted(places))


def _switches(task: TaskAnalysis) -> Iterable[tuple[Value, ...]]:
    for condition in task.single_source():
        found = source_switch(condition.source)
        if not found or condition.rank <= found[2]:
            continue
        matching = [_against(task, condition, source) for source in (found[1], found[0])]
        name = f"{task.runs.name}, {condition.student}, {found[0]} then {found[1]}"
        yield (name, task.n_labeled(condition), found[2], task.score(condition).interval, *matching)


def _controls(task: TaskAnalysis) -> Iterable[tuple[Value, ...]]:
    for condition in task.single_source(RANDOM):
        human = [
            other
            for other in task.single_source(HUMAN)
            if other.same_training(condition) and task.shared_seeds(other, condition)
        ]
        if human and condition.size != 0:
            pair = task.compare(human[0], condition)
            right = task.compare(human[0], condition, "accuracy").difference if task.runs.kind in CLASSES else None
            yield (
                f"{task.runs.name}, {condition.student}",
                task.n_labeled(condition),
                pair.b.interval,
                pair.difference,
                right,
            )


def _against(task: TaskAnalysis, condition: Condition, source: str) -> Interval | None:
    others = [
        other
        for other in task.single_source(source)
        if other.same_training(condition) and task.shared_seeds(other, condition)
    ]
    return task.compare(condition, others[0]).difference if others else None


def _verdict(rows: list[tuple[Value, ...]], controls: list[tuple[Value, ...]]) -> str:
    gains = [row[4] for row in rows if isinstance(row[4], Interval)]
    if not gains:
        return f"Human minus permuted labels, {controls[-1][0]}: {controls[-1][3]}." if controls else "No comparison."
    better, worse = sum(gain.low > 0 for gain in gains), sum(gain.high < 0 for gain in gains)
    return f"LLM-then-human vs. human labels alone, {counted(len(gains), 'comparison')}: {better} above, {worse} below."


def _forgetting(analysis: Analysis) -> tuple[Section, ...]:
    rows: list[tuple[Value, ...]] = []
    worst: tuple[float, str] | None = None
    for task in analysis.tasks:
        for condition, cells in task.conditions.items():
            known = [run.forgetting for run in cells.values() if run.forgetting is not None]
            if not known or condition.size == 0:
                continue
            before, after = (float(np.mean([each[when] for each in known])) for when in ("before", "after"))
            lost = [each["after"] - each["before"] for each in known]
            name = f"{task.runs.name}, {condition.student}, {condition.labels}"
            size = task.n_labeled(condition)
            rows.append((name, size, len(known), before, after, after - before, min(lost), max(lost)))
            if worst is None or after - before < worst[0]:
                worst = (after - before, f"{name}, {size:,} rows, {len(known)} seeds")
    if worst is None:
        return ()
    heads = ("task, student, labels", "rows", "seeds", "before", "after", "change", "least", "most")
    note = "Scores on rows of the base mix that were held out; means over seeds, with the least and most of them."
    table = Table("forgetting", "Scores on the base mix", heads, tuple(rows), note)
    best = max(float(row[3]) for row in rows if isinstance(row[3], float))
    if best < KNOWN:
        answer = (
            f"There is nothing to forget: before the task's rows no student scores more than {best:.3f} on the base "
            f"mix. After them the lowest change is {worst[0]:+.3f} ({worst[1]})."
        )
    else:
        answer = (
            f"Of {counted(len(rows), 'condition')} the lowest change on the base mix is {worst[0]:+.3f} ({worst[1]})."
        )
    return (Section("forgetting", "Forgetting", answer, (table,)),)
