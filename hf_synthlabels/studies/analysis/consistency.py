"""Consistency: are labels right where draws agree, and does it help to keep only those?"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.comparison.condition_bootstrap import PairedScore
from hf_synthlabels.statistics.comparison.pooling import MIN_TASKS, pool_tasks
from hf_synthlabels.statistics.exhibits import Calibration, Curve, Curves, Exhibit, Point, Section, Table, Value
from hf_synthlabels.statistics.intervals import bounded_mean, wilson
from hf_synthlabels.studies.analysis.base import Analysis, Condition, TaskAnalysis, analysed
from hf_synthlabels.studies.analysis.human_or_llm import TOO_FEW_TASKS
from hf_synthlabels.studies.analysis.scores import credits_of
from hf_synthlabels.studies.runs import StudyRuns

Floats = NDArray[np.float64]

MAX_THRESHOLDS = 12
KEPT = "Kept minus all, paired. A filter leaves fewer labels, and often fewer of the hard classes: both are in it."


@dataclass(frozen=True, slots=True, eq=False)
class FilteredStudent:
    """A student of labels above a threshold against the same student of all labels."""

    task: TaskAnalysis
    threshold: float
    kept: Condition
    whole: Condition

    @property
    def score(self) -> PairedScore:
        """Filtered against unfiltered, by the task's main score."""
        return self.task.compare(self.kept, self.whole)


def filtered_students(task: TaskAnalysis) -> list[FilteredStudent]:
    """Students of `<source>@<threshold>` for which the student of `<source>` is there, too."""
    found = []
    for condition in task.plain():
        source, at, threshold = condition.source.rpartition("@")
        if not at or ">" in condition.source or not _is_number(threshold):
            continue
        for whole in task.plain(source):
            if whole.same_training(condition) and whole.prompt == condition.prompt and task.shared(condition, whole):
                found.append(FilteredStudent(task, float(threshold), condition, whole))
    return sorted(found, key=lambda each: (each.kept.student, each.whole.labels, each.threshold, each.kept.rank))


