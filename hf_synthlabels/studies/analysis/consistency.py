"""Consistency: are labels right where draws agree, and does it help to keep only those?"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.comparison.condition_bootstrap import PairedScore
from hf_synthlabels.statistics.comparison.pooling import pool_tasks
from hf_synthlabels.statistics.exhibits import Calibration, Curve, Curves, Exhibit, Point, Section, Table, Value
from hf_synthlabels.statistics.intervals import bounded_mean, wilson
from hf_synthlabels.studies.analysis.base import Analysis, Condition, TaskAnalysis, analyze_runs
from hf_synthlabels.studies.analysis.scores import row_credits
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
    for condition in task.single_source():
        source, at, threshold = condition.source.rpartition("@")
        if not at or ">" in condition.source or not _is_number(threshold):
            continue
        for whole in task.single_source(source):
            if (
                whole.same_training(condition)
                and whole.prompt == condition.prompt
                and task.shared_seeds(condition, whole)
            ):
                found.append(FilteredStudent(task, float(threshold), condition, whole))
    return sorted(found, key=lambda each: (each.kept.student, each.whole.labels, each.threshold, each.kept.rank))


def report_sections(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """Accuracy by agreement of draws, and the filter at every threshold; none without labels of known agreement."""
    analysis = analyze_runs(runs)
    known = _known(analysis)
    students = [each for task in analysis.tasks for each in filtered_students(task)]
    if not known and not students:
        return ()
    level = analysis.runs.level
    exhibits: list[Exhibit] = []
    said = []
    for at, (source, (sure, right)) in enumerate(_by_source(known).items(), 1):
        exhibits += _figures(at, source, sure, right, level)
        said.append(_label_verdict(source, sure, right, level))
    if known:
        exhibits.append(_table(known, level))
    if students:
        exhibits.append(_student_table(students))
        pooled = _pooled_table(students, analysis)
        exhibits += [pooled] if pooled.rows else []
        said.append(_filter_verdict(students))
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
            right = row_credits(task.runs, labels, task.runs.train_truth)
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


def _label_verdict(source: str, sure: Floats, right: Floats, level: float) -> str:
    full = sure >= sure.max()
    return f"{source}: accuracy {_mean(right, level)}, {_mean(right[full], level)} at the highest agreement."


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
            each.task.n_labeled(each.whole),
            each.task.n_labeled(each.kept),
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


def _filter_verdict(students: list[FilteredStudent]) -> str:
    differences = [each.score.difference for each in students]
    better, worse = (sum(clear) for clear in zip(*((d.low > 0, d.high < 0) for d in differences), strict=True))
    return f"Filtered minus unfiltered students, {len(students):,} comparisons: {better} above 0, {worse} below 0."


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
