"""Models trained on LLM labels vs. human labels, by task and pooled over tasks."""

from __future__ import annotations

from collections import Counter

from hf_synthlabels.statistics.comparison.paired import detectable_margin, mcnemar, non_inferiority
from hf_synthlabels.statistics.comparison.pooling import MIN_TASKS, PooledTasks, pool_tasks
from hf_synthlabels.statistics.exhibits import Exhibit, Intervals, Scatter, Section, Table, Value
from hf_synthlabels.studies.analysis.base import Analysis, Pair, analyze_runs, llm_human_pairs, student_pairs
from hf_synthlabels.studies.analysis.scores import CLASSES
from hf_synthlabels.studies.runs import StudyRuns
from hf_synthlabels.studies.wording import VERDICTS, joined, p_words

HEADS = (
    "task, student, labels",
    "test rows",
    "human labels",
    "LLM labels",
    "score",
    "human-trained",
    "LLM-trained",
    "difference",
    "ratio",
    "verdict",
    "minimum detectable margin (80% power)",
    "rows for the stated margin",
)


def report_sections(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """LLM-trained against human-trained students, at the most rows that both have; none without such a pair."""
    analysis = analyze_runs(runs)
    pairs = [pair for task in analysis.tasks for pair in llm_human_pairs(task)]
    if not pairs:
        return ()
    margin = analysis.runs.margin
    rows = tuple(_row(pair, margin) for pair in pairs)
    panels = {
        "difference, LLM-trained minus human-trained": tuple((pair.name, pair.score().difference) for pair in pairs)
    }
    note = f"Paired on test rows and seeds. The margin, {margin:g}, is from the study file."
    detectable = (
        "Minimum detectable margin: with it, 80% of studies of this size would show labels that are equally good to be "
        "non-inferior."
    )
    exhibits: tuple[Exhibit, ...] = (
        Intervals(
            "human_llm",
            "LLM-trained minus human-trained",
            panels,
            "difference of the score (from 0 to 1)",
            (("no difference", 0.0), ("margin", -margin)),
            note,
        ),
        Table("human_llm_table", "LLM-trained vs. human-trained", HEADS, rows, f"{note} {detectable}"),
        *_exact(pairs),
        *_references(analysis.runs),
    )
    return (Section("human_or_llm", "Are LLM labels non-inferior?", _verdict(pairs, margin), exhibits, _notes(pairs)),)


def _row(pair: Pair, margin: float) -> tuple[Value, ...]:
    found, task = pair.score(), pair.task
    can = detectable_margin(found, margin)
    return (
        pair.name,
        found.a.n,
        task.n_labeled(pair.human),
        task.n_labeled(pair.llm),
        task.main_score_name,
        found.b.interval,
        found.a.interval,
        found.difference,
        found.ratio,
        VERDICTS[non_inferiority(found.difference, margin)],
        can.margin,
        "more seeds first" if can.rows is None else can.rows,
    )


def _verdict(pairs: list[Pair], margin: float) -> str:
    if len(pairs) == 1:
        found = pairs[0].score()
        verdict = VERDICTS[non_inferiority(found.difference, margin)]
        return (
            f"{verdict[0].upper()}{verdict[1:]}: LLM-trained minus human-trained is {found.difference} on "
            f"{found.a.n:,} test rows ({pairs[0].name})."
        )
    verdicts = Counter(VERDICTS[non_inferiority(pair.score().difference, margin)] for pair in pairs)
    rows = sum(pair.score().a.n for pair in pairs)
    listed = joined(f"{count:,} {verdict}" for verdict, count in verdicts.most_common())
    lowest = min((pair.score().difference for pair in pairs), key=lambda difference: difference.estimate)
    return f"{len(pairs):,} pairs with {rows:,} test rows: {listed}; lowest difference {lowest}."


def _exact(pairs: list[Pair]) -> tuple[Table, ...]:
    """McNemar's exact tests, seed by seed; for labels that are right or wrong."""
    rows: list[tuple[Value, ...]] = []
    for pair in pairs:
        task = pair.task
        if task.runs.kind not in CLASSES:
            continue
        tests = [
            mcnemar(task.runs.truth, task.conditions[pair.llm][seed].answers, task.conditions[pair.human][seed].answers)
            for seed in task.shared_seeds(pair.llm, pair.human)[: 1 if pair.seeds_agree else None]
        ]
        only = [f"{test.only_a} against {test.only_b}" for test in tests]
        accuracy = pair.score("accuracy")
        scores = (accuracy.b.interval, accuracy.a.interval, accuracy.difference)
        p_values = ", ".join(p_words(test.p_value) for test in tests)
        rows.append((pair.name, tests[0].n, *scores, "; ".join(only), p_values))
    heads = (
        "task, student, labels",
        "test rows",
        "accuracy, human-trained",
        "accuracy, LLM-trained",
        "difference in accuracy",
        "correct only LLM-trained, only human-trained",
        "p by seed",
    )
    note = (
        "Exact McNemar tests of accuracy, one for each seed; they share their test rows, so they are not independent. "
        "Accuracy counts every row alike and macro F1 every class: a difference may be clear in one and not in the "
        "other. The verdict is about macro F1."
    )
    return (Table("exact_tests", "Accuracy, with exact tests by seed", heads, tuple(rows), note),) if rows else ()


def _references(runs: StudyRuns) -> tuple[Table, ...]:
    rows = tuple((str(each["what"]), each["value"], str(each.get("source", ""))) for each in runs.references)
    note = "Not of this study: other data, students or prompts."
    return (Table("references", "Numbers from elsewhere", ("what", "value", "source"), rows, note),) if rows else ()


def _notes(pairs: list[Pair]) -> tuple[str, ...]:
    notes = []
    few = min(pair.seeds for pair in pairs)
    if few == 1:
        notes.append("With one seed the spread between trainings is unknown: intervals are of the test rows alone.")
    elif few < 5:
        notes.append(f"{few} seeds show about {few - 1}/{few} of the variance between seeds.")
    if same := sum(pair.seeds_agree for pair in pairs):
        notes.append(
            f"In {same} of {len(pairs)} pairs all seeds gave the same students: their intervals are of the test rows, "
            "and only one exact test is shown."
        )
    return tuple(notes)


POOLED_HEADS = (
    "student, labels",
    "tasks",
    "mean difference, fixed tasks",
    "mean difference, random tasks",
    "median difference, random tasks",
    "verdict",
    "Wilcoxon p",
    "tasks that differ, Holm",
)


TOO_FEW_TASKS = f"too few tasks (below {MIN_TASKS}) for an interval of tasks like them"


def population(tasks: int) -> str:
    """Of which tasks a pooled interval is, in words."""
    return "tasks like these" if tasks >= MIN_TASKS else f"these {tasks} tasks alone"


def pooled_sections(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """Differences pooled over tasks; none for a single task."""
    analysis = analyze_runs(runs)
    groups = [(student, labels, pairs) for student, labels, pairs in student_pairs(analysis) if len(pairs) > 1]
    if not groups:
        return ()
    found = [(f"{student}, {labels}", pairs, pooled_pairs(pairs, analysis)) for student, labels, pairs in groups]
    rows = tuple(_pooled_row(name, pooled, analysis) for name, _, pooled in found)
    note = (
        "“These tasks”: seeds and rows are drawn again. “Such tasks”: the population of tasks of which these are a "
        f"sample (Student's t on tasks - 1 degrees of freedom); it is not estimated below {MIN_TASKS} tasks. The "
        "verdict is then on these tasks alone. n counts tasks. Wilcoxon: signed ranks over tasks. Holm: "
        "tasks whose own difference stays significant when as many are tested at once."
    )
    margin = analysis.runs.margin
    panels = {
        "mean difference, fixed tasks": tuple((name, pooled.fixed_tasks) for name, _, pooled in found),
    }
    if any(pooled.tasks >= MIN_TASKS for _, _, pooled in found):
        panels["mean difference, random tasks"] = tuple((name, pooled.random_tasks) for name, _, pooled in found)
    exhibits: tuple[Exhibit, ...] = (
        Intervals(
            "pooled", "LLM-trained minus human-trained, over tasks", panels, "difference of the score (from 0 to 1)",
            (("no difference", 0.0), ("margin", -margin)), note,
        ),
        Table("pooled_table", "Pooled over tasks", POOLED_HEADS, rows, note),
        _scatter(found),
        _holm(found),
    )  # fmt: skip
    return (Section("pooled", "Pooled over tasks", _pooled_verdict(*found[0], analysis), exhibits),)


def pooled_pairs(pairs: list[Pair], analysis: Analysis, score: str | None = None) -> PooledTasks:
    """The difference of the pairs' score, over their tasks."""
    scores = [pair.score(score) for pair in pairs]
    return pool_tasks(
        [each.difference.estimate for each in scores], [each.values for each in scores], analysis.bootstrap
    )


def _pooled_row(name: str, pooled: PooledTasks, analysis: Analysis) -> tuple[Value, ...]:
    level = analysis.runs.level
    verdict = VERDICTS[non_inferiority(pooled.mean, analysis.runs.margin)]
    differing = sum(p_value < 1 - level for p_value in pooled.p_values)
    values = (pooled.fixed_tasks, pooled.random_tasks, pooled.median)
    return (name, pooled.tasks, *values, verdict, p_words(pooled.wilcoxon), f"{differing} of {pooled.tasks}")


def _pooled_verdict(name: str, pairs: list[Pair], pooled: PooledTasks, analysis: Analysis) -> str:
    verdict = VERDICTS[non_inferiority(pooled.mean, analysis.runs.margin)]
    rows = sum(pair.score().a.n for pair in pairs)
    return f"{name}: mean difference {pooled.mean} over {pooled.tasks} tasks with {rows:,} test rows, {verdict}."


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
