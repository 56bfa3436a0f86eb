"""All tasks together: the pooled loss, its verdict, and which tasks differ when all are tested at once."""

from __future__ import annotations

from hf_synthlabels.statistics import PooledTasks, non_inferiority, pool_tasks
from hf_synthlabels.statistics.exhibits import Exhibit, Intervals, Scatter, Section, Table, Value
from hf_synthlabels.studies.questions.analysis import Analysis, analysed
from hf_synthlabels.studies.questions.pairs import Pair, student_pairs
from hf_synthlabels.studies.questions.words import VERDICTS, p_words
from hf_synthlabels.studies.runs import StudyRuns

__all__ = ["pooled_pairs", "sections_of"]

HEADS = (
    "student, labels",
    "tasks",
    "mean difference, these tasks",
    "mean difference, such tasks",
    "median difference, such tasks",
    "verdict for such tasks",
    "Wilcoxon p",
    "tasks that differ, Holm",
)


def sections_of(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """Differences pooled over tasks; none for a single task."""
    analysis = analysed(runs)
    groups = [(student, labels, pairs) for student, labels, pairs in student_pairs(analysis) if len(pairs) > 1]
    if not groups:
        return ()
    found = [(f"{student}, {labels}", pairs, pooled_pairs(pairs, analysis)) for student, labels, pairs in groups]
    rows = tuple(_row(name, pooled, analysis) for name, _, pooled in found)
    note = (
        "“These tasks”: seeds and rows are drawn anew. “Such tasks”: the tasks as well, as a sample of tasks like them "
        "(hierarchical bootstrap), which few tasks make wide; n counts tasks. Wilcoxon: signed ranks over tasks. Holm: "
        "tasks whose own difference stays significant when as many are tested at once."
    )
    margin = analysis.runs.margin
    panels = {
        "mean difference, these tasks": tuple((name, pooled.these) for name, _, pooled in found),
        "mean difference, such tasks": tuple((name, pooled.such) for name, _, pooled in found),
    }
    exhibits: tuple[Exhibit, ...] = (
        Intervals(
            "pooled", "LLM-trained minus human-trained, over tasks", panels, "points of the score",
            (("as good", 0.0), ("margin", -margin)), note,
        ),
        Table("pooled_table", "The difference over tasks", HEADS, rows, note),
        _scatter(found),
        _holm(found),
    )  # fmt: skip
    return (Section("pooled", "And over all tasks?", _answer(*found[0], analysis), exhibits),)


def pooled_pairs(pairs: list[Pair], analysis: Analysis, score: str | None = None) -> PooledTasks:
    """The difference of the pairs' score, over their tasks."""
    scores = [pair.score(score) for pair in pairs]
    return pool_tasks([each.difference.estimate for each in scores], [each.values for each in scores], analysis.drawing)


def _row(name: str, pooled: PooledTasks, analysis: Analysis) -> tuple[Value, ...]:
    level = analysis.runs.level
    verdict = VERDICTS[non_inferiority(pooled.such, analysis.runs.margin)]
    differing = sum(p_value < 1 - level for p_value in pooled.p_values)
    values = (pooled.these, pooled.such, pooled.median)
    return (name, pooled.tasks, *values, verdict, p_words(pooled.wilcoxon), f"{differing} of {pooled.tasks}")


def _answer(name: str, pairs: list[Pair], pooled: PooledTasks, analysis: Analysis) -> str:
    margin, rows = analysis.runs.margin, sum(pair.score().a.n for pair in pairs)
    verdict = VERDICTS[non_inferiority(pooled.such, margin)]
    return (
        f"Over {pooled.tasks} tasks with {rows:,} test rows, {name}: LLM-trained minus human-trained is "
        f"{pooled.these} on average for these tasks, {pooled.such} for tasks like them, the median "
        f"{pooled.median}; Wilcoxon p {p_words(pooled.wilcoxon)}. With the margin {margin:g} that is {verdict}."
    )


def _scatter(found: list[tuple[str, list[Pair], PooledTasks]]) -> Scatter:
    groups = {
        name: tuple((pair.task.runs.name, pair.score().b.estimate, pair.score().a.estimate) for pair in pairs)
        for name, pairs, _ in found
    }
    note = "A point is a task; below the line LLM labels train the worse student."
    return Scatter("by_task", "Each task", groups, "score, human-trained", "score, LLM-trained", True, note)


def _holm(found: list[tuple[str, list[Pair], PooledTasks]]) -> Table:
    rows = tuple(
        (pair.name, pair.score().a.n, pair.score().difference, p_words(p_value))
        for _, pairs, pooled in found
        for pair, p_value in zip(pairs, pooled.p_values, strict=True)
    )
    heads = ("task, student, labels", "test rows", "difference", "p, Holm")
    note = "Two-sided p-values from the draws of rows and seeds, corrected for the number of tasks by Holm's steps."
    return Table("single_tasks", "Which tasks differ", heads, rows, note)
