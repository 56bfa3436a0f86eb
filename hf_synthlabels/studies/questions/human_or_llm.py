"""Human against LLM labels, task by task: the loss, whether it is within the margin, and what the rows can resolve."""

from __future__ import annotations

from collections import Counter

from hf_synthlabels.statistics.comparison.paired import detectable_margin, mcnemar, non_inferiority
from hf_synthlabels.statistics.exhibits import Exhibit, Intervals, Section, Table, Value
from hf_synthlabels.studies.questions.analysis import Analysis, analysed
from hf_synthlabels.studies.questions.pairs import Pair, pairs_of
from hf_synthlabels.studies.questions.scores import CLASSES
from hf_synthlabels.studies.questions.words import VERDICTS, counted, joined, p_words, percent
from hf_synthlabels.studies.runs import StudyRuns

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
    "smallest margin these rows resolve",
    "rows for the stated margin",
)


def sections_of(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """LLM-trained against human-trained students, at the most rows that both have; none without such a pair."""
    analysis = analysed(runs)
    pairs = [pair for task in analysis.tasks for pair in pairs_of(task)]
    if not pairs:
        return ()
    margin = analysis.runs.margin
    rows = tuple(_row(pair, margin) for pair in pairs)
    panels = {
        "difference, LLM-trained minus human-trained": tuple((pair.name, pair.score().difference) for pair in pairs)
    }
    note = (
        f"{percent(analysis.runs.level)} intervals over test rows and seeds, which both arms share. The margin, "
        f"{margin:g}, was stated in the study file. The smallest margin is that by which labels which are truly as "
        "good would be found so in 80 of 100 studies of this size."
    )
    exhibits: tuple[Exhibit, ...] = (
        Intervals(
            "human_llm",
            "What LLM labels cost or gain",
            panels,
            "difference of the score (from 0 to 1)",
            (("as good", 0.0), ("margin", -margin)),
            note,
        ),
        Table("human_llm_table", "LLM-trained against human-trained, pair by pair", HEADS, rows, note),
        *_exact(pairs),
        *_references(analysis.runs),
    )
    return (
        Section(
            "human_or_llm", "Are LLM labels as good as human ones?", _answer(pairs, margin), exhibits, _notes(pairs)
        ),
    )


def _row(pair: Pair, margin: float) -> tuple[Value, ...]:
    found, task = pair.score(), pair.task
    can = detectable_margin(found, margin)
    return (
        pair.name,
        found.a.n,
        task.labelled(pair.human),
        task.labelled(pair.llm),
        task.main_name,
        found.b.interval,
        found.a.interval,
        found.difference,
        found.ratio,
        VERDICTS[non_inferiority(found.difference, margin)],
        can.margin,
        "more seeds first" if can.rows is None else can.rows,
    )


def _answer(pairs: list[Pair], margin: float) -> str:
    verdicts = Counter(non_inferiority(pair.score().difference, margin) for pair in pairs)
    if len(pairs) == 1:
        pair, found = pairs[0], pairs[0].score()
        said = (
            f"Trained on LLM labels, {pair.llm.student} has a {pair.task.main_name} of {found.a.interval} on "
            f"{found.a.n:,} test rows and {counted(pair.seeds, 'seed')}, on human labels {found.b.interval}: the "
            f"difference is {found.difference}, the ratio {found.ratio}. With the margin {margin:g} this is "
            f"{VERDICTS[next(iter(verdicts))]}."
        )
    else:
        said = f"Of {len(pairs)} pairs, with the margin {margin:g}: " + joined(
            f"{count} {VERDICTS[name]}" for name, count in verdicts.most_common()
        )
        said += "." + _extremes(pairs)
    return said + _limit(pairs, margin)


def _extremes(pairs: list[Pair]) -> str:
    ranked = sorted(pairs, key=lambda pair: pair.score().difference.estimate)
    low, high = ranked[0], ranked[-1]
    return (
        f" The difference goes from {low.score().difference} ({low.name}; {low.score().a.n:,} rows) to "
        f"{high.score().difference} ({high.name}; {high.score().a.n:,} rows)."
    )


def _limit(pairs: list[Pair], margin: float) -> str:
    """What the rows can not show, with how many could."""
    found = [(pair, detectable_margin(pair.score(), margin)) for pair in pairs]
    blind = [(pair, can) for pair, can in found if can.margin > margin]
    if not blind:
        return ""
    if len(pairs) == 1:
        pair, can = blind[0]
        needed = f"about {can.rows:,} rows would" if can.rows else "no number of rows would do with these seeds"
        rows = f"{pair.score().a.n:,} rows and {counted(pair.seeds, 'seed')}"
        return f" {rows} resolve a margin of {can.margin:.3f}, not of {margin:g}; {needed}."
    return (
        f" In {len(blind)} of them the rows and seeds are too few for this margin: they resolve "
        f"{min(can.margin for _, can in blind):.3f} to {max(can.margin for _, can in blind):.3f}."
    )


def _exact(pairs: list[Pair]) -> tuple[Table, ...]:
    """McNemar's exact tests, seed by seed; for labels that are right or wrong."""
    rows: list[tuple[Value, ...]] = []
    for pair in pairs:
        task = pair.task
        if task.runs.kind not in CLASSES:
            continue
        tests = [
            mcnemar(task.runs.truth, task.arms[pair.llm][seed].answers, task.arms[pair.human][seed].answers)
            for seed in task.shared(pair.llm, pair.human)[: 1 if pair.alike else None]
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
        "right only by LLM labels, only by human ones",
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
    if same := sum(pair.alike for pair in pairs):
        notes.append(
            f"In {same} of {len(pairs)} pairs all seeds gave the same students: their intervals are of the test rows, "
            "and only one exact test is shown."
        )
    return tuple(notes)
