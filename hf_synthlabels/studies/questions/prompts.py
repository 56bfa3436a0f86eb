"""Prompts: ways to ask the same annotator, each against each on the same test rows."""

from __future__ import annotations

import itertools

import numpy as np

from hf_synthlabels.statistics.comparison.pooling import bootstrap_p_value, holm
from hf_synthlabels.statistics.exhibits import Intervals, Section, Table, Value
from hf_synthlabels.studies.questions.analysis import Analysis, TaskAnalysis, analysed
from hf_synthlabels.studies.questions.words import p_words, percent
from hf_synthlabels.studies.runs import StudyRuns

SCORED = ("task, annotator/prompt", "test rows", "answered", "score is", "score", "US dollars a row")
COMPARED = ("task, labels of", "first", "second", "test rows", "first minus second", "p, Holm")


def sections_of(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
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
        Intervals("prompts", "Ways to ask", {"score of the annotator itself": tuple(panels)}, "score", note=note),
        Table("prompt_scores", "Ways to ask, by themselves", SCORED, tuple(scores), note),
        Table("prompt_pairs", "Ways to ask, two by two", COMPARED, rows, paired),
    )
    return (Section("prompts", "Which way to ask is best?", _answer(asked, tests, level), exhibits),)


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
            if (one.prompt, other.prompt) == (first, second) and one.beside(other) and task.shared(one, other):
                pair = task.compare(one, other)
                name = f"{task.runs.name}, {one.student}, {task.labelled(one):,} labels"
                tests.append((name, first, second, pair.a.n, pair.difference, bootstrap_p_value(pair.values)))
    return tests


def _answer(asked: list[tuple[TaskAnalysis, str, list[str]]], tests: list[Test], level: float) -> str:
    task, source, prompts = asked[0]
    found = {prompt: task.annotator(source, prompt) for prompt in prompts}
    scores = {prompt: task.draws.draw(each, task.main) for prompt, each in found.items() if each is not None}
    best = max(scores, key=lambda prompt: scores[prompt].estimate)
    told = int(np.sum(np.array(holm([test[-1] for test in tests])) < 1 - level))
    return (
        f"On {task.runs.name} {source} does best with “{best}”: {task.main_name} {scores[best].interval} on "
        f"{len(task.runs.truth):,} test rows. Of {len(tests)} comparisons {told} can be told from chance when all are "
        "tested at once."
    )
