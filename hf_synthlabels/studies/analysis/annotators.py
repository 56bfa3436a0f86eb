"""Annotators of a study: the recorded questions and row statuses, and the comparison of prompts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hf_synthlabels.statistics.comparison.pooling import bootstrap_p_value, holm
from hf_synthlabels.statistics.exhibits import Intervals, Section, Table, Value
from hf_synthlabels.statistics.intervals import wilson
from hf_synthlabels.studies.analysis.base import Analysis, TaskAnalysis, analysed
from hf_synthlabels.studies.runs import StudyRuns, TaskRuns
from hf_synthlabels.studies.wording import counted, p_words, percent

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
        f"{task.name}, {name}, {PARTS[part]}: {answer}{f' ({why})' if why else ''}"
        for task, name, each in asked
        for part in PARTS
        for answer, why in each.get(part, {}).get("unread", {}).items()
    )
    return (Section("annotators", "Annotators", _verdict(asked), tuple(exhibits), unread),)


def warnings_of(runs: StudyRuns) -> tuple[str, ...]:
    """What a reader must know before any score: texts that are trained and tested on."""
    found = []
    for name, facts in dict(runs.facts or {}).get("tasks", {}).items():
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


SCORED = ("task, annotator/prompt", "test rows", "answered", "score is", "score", "US dollars a row")
COMPARED = ("task, labels of", "first", "second", "test rows", "first minus second", "p, Holm")


def prompt_sections(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """Prompts by the annotator's own labels and by its students; none where every annotator was asked in one way."""
    analysis = analysed(runs)
    asked = [(task, source, prompts) for task in analysis.tasks for source, prompts in _prompts(task).items()]
    if not asked:
        return ()
    scores: list[tuple[Value, ...]] = []
    panels = []
    for task, source, prompts in asked:
        for prompt in prompts:
            found = task.annotator(source, prompt)
            assert found is not None
            name = f"{task.runs.name}, {source}/{prompt}"
            score = task.draws.draw(found, task.main).interval
            panels.append((name, score))
            answered = sum(label is not None for label in task.runs.llm_labels[f"{source}/{prompt}"])
            price = task.runs.usd_per_row.get(f"{source}/{prompt}")
            scores.append((name, len(task.runs.truth), answered, task.main_name, score, price))
    tests = [row for task, source, prompts in asked for row in _pairs(task, source, prompts)]
    p_values = holm([test[-1] for test in tests])
    rows = tuple((*test[:-1], p_words(p_value)) for test, p_value in zip(tests, p_values, strict=True))
    level = analysis.runs.level
    note = f"The annotator's own labels of the test rows; {percent(level)} intervals over these rows."
    paired = f"Paired; p-values two-sided, corrected for all {len(rows)} comparisons by Holm's steps."
    exhibits = (
        Intervals("prompts", "Prompts", {"score of the annotator itself": tuple(panels)}, "score", note=note),
        Table("prompt_scores", "Scores of prompts", SCORED, tuple(scores), note),
        Table("prompt_pairs", "Pairwise comparison of prompts", COMPARED, rows, paired),
    )
    return (Section("prompts", "Comparison of prompts", _prompt_verdict(asked, tests, level), exhibits),)


def _prompts(task: TaskAnalysis) -> dict[str, list[str]]:
    """The prompts of each annotator that has several."""
    found: dict[str, list[str]] = {}
    for name in task.runs.llm_labels:
        source, slash, prompt = name.partition("/")
        if slash and task.annotator(source, prompt) is not None:
            found.setdefault(source, []).append(prompt)
    return {source: prompts for source, prompts in found.items() if len(prompts) > 1}


Test = tuple[str, str, str, int, Value, float]


def _pairs(task: TaskAnalysis, source: str, prompts: list[str]) -> list[Test]:
    """The annotator's own labels and each student's, every prompt against every other."""
    tests: list[Test] = []
    for first, second in itertools.combinations(prompts, 2):
        itself = [task.annotator(source, prompt) for prompt in (first, second)]
        if itself[0] is not None and itself[1] is not None:
            pair = task.draws.compare(itself[0], itself[1], task.main)
            name = f"{task.runs.name}, {source} itself"
            tests.append((name, first, second, pair.a.n, pair.difference, bootstrap_p_value(pair.values)))
        for one, other in itertools.product(task.plain(source), repeat=2):
            if (one.prompt, other.prompt) == (first, second) and one.same_training(other) and task.shared(one, other):
                pair = task.compare(one, other)
                name = f"{task.runs.name}, {one.student}, {task.labelled(one):,} labels"
                tests.append((name, first, second, pair.a.n, pair.difference, bootstrap_p_value(pair.values)))
    return tests


def _prompt_verdict(asked: list[tuple[TaskAnalysis, str, list[str]]], tests: list[Test], level: float) -> str:
    task, source, prompts = asked[0]
    found = {prompt: task.annotator(source, prompt) for prompt in prompts}
    scores = {prompt: task.draws.draw(each, task.main) for prompt, each in found.items() if each is not None}
    best = max(scores, key=lambda prompt: scores[prompt].estimate)
    significant = int(np.sum(np.array(holm([test[-1] for test in tests])) < 1 - level))
    name = f"{task.runs.name}, {source}: best “{best}”, {task.main_name} {scores[best].interval}"
    return f"{name}; {significant} of {counted(len(tests), 'comparison')} significant (Holm)."
