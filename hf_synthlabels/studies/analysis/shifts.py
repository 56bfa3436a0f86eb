"""Precision and recall: how annotator, LLM-trained and human-trained students differ, and their medians over tasks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.comparison.condition_bootstrap import PairedScore, ScoreReplicates
from hf_synthlabels.statistics.comparison.pooling import pool_tasks
from hf_synthlabels.statistics.exhibits import Intervals, Section, Table, Value
from hf_synthlabels.studies.analysis.base import HUMAN, Analysis, Pair, analyze_runs, student_pairs
from hf_synthlabels.studies.analysis.scores import TOLD_APART, score_name
from hf_synthlabels.studies.runs import StudyRuns

Floats = NDArray[np.float64]

PLACES = ("F1", "precision", "recall")
"""What the first three scores of a kind are, where it has precision and recall."""


@dataclass(frozen=True, slots=True)
class Shift:
    """One score of three sources, over the tasks where students of both labels were trained: medians over tasks."""

    score: str
    tasks: int
    human: Interval
    llm: Interval
    annotator: Interval | None
    few: Interval | None
    """Of students of the fewest human labels, where there are fewer than the most."""
    to_human: Interval
    """LLM-trained minus human-trained: the median of the differences."""
    to_annotator: Interval | None
    """LLM-trained student minus the annotator itself."""
    to_few: Interval | None


def report_sections(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """F1, precision and recall by source; none for kinds without them."""
    analysis = analyze_runs(runs)
    groups = []
    for student, labels, pairs in student_pairs(analysis):
        usable = [pair for pair in pairs if len(TOLD_APART[pair.task.runs.kind]) > 2]
        if usable:
            groups.append((f"{student}, {labels}", usable, source_shifts(usable, analysis)))
    if not groups:
        return ()
    many = any(len(pairs) > 1 for _, pairs, _ in groups)
    what = "median over tasks" if many else "score"
    heads = (
        "student, labels", "tasks", "score", f"human-trained, {what}", "LLM-trained", "annotator itself",
        "smallest human baseline", "LLM- minus human-trained", "LLM-trained minus annotator",
        "LLM-trained minus smallest baseline",
    )  # fmt: skip
    note = (
        "Means over classes within a task, for kinds with classes; a row without an answer is a miss. Differences are "
        "paired, and over several tasks the median of the differences, which is not the difference of the medians."
    )
    rows = tuple(_row(name, shift) for name, _, shifts in groups for shift in shifts)
    panels = {
        f"{place}, LLM-trained minus human-trained": tuple((name, shifts[at].to_human) for name, _, shifts in groups)
        for at, place in enumerate(PLACES)
    }
    exhibits = (
        Intervals(
            "shifts",
            "F1, precision and recall: LLM-trained minus human-trained",
            panels,
            "difference of the score (from 0 to 1)",
            (("none", 0.0),),
            note,
        ),
        Table("shifts_table", "F1, precision and recall by source of labels", heads, rows, note),
    )
    title = "Precision and recall"
    return (Section("shifts", title, _verdict(*groups[0]), exhibits),)


def source_shifts(pairs: list[Pair], analysis: Analysis) -> list[Shift]:
    """F1, precision and recall of the pairs of one student and one source."""
    return [_score_comparison(pairs, place, analysis) for place in range(3)]


def _score_comparison(pairs: list[Pair], place: int, analysis: Analysis) -> Shift:
    found: list[PairedScore] = []
    annotators: list[PairedScore] = []
    few: list[PairedScore] = []
    for pair in pairs:
        task, score = pair.task, TOLD_APART[pair.task.runs.kind][place]
        found.append(pair.score(score))
        itself = task.annotator_features(pair.llm.source, pair.llm.prompt)
        if itself is not None:
            annotators.append(task.draws.compare(task.features(pair.llm), itself, score))
        least = [
            condition
            for condition in task.single_source(HUMAN)
            if condition.student == pair.llm.student and condition.rank < pair.human.rank
        ]
        least = [condition for condition in least if condition.size != 0]
        if least:
            few.append(task.compare(pair.llm, least[0], score))
    # A median over other tasks than the rest of the row would mislead.
    full_annotators, full_few = (each if len(each) == len(pairs) else [] for each in (annotators, few))

    def scores(parts: list[ScoreReplicates]) -> Interval:
        return _median([part.interval for part in parts], [part.values for part in parts], analysis)

    def gap(parts: list[PairedScore]) -> Interval | None:
        return (
            _median([part.difference for part in parts], [part.values for part in parts], analysis) if parts else None
        )

    to_human = gap(found)
    assert to_human is not None
    kind = pairs[0].task.runs.kind
    return Shift(
        score_name(kind, TOLD_APART[kind][place]) if len(pairs) == 1 else PLACES[place],
        len(pairs),
        scores([part.b for part in found]),
        scores([part.a for part in found]),
        scores([part.b for part in full_annotators]) if full_annotators else None,
        scores([part.b for part in full_few]) if full_few else None,
        to_human,
        gap(full_annotators),
        gap(full_few),
    )


def _median(found: list[Interval], draws: list[Floats], analysis: Analysis) -> Interval:
    if len(found) == 1:
        return found[0]
    return pool_tasks([each.estimate for each in found], draws, analysis.bootstrap).median


def _row(name: str, shift: Shift) -> tuple[Value, ...]:
    scores = (shift.human, shift.llm, shift.annotator, shift.few)
    return (name, shift.tasks, shift.score, *scores, shift.to_human, shift.to_annotator, shift.to_few)


def _verdict(name: str, pairs: list[Pair], shifts: list[Shift]) -> str:
    rows = sum(pair.score().a.n for pair in pairs)
    parts = ", ".join(f"{place} {shift.to_human}" for place, shift in zip(PLACES, shifts, strict=True))
    return f"{name}, {rows:,} test rows, LLM-trained minus human-trained: {parts}."