def sections_of(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """Accuracy by agreement of draws, and the filter at every threshold; none without labels of known agreement."""
    analysis = analysed(runs)
    known = _known(analysis)
    students = [each for task in analysis.tasks for each in filtered_students(task)]
    if not known and not students:
        return ()
    level = analysis.runs.level
    exhibits: list[Exhibit] = []
    said = []
    for at, (source, (sure, right)) in enumerate(_by_source(known).items(), 1):
        exhibits += _figures(at, source, sure, right, level)
        said.append(_of_labels(source, sure, right, level))
    if known:
        exhibits.append(_table(known, level))
    if students:
        exhibits.append(_student_table(students))
        pooled = _pooled_table(students, analysis)
        exhibits += [pooled] if pooled.rows else []
        said.append(_of_students(students, pooled))
    title = "Label consistency and filtering"
    note = "Agreement: the share of draws, or of voting models, that gave the label. Rows without human label are out."
    return (Section("consistency", title, " ".join(said), tuple(exhibits), (note,)),)


Known = list[tuple[str, str, Floats, Floats]]
"""Task, source, agreement and rightness of each training row that has both."""


def _known(analysis: Analysis) -> Known:
    found = []
    for task in analysis.tasks:
        for source, confidence in task.runs.confidence.items():
            labels = task.runs.train_labels.get(source)
            if labels is None:
                continue
            sure = np.array([np.nan if value is None else value for value in confidence], dtype=np.float64)
            right = credits_of(task.runs, labels, task.runs.train_truth)
            kept = ~np.isnan(sure) & ~np.isnan(right)
            if kept.any():
                found.append((task.runs.name, source, sure[kept], right[kept]))
    return found


def _by_source(known: Known) -> dict[str, tuple[Floats, Floats]]:
    """The rows of all tasks together."""
    sources = dict.fromkeys(source for _, source, _, _ in known)
    return {
        source: (
            np.concatenate([sure for _, name, sure, _ in known if name == source]),
            np.concatenate([right for _, name, _, right in known if name == source]),
        )
        for source in sources
    }


def _thresholds(sure: Floats) -> list[float]:
    """Every agreement that occurs; of very many, a few that keep equal steps of rows."""
    values = np.unique(sure)
    if len(values) > MAX_THRESHOLDS:
        values = np.unique(np.quantile(sure, np.linspace(0, 1, MAX_THRESHOLDS), method="lower"))
    return [float(value) for value in values]


def _mean(right: Floats, level: float) -> Interval:
    """The share of right labels; of credits between 0 and 1 their mean."""
    if np.isin(right, (0.0, 1.0)).all():
        return wilson(int(right.sum()), len(right), level)
    return bounded_mean(right, 0.0, 1.0, level)


def _figures(at: int, source: str, sure: Floats, right: Floats, level: float) -> list[Exhibit]:
    steps = _thresholds(sure)
    curves = (
        Curve("accuracy of the kept labels", tuple(Point(step, _mean(right[sure >= step], level)) for step in steps)),
        Curve("share kept", tuple(Point(step, wilson(int((sure >= step).sum()), len(sure), level)) for step in steps)),
    )
    edges = np.array([*steps, np.inf])
    inside = [(sure >= low) & (sure < high) for low, high in itertools.pairwise(edges)]
    bins = tuple((float(sure[rows].mean()), _mean(right[rows], level)) for rows in inside)
    rows = f"{len(sure):,} training rows of all tasks with this source."
    return [
        Curves(
            f"filter_{at}", f"{source}: keep labels of at least that agreement", curves, "agreement", "share", note=rows
        ),
        Calibration(f"agreement_{at}", f"{source}: agreement against being right", bins, rows),
    ]


def _of_labels(source: str, sure: Floats, right: Floats, level: float) -> str:
    full = sure >= sure.max()
    said = (
        f"{source}: {_mean(right, level)} of {len(right):,} labels are right, of the {full.sum():,} with the highest "
        f"agreement {_mean(right[full], level)}"
    )
    return said + (f", of the others {_mean(right[~full], level)}." if not full.all() else ".")


def _table(known: Known, level: float) -> Table:
    rows: list[tuple[Value, ...]] = []
    for task, source, sure, right in known:
        for step in _thresholds(sure):
            kept = sure >= step
            dropped = _mean(right[~kept], level) if not kept.all() else None
            share = wilson(int(kept.sum()), len(kept), level)
            rows.append((f"{task}, {source}", step, share, _mean(right[kept], level), dropped))
    heads = ("task, source", "agreement at least", "share kept", "accuracy of the kept", "accuracy of the dropped")
    return Table("filters", "The filter at every threshold", heads, tuple(rows), "Training rows with a human label.")


def _student_table(students: list[FilteredStudent]) -> Table:
    rows: list[tuple[Value, ...]] = [
        (
            f"{each.task.runs.name}, {each.kept.student}, {each.whole.labels}",
            each.threshold,
            each.task.labelled(each.whole),
            each.task.labelled(each.kept),
            each.score.b.interval,
            each.score.a.interval,
            each.score.difference,
        )
        for each in students
    ]
    heads = (
        "task, student, labels",
        "agreement at least",
        "labels",
        "labels kept",
        "score, all",
        "score, kept",
        "difference",
    )
    return Table("filtered_students", "Students of the kept labels", heads, tuple(rows), KEPT)


def _pooled_table(students: list[FilteredStudent], analysis: Analysis) -> Table:
    rows: list[tuple[Value, ...]] = []
    groups: dict[tuple[str, str, float], dict[str, FilteredStudent]] = {}
    for each in students:
        # The largest size of each task comes last, and stays.
        groups.setdefault((each.kept.student, each.whole.labels, each.threshold), {})[each.task.runs.name] = each
    for (student, labels, threshold), members in groups.items():
        if len(members) > 1:
            scores = [each.score for each in members.values()]
            pooled = pool_tasks(
                [score.difference.estimate for score in scores], [score.values for score in scores], analysis.bootstrap
            )
            rows.append((f"{student}, {labels}", threshold, pooled.tasks, pooled.fixed_tasks, pooled.random_tasks))
    heads = ("student, labels", "agreement at least", "tasks", "mean difference, fixed tasks", "random tasks")
    return Table("pooled_filters", "The filter over all tasks", heads, tuple(rows), f"{KEPT} n counts tasks.")


def _of_students(students: list[FilteredStudent], pooled: Table) -> str:
    best = max(students, key=lambda each: each.score.b.estimate)
    if pooled.rows:
        leading = [row for row in pooled.rows if row[0] == _lead(students)] or pooled.rows
        name, threshold, tasks, these, such = leading[-1]
        others = f"{such} for tasks like them" if isinstance(tasks, int) and tasks >= MIN_TASKS else TOO_FEW_TASKS
        return (
            f"Students ({name}) of the labels of at least {threshold:g} agreement differ from those of all labels by "
            f"{these} on average over {tasks} tasks, {others}."
        )
    last = max(students, key=lambda each: (each.task is best.task and each.whole == best.whole, each.threshold))
    return (
        f"On {last.task.runs.name} the student of the {last.task.labelled(last.kept):,} labels of at least "
        f"{last.threshold:g} agreement differs from that of all {last.task.labelled(last.whole):,} by "
        f"{last.score.difference} ({last.score.a.n:,} test rows)."
    )


def _lead(students: list[FilteredStudent]) -> str:
    """The student and labels with the best mean score over tasks before any filter."""
    scores: dict[str, list[float]] = {}
    for each in students:
        scores.setdefault(f"{each.kept.student}, {each.whole.labels}", []).append(each.score.b.estimate)
    return max(scores, key=lambda name: float(np.mean(scores[name])))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
