"""Learning curves: what more labels and more epochs bring, and how many human labels LLM labels are worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.statistics.comparison.condition_bootstrap import ScoreReplicates
from hf_synthlabels.statistics.comparison.learning_curves import (
    LabelEquivalent,
    PowerLaw,
    fit_power_law,
    label_equivalent,
)
from hf_synthlabels.statistics.exhibits import Curve, Curves, Exhibit, Point, Section, Table, Value
from hf_synthlabels.statistics.intervals import percentile_interval
from hf_synthlabels.studies.analysis.base import (
    HUMAN,
    RANDOM,
    Analysis,
    Condition,
    TaskAnalysis,
    analyze_runs,
    llm_human_pairs,
)
from hf_synthlabels.studies.analysis.scores import answer_features
from hf_synthlabels.studies.analysis.synthetic_first import source_switch
from hf_synthlabels.studies.runs import StudyRuns
from hf_synthlabels.studies.wording import percent

Floats = NDArray[np.float64]

MAX_LEVELS = 4
"""Horizontal lines of a figure; more would hide the curves."""

LEAST = 3
SMOOTH = 40


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One student on growing sets of one source's labels, with the seeds that all sizes have."""

    task: TaskAnalysis
    conditions: tuple[Condition, ...]
    seeds: tuple[int, ...]
    sizes: tuple[int, ...]
    """Labels, the mean over seeds."""
    scores: tuple[ScoreReplicates, ...]

    @property
    def name(self) -> str:
        """The student and the source."""
        return f"{self.conditions[0].student}, {self.conditions[0].labels}"

    @property
    def points(self) -> Floats:
        """Scores, shape (sizes,)."""
        return np.array([score.estimate for score in self.scores])

    @property
    def draws(self) -> Floats:
        """Scores in every resample, shape (resamples, sizes)."""
        return np.column_stack([score.values for score in self.scores])

    @property
    def law(self) -> PowerLaw:
        """The fitted power law."""
        return fit_power_law(self.sizes, self.points)


def learning_curve_lines(task: TaskAnalysis) -> list[Line]:
    """The curves with at least three sizes, by student and source."""
    grouped: dict[tuple[str, str], list[Condition]] = {}
    for condition in task.single_source():
        if (
            task.n_labeled(condition) > 0
            and condition.size != 0
            and condition.source != RANDOM
            and not source_switch(condition.source)
        ):
            grouped.setdefault((condition.student, condition.labels), []).append(condition)
    lines = []
    for conditions in grouped.values():
        seeds = task.shared_seeds(*conditions)
        sizes = [task.n_labeled(condition) for condition in conditions]
        if seeds and len(set(sizes)) >= LEAST:
            scores = tuple(task.score(condition, seeds=seeds) for condition in conditions)
            lines.append(Line(task, tuple(conditions), tuple(seeds), tuple(sizes), scores))
    return lines


def label_values(task: TaskAnalysis) -> list[tuple[Condition, LabelEquivalent]]:
    """Human-label equivalents of each annotator's labels, where the human curve has three sizes."""
    lines = {
        line.conditions[0].student: line for line in learning_curve_lines(task) if line.conditions[0].source == HUMAN
    }
    found = []
    for source in task.annotators:
        for condition in task.single_source(source):
            line = lines.get(condition.student)
            shared = [] if line is None else task.shared_seeds(condition, *line.conditions)
            if line is None or not shared or not task.n_labeled(condition):
                continue
            curve = [task.score(each, seeds=shared) for each in line.conditions]
            against = task.score(condition, seeds=shared)
            draws = np.column_stack([each.values for each in curve])
            points = np.array([each.estimate for each in curve])
            worth = label_equivalent(
                line.sizes,
                points,
                draws,
                task.n_labeled(condition),
                against.estimate,
                against.values,
                level=task.bootstrap.level,
                n=against.n,
            )
            found.append((condition, worth))
    return found


