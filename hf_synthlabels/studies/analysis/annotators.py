"""Annotators of a study: their settings, their row statuses, and the comparison of annotators and prompts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from hf_synthlabels.statistics import MEASURES
from hf_synthlabels.statistics.comparison.pooling import bootstrap_p_value, holm
from hf_synthlabels.statistics.exhibits import Exhibit, Intervals, Section, Table, Value
from hf_synthlabels.statistics.intervals import wilson
from hf_synthlabels.statistics.validation.task_agreement import ROW_SCORES
from hf_synthlabels.studies.analysis.annotator_ranking import Ranking, rank_annotators
from hf_synthlabels.studies.analysis.base import Analysis, TaskAnalysis, analyze_runs
from hf_synthlabels.studies.analysis.scores import HEADLINES
from hf_synthlabels.studies.runs import StudyRuns, TaskRuns
from hf_synthlabels.studies.wording import p_words

PARTS = {"train": "training rows", "test": "test rows"}
LONG = ("labels", "prompt", "question", "guidelines")
"""Facts with separate rows."""


def annotator_sections(runs: StudyRuns) -> tuple[Section, ...]:
    """Prompts and row statuses of each annotator, where they were recorded."""
    asked = [(task, name, each) for task in runs.tasks for name, each in task.annotators.items()]
    if not asked:
        return ()
    facts = tuple(row for task, name, each in asked for row in _facts(f"{task.name}, {name}", each["facts"]))
    labels = tuple(
        (f"{task.name}, {name}", label, definition or "no definition given")
        for task, name, each in asked
        for label, definition in each["facts"].get("labels", {}).items()
    )
    statuses = [row for task, name, each in asked for row in _statuses(task, name, each, runs.level)]
    exhibits = [
        Table("asked", "Annotator settings", ("annotator", "what", "value"), facts),
        Table(
            "statuses",
            "Row status",
            ("annotator", "rows", "asked", "coverage", "by status"),
            tuple(statuses),
            "Coverage: share of the rows asked about that have a label.",
        ),
    ]
    if labels:
        exhibits.insert(1, Table("definitions", "Labels", ("annotator", "label", "definition"), labels))
    unread = tuple(
        f"{task.name}, {name}, answer without a label in the {PARTS[part]}: {answer}{f' ({why})' if why else ''}"
        for task, name, each in asked
        for part in PARTS
        for answer, why in each.get(part, {}).get("unread", {}).items()
    )
    return (Section("annotators", "Annotators", _verdict(asked), tuple(exhibits), unread),)


def annotator_warnings(runs: StudyRuns) -> tuple[str, ...]:
    """What a reader must know before any score: texts that are trained and tested on, or shown as examples."""
    found = []
    for name, facts in dict(runs.facts or {}).get("tasks", {}).items():
        if facts.get("shown_as_examples"):
            shown = facts["shown_as_examples"]
            found.append(f"{shown:,} rows of {name} are not tested: they are shown to an annotator as examples.")
        if not facts.get("shared_texts"):
            continue
        what = f"{facts['shared_texts']:,} training rows of {name} have texts that are also among its test rows"
        found.append(
            f"{what}; they were left out."
            if facts.get("shared_texts_dropped")
            else f"Warning: {what}, so the scores of its students are too high for new texts."
        )
    return tuple(found)


def _facts(where: str, facts: Mapping[str, Any]) -> Iterator[tuple[Value, ...]]:
    for name, value in facts.items():
        if name == "labels":
            continue
        if name == "price":
            prices = {key: amount for key, amount in value.items() if amount not in (None, "", 1.0)}
            value = ", ".join(f"{key.replace('_', ' ')} {amount}" for key, amount in prices.items())
        yield (where, name, str(value))


def _statuses(task: TaskRuns, name: str, each: Mapping[str, Any], level: float) -> Iterator[tuple[Value, ...]]:
    for part, rows in PARTS.items():
        counts = each.get(part, {}).get("statuses")
        if counts:
            asked = sum(counts.values()) - counts.get("skipped", 0)
            coverage = wilson(counts.get("labelled", 0), asked, level) if asked else None
            listed = ", ".join(f"{status} {count:,}" for status, count in counts.items())
            yield (f"{task.name}, {name}", rows, asked, coverage, listed)


def _verdict(asked: list[tuple[TaskRuns, str, Mapping[str, Any]]]) -> str:
    models = {
        name: each["facts"].get("model that answered") or each["facts"].get("model") or each["facts"]["client"]
        for _, name, each in asked
    }
    return "; ".join(f"{name}: {model}" for name, model in models.items()) + "."


COMPARED = ("task, student, labels of", "first", "second", "test rows", "first minus second", "p, Holm")


def comparison_sections(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """Annotators and prompts by their own labels of the test rows, and prompts by the students of their labels."""
    analysis = analyze_runs(runs)
    level = analysis.runs.level
    rankings = [(task, ranking) for task in analysis.runs.tasks if (ranking := rank_annotators(task, level))]
    exhibits: list[Exhibit] = []
    for place, (task, ranking) in enumerate(rankings, 1):
        exhibits += _compared(place, task, ranking)
    tests = [test for task in analysis.tasks for test in _students(task)]
    if tests:
        p_values = holm([test[-1] for test in tests])
        rows = tuple((*test[:-1], p_words(p_value)) for test, p_value in zip(tests, p_values, strict=True))
        note = f"Paired; p-values two-sided, corrected for all {len(rows)} comparisons by Holm's steps."
        exhibits.append(Table("prompt_pairs", "Students by prompt", COMPARED, rows, note))
    if not exhibits:
        return ()
    return (Section("comparison", "Comparison of annotators", " ".join(ranking_lines(analysis.runs)), tuple(exhibits)),)


def ranking_lines(runs: StudyRuns) -> list[str]:
    """The best annotator of each task, and how many differ from the first."""
    lines = []
    for task in runs.tasks:
        if ranking := rank_annotators(task, runs.level):
            lines += _ranking_lines(task, ranking, runs.level)
    return lines


def _ranking_lines(task: TaskRuns, ranking: Ranking, level: float) -> list[str]:
    first, *others = ranking.annotators
    best, score = ranking.ranked[0], HEADLINES[task.kind][0]
    lines = [f"{task.name}, best of {len(task.truth):,} rows: {best.name!r}, {MEASURES[task.kind][score]} "
             f"{best.report.scores[score]}."]  # fmt: skip
    if len(others) == 1:
        return [*lines, f"{others[0].name!r} {others[0].place(level)} {first.name!r}: {others[0].difference}."]
    places = [other.place(level) for other in others]
    better, worse = places.count("is better than"), places.count("is worse than")
    return [
        *lines,
        f"Of {len(others):,} others, {better:,} are better and {worse:,} worse than {first.name!r}, and "
        f"{len(others) - better - worse:,} do not differ significantly (Holm correction for all of them).",
        f"The best of {len(places) + 1:,} was picked on the rows that score it, so its mean credit is about "
        f"{ranking.optimism:.3f} too high (bootstrap); confirm it on new rows.",
    ]


def _compared(place: int, task: TaskRuns, ranking: Ranking) -> Iterator[Exhibit]:
    """Paired differences to the first annotator, and the same with scores and costs in a table."""
    names, first = MEASURES[task.kind], ranking.annotators[0].name
    note = (
        f"Differences are of the mean credit ({ROW_SCORES[task.kind]}) on the same {len(task.truth):,} rows. Intervals "
        "hold for each comparison alone; p-values are corrected for all of them by Holm's procedure."
    )
    if ranking.agreement is not None:
        note += f" Agreement among annotators: {ranking.agreement}."
    gaps = tuple((each.name, each.difference) for each in ranking.ranked if each.difference is not None)
    yield Intervals(
        f"differences_{place}", f"{task.name}: paired differences", {f"minus {first}": gaps}, "mean credit",
        (("none", 0.0),), note,
    )  # fmt: skip
    scores = HEADLINES[task.kind]
    heads = ("annotator", "coverage", *(names[score] for score in scores), f"against {first}", "p, Holm")
    rows: list[tuple[Value, ...]] = [
        (
            each.name,
            each.report.coverage,
            *(each.report.scores[score] for score in scores),
            each.difference,
            None if each.p_value is None else p_words(each.p_value),
            *each.cost.values(),
        )
        for each in ranking.ranked
    ]
    costs = ("answers", "tokens in", "tokens out", "US dollars")
    yield Table(f"annotators_{place}", f"{task.name}: annotators", (*heads, *costs), tuple(rows), note)


Test = tuple[str, str, str, int, Value, float]


def _students(task: TaskAnalysis) -> Iterator[Test]:
    """The students of every prompt of an annotator against those of every other prompt."""
    for source in task.annotators:
        for one, other in itertools.combinations(task.single_source(source), 2):
            if one.prompt != other.prompt and one.same_training(other) and task.shared_seeds(one, other):
                pair = task.compare(one, other)
                name = f"{task.runs.name}, {one.student}, {task.n_labeled(one):,} labels"
                yield (name, one.labels, other.labels, pair.a.n, pair.difference, bootstrap_p_value(pair.values))
