"""Sections of a study's page on the LLM labels themselves and on the errors of the students."""

from __future__ import annotations

from collections.abc import Iterator

from hf_synthlabels.publishing.report.adapters.validation_page import class_table, confusion, confusion_exhibits
from hf_synthlabels.statistics import MEASURES, ValidationReport
from hf_synthlabels.statistics.exhibits import Counts, Exhibit, Section, Table, Value
from hf_synthlabels.studies import StudyRuns
from hf_synthlabels.studies.analysis.base import Analysis, Condition, TaskAnalysis, llm_human_pairs
from hf_synthlabels.studies.analysis.scores import CLASSES, HEADLINES
from hf_synthlabels.studies.label_comparison import class_scores, condition_confusion, recorded_agreement
from hf_synthlabels.studies.report import ClassScores
from hf_synthlabels.studies.wording import counted

PARTS = {"validation": ("train", "validation"), "training": ("train", "agreement"), "test": ("test", "agreement")}
"""The rows of an agreement: their part, and the name of the agreement."""

MAX_DETAILED = 2
"""Annotators above which no confusion matrices and no scores by class are shown."""

Known = dict[tuple[str, str, str], ValidationReport]


def label_sections(runs: StudyRuns) -> tuple[Section, ...]:
    """Agreement of each annotator's labels with human labels; none where it was not recorded."""
    known = {
        (task.name, labels, name): report
        for task in runs.tasks
        for labels in task.annotators
        for name, (part, field) in PARTS.items()
        if (report := recorded_agreement(task, labels, part, field)) is not None
    }
    if not known:
        return ()
    exhibits: list[Exhibit] = list(_tables(known))
    detailed = {key: report for key, report in known.items() if key[2] == "training" and report.matrix is not None}
    if len({key[:2] for key in known}) <= MAX_DETAILED:
        for place, ((task, labels, _), report) in enumerate(detailed.items(), 1):
            name = f"{task}, {labels}"
            exhibits += confusion(
                f"labels_{place}", report, f"{name}: human labels by LLM labels, training rows", "LLM label"
            )
            exhibits.append(
                class_table(f"label_classes_{place}", report, f"{name}: scores of each label, training rows")
            )
    note = (
        "Rows without a label count as wrong, except in the scores of answered rows. In practice only the validation "
        "rows would be known."
    )
    return (Section("labels", "LLM labels against human labels", " ".join(gates(runs)), tuple(exhibits), (note,)),)


def gates(runs: StudyRuns, *, passed: bool = True) -> list[str]:
    """The verdict of the gate on each annotator's labels of the validation rows; without those passed on request."""
    lines = []
    for task in runs.tasks:
        for labels in task.annotators:
            report = recorded_agreement(task, labels, "train", "validation")
            if report is not None and report.gate is not None and (passed or report.gate.verdict != "pass"):
                lines.append(f"{task.name}, {labels}: gate {report.gate}.")
    return lines


def _tables(known: Known) -> Iterator[Table]:
    for place, kind in enumerate(dict.fromkeys(report.kind for report in known.values()), 1):
        more = ("accuracy_answered", "kappa") if kind in CLASSES else ()
        scores = ("coverage", *HEADLINES[kind], *more)
        heads = ("task, annotator", "rows", "human-labeled", *(MEASURES[kind][score] for score in scores))
        rows: list[tuple[Value, ...]] = [
            (f"{task}, {labels}", name, report.n_human, *(report.scores[score] for score in scores))
            for (task, labels, name), report in known.items()
            if report.kind == kind
        ]
        yield Table(f"label_agreement_{place}", "Agreement with human labels", heads, tuple(rows))


def error_sections(analysis: Analysis) -> tuple[Section, ...]:
    """F1 of each class and confusion matrices of the students; of a study of one task with class labels."""
    if len(analysis.tasks) != 1 or analysis.tasks[0].runs.kind not in CLASSES:
        return ()
    (task,) = analysis.tasks
    conditions = list(
        dict.fromkeys(condition for pair in llm_human_pairs(task) for condition in (pair.human, pair.llm))
    ) + [condition for condition in task.single_source() if condition.source in task.runs.human_samples]
    if len(conditions) < 2:
        return ()
    scores = [class_scores(task, condition) for condition in conditions]
    rows: list[tuple[Value, ...]] = [
        (name, scores[0][place].support, *(each[place].f1 for each in scores))
        for place, name in enumerate(task.runs.names)
    ]
    heads = ("label", "human n", *(f"F1, {_name(condition)}" for condition in conditions))
    table = Table("student_classes", "F1 of each label", heads, tuple(rows), "Means over seeds, without intervals.")
    figures = [
        exhibit
        for place, condition in enumerate(conditions[:2], 1)
        for exhibit in confusion_exhibits(_counts(place, task, condition))
    ]
    return (Section("errors", "Errors of the students", _widest_gap(scores[0], scores[1]), (*figures, table)),)


def _counts(place: int, task: TaskAnalysis, condition: Condition) -> Counts:
    counts, names = condition_confusion(task, condition), task.runs.names
    return Counts(
        f"errors_{place}",
        f"Student {condition.student} trained on {condition.labels} labels",
        names,
        (*names, "no label")[: len(counts[0])],
        counts,
        "prediction",
        f"Counts on the test rows, summed over {counted(len(task.conditions[condition]), 'seed')}; shading by "
        "proportion of the row.",
    )


def _name(condition: Condition) -> str:
    return f"{condition.student}, {condition.labels}"


def _widest_gap(human: tuple[ClassScores, ...], llm: tuple[ClassScores, ...]) -> str:
    gaps = sorted((b.f1 - a.f1, a.name) for a, b in zip(human, llm, strict=True))
    (low, worst), (high, best) = gaps[0], gaps[-1]
    return f"F1 by label, LLM-trained minus human-trained: {low:+.3f} ({worst}) to {high:+.3f} ({best})."