def report_sections(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """Curves over sizes, the worth of labels, and curves over epochs; each where its cells are."""
    analysis = analyze_runs(runs)
    return (*_sizes(analysis), *_epochs(analysis))


def _sizes(analysis: Analysis) -> tuple[Section, ...]:
    tasks = [(task, lines) for task in analysis.tasks if (lines := learning_curve_lines(task))]
    if not tasks:
        return ()
    note = (
        f"{percent(analysis.runs.level)} intervals over test rows and seeds. Lines: score = a - b n^-c by bounded "
        "least squares. Extrapolation beyond the largest size is not validated."
    )
    figures: list[Exhibit] = [
        Curves(
            f"learning_{at}",
            f"{task.runs.name}: {task.main_score_name} by labels",
            tuple(_curve(line) for line in lines),
            "training labels",
            task.main_score_name,
            "log",
            levels=_levels(task, lines),
            note=note,
        )
        for at, (task, lines) in enumerate(tasks, 1)
    ]
    fits = tuple(_fit(line) for _, lines in tasks for line in lines)
    heads = (
        "task, student, labels",
        "seeds",
        "sizes",
        "asymptote a",
        "b",
        "exponent c",
        "largest residual",
    )
    figures.append(Table("power_laws", "Fitted power laws", heads, fits, note))
    worths = [(task, condition, worth) for task, _ in tasks for condition, worth in label_values(task)]
    if worths:
        figures.append(_worth_table(worths, analysis.runs.level))
    return (Section("curves", "Learning curves", _verdict(tasks, worths), tuple(figures)),)


def _levels(task: TaskAnalysis, lines: list[Line]) -> tuple[tuple[str, float], ...]:
    """Scores of the annotators themselves, and of their students at the largest size if those have no curve."""
    drawn = {line.name for line in lines}
    levels: dict[str, float] = {}
    for pair in llm_human_pairs(task):
        if f"{pair.llm.student}, {pair.llm.labels}" not in drawn:
            name = f"{pair.llm.student}, {task.n_labeled(pair.llm):,} labels of {pair.llm.labels}"
            levels[name] = task.score(pair.llm).estimate
        itself = task.annotator_features(pair.llm.source, pair.llm.prompt)
        if itself is not None:
            levels[f"{pair.llm.labels} itself"] = task.draws.draw(itself, task.main_score).estimate
    return tuple(levels.items()) if len(levels) <= MAX_LEVELS else ()


def _curve(line: Line) -> Curve:
    points = tuple(Point(float(size), score.interval) for size, score in zip(line.sizes, line.scores, strict=True))
    law = line.law
    grid = np.geomspace(min(line.sizes), max(line.sizes), SMOOTH)
    return Curve(line.name, points, tuple((float(n), float(law.score(float(n))[0])) for n in grid))


def _fit(line: Line) -> tuple[Value, ...]:
    law, level = line.law, line.task.bootstrap.level
    drawn = fit_power_law(line.sizes, line.draws)
    method = "bootstrap: rows and seeds"
    parts = [
        percentile_interval(draws, float(point[0]), level, method, line.scores[0].n)
        for point, draws in ((law.a, drawn.a), (law.b, drawn.b), (law.c, drawn.c))
    ]
    worst = max(abs(float(law.score(n)[0]) - point) for n, point in zip(line.sizes, line.points.tolist(), strict=True))
    sizes = ", ".join(f"{size:,}" for size in line.sizes)
    return (f"{line.task.runs.name}, {line.name}", len(line.seeds), sizes, *parts, worst)


def _worth_table(worths: list[tuple[TaskAnalysis, Condition, LabelEquivalent]], level: float) -> Table:
    rows: list[tuple[Value, ...]] = [
        (f"{task.runs.name}, {condition.student}, {condition.labels}", worth.labels, str(worth))
        for task, condition, worth in worths
    ]
    note = (
        f"Human labels at which the human-trained curve reaches the same score, with {percent(level)} intervals over "
        "test rows and seeds. Values outside the sizes of the study are bounds."
    )
    heads = ("task, student, labels", "LLM labels", "human labels")
    return Table("worth", "Human-label equivalents", heads, tuple(rows), note)


def _verdict(
    tasks: list[tuple[TaskAnalysis, list[Line]]], worths: list[tuple[TaskAnalysis, Condition, LabelEquivalent]]
) -> str:
    if worths:
        task, condition, worth = max(worths, key=lambda each: each[2].labels)
        name = f"{task.runs.name}, {condition.student}"
        return f"{name}: {worth.labels:,} labels of {condition.labels} are equivalent to {worth} human labels."
    line = max(tasks[0][1], key=lambda each: (each.conditions[0].source == HUMAN, each.scores[-1].estimate))
    first, last = line.scores[0], line.scores[-1]
    name = f"{line.task.runs.name}, {line.name}"
    return f"{name}: {first.interval} with {line.sizes[0]:,} labels, {last.interval} with {line.sizes[-1]:,}."


def _epochs(analysis: Analysis) -> tuple[Section, ...]:
    figures: list[Exhibit] = []
    said = []
    for task in analysis.tasks:
        curves = []
        for condition in _largest(task):
            lines = _epoch_scores(task, condition)
            if len(lines) > 1:
                points = tuple(Point(epoch, score.interval) for epoch, score in lines)
                curves.append(Curve(f"{condition.student}, {condition.labels}", points))
                best = max(lines, key=lambda each: each[1].estimate)
                said.append(
                    f"{task.runs.name}, {condition.student}, {condition.labels}: best after {best[0]:g} of "
                    f"{lines[-1][0]:g} epochs, {best[1].interval} against {lines[-1][1].interval} at the end"
                )
        if curves:
            name, title = f"epochs_{len(figures) + 1}", f"{task.runs.name}: {task.main_score_name} by epoch"
            note = "Answers on the test rows after each epoch of one run, over its seeds."
            figures.append(Curves(name, title, tuple(curves), "epochs", task.main_score_name, note=note))
    if not figures:
        return ()
    rows = sum(len(task.runs.truth) for task in analysis.tasks)
    answer = "; ".join(said[:2]) + f" ({rows:,} test rows in all)."
    notes = (
        "The best epoch is looked up on the test rows: it flatters by choice, and only the last epoch is the study's.",
        "An earlier epoch of a run whose learning rate falls to its end is not the student of a shorter run.",
    )
    return (Section("epochs", "Training curves", answer, tuple(figures), notes),)


def _largest(task: TaskAnalysis) -> list[Condition]:
    """The condition with the most rows of each student and source."""
    found = {(condition.student, condition.labels): condition for condition in task.single_source()}
    return list(found.values())


def _epoch_scores(task: TaskAnalysis, condition: Condition) -> list[tuple[float, ScoreReplicates]]:
    """Scores after the epochs that all seeds have."""
    answers: dict[float, list[Floats]] = {}
    runs = task.conditions[condition].values()
    for run in runs:
        for epoch, said in run.epochs:
            answers.setdefault(round(epoch, 3), []).append(answer_features(task.runs, said))
    return [
        (epoch, task.draws.draw(np.stack(found), task.main_score))
        for epoch, found in sorted(answers.items())
        if len(found) == len(runs)
    ]
