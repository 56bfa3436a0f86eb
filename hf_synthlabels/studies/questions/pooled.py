"""All tasks together: the pooled loss, its verdict, and which tasks differ when all are tested at once."""

from __future__ import annotations

from hf_synthlabels.statistics.comparison.paired import non_inferiority
from hf_synthlabels.statistics.comparison.pooling import MIN_TASKS, PooledTasks, pool_tasks
from hf_synthlabels.statistics.exhibits import Exhibit, Intervals, Scatter, Section, Table, Value
from hf_synthlabels.studies.questions.analysis import Analysis, analysed
from hf_synthlabels.studies.questions.pairs import Pair, student_pairs
from hf_synthlabels.studies.questions.words import VERDICTS, p_words
from hf_synthlabels.studies.runs import StudyRuns

HEADS = (
    "student, labels",
    "tasks",
    "mean difference, these tasks",
    "mean difference, such tasks",
    "median difference, such tasks",
    "verdict",
    "Wilcoxon p",
    "tasks that differ, Holm",
)


TOO_FEW_TASKS = f"too few tasks (below {MIN_TASKS}) for an interval of tasks like them"


def population(tasks: int) -> str:
    """Of which tasks a pooled interval is, in words."""
    return "tasks like these" if tasks >= MIN_TASKS else f"these {tasks} tasks alone"


def sections_of(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """Differences pooled over tasks; none for a single task."""
    analysis = analysed(runs)
    groups = [(student, labels, pairs) for student, labels, pairs in student_pairs(analysis) if len(pairs) > 1]
    if not groups:
        return ()
    found = [(f"{student}, {labels}", pairs, pooled_pairs(pairs, analysis)) for student, labels, pairs in groups]
    rows = tuple(_row(name, pooled, analysis) for name, _, pooled in found)
    note = (
        "“These tasks”: seeds and rows are drawn again. “Such tasks”: the population of tasks of which these are a "
        f"sample (Student's t on tasks - 1 degrees of freedom); nothing is said of it below {MIN_TASKS} tasks. The "
        "verdict is then on these tasks alone. n counts tasks. Wilcoxon: signed ranks over tasks. Holm: "
        "tasks whose own difference stays significant when as many are tested at once."
    )
    margin = analysis.runs.margin
    panels = {
        "mean difference, these tasks": tuple((name, pooled.fixed_tasks) for name, _, pooled in found),
    }
    if any(pooled.tasks >= MIN_TASKS for _, _, pooled in found):
        panels["mean difference, such tasks"] = tuple((name, pooled.random_tasks) for name, _, pooled in found)
    exhibits: tuple[Exhibit, ...] = (
        Intervals(
            "pooled", "LLM-trained minus human-trained, over tasks", panels, "difference of the score (from 0 to 1)",
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
    return pool_tasks(
        [each.difference.estimate for each in scores], [each.values for each in scores], analysis.bootstrap
    )


def _row(name: str, pooled: PooledTasks, analysis: Analysis) -> tuple[Value, ...]:
    level = analysis.runs.level
    verdict = VERDICTS[non_inferiority(pooled.mean, analysis.runs.margin)]
    differing = sum(p_value < 1 - level for p_value in pooled.p_values)
    values = (pooled.fixed_tasks, pooled.random_tasks, pooled.median)
    return (name, pooled.tasks, *values, verdict, p_words(pooled.wilcoxon), f"{differing} of {pooled.tasks}")


def _answer(name: str, pairs: list[Pair], pooled: PooledTasks, analysis: Analysis) -> str:
    margin, rows = analysis.runs.margin, sum(pair.score().a.n for pair in pairs)
    verdict = VERDICTS[non_inferiority(pooled.mean, margin)]
    such = f"{pooled.random_tasks} for tasks like them" if pooled.tasks >= MIN_TASKS else TOO_FEW_TASKS
    return (
        f"Over {pooled.tasks} tasks with {rows:,} test rows, {name}: LLM-trained minus human-trained is "
        f"{pooled.fixed_tasks} on average for these tasks, {such}, the median "
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
