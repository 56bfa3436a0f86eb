"""Two phases: is the form of answers learnt before the task, and is more learnt than by labels without information?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.comparison.condition_bootstrap import ConditionBootstrap, RowFeatures, ScoreReplicates
from hf_synthlabels.statistics.comparison.learning_curves import PhaseTest, gain_p_value, phase_test
from hf_synthlabels.statistics.exhibits import Curve, Curves, Exhibit, Point, Section, Table, Value
from hf_synthlabels.statistics.intervals import percentile_interval
from hf_synthlabels.studies.analysis.base import RANDOM, Analysis, Condition, TaskAnalysis, analyze_runs
from hf_synthlabels.studies.analysis.scores import CLASSES, answer_features
from hf_synthlabels.studies.runs import StudyRuns
from hf_synthlabels.studies.wording import p_words

Floats = NDArray[np.float64]

LEAST = 4
FORM_SLACK = 0.02
"""A share of well-formed answers that never varies by more than this was learnt before the first size."""


@dataclass(frozen=True, slots=True, eq=False)
class Phases:
    """One source of labels over sizes, for one student."""

    task: TaskAnalysis
    conditions: tuple[Condition, ...]
    sizes: tuple[int, ...]
    form: tuple[ScoreReplicates, ...]
    ability: tuple[ScoreReplicates, ...]
    """Scores of the well-formed answers alone."""
    gains: tuple[Interval, ...] | None
    """These scores minus those with random labels, where the control has every size; then the test is of them."""
    test: PhaseTest
    p_value: float | None
    """One-sided, that the score gains no more than with random labels; None without the control."""
    seeds: int

    @property
    def name(self) -> str:
        """The task, the student and the labels."""
        return f"{self.task.runs.name}, {self.conditions[0].student}, {self.conditions[0].labels}"


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """Share of valid answers of one condition, and the score of the well-formed ones."""

    name: str
    source: str
    rows: int
    seeds: int
    share: Interval
    score: Interval | None
    """None where a seed gave no well-formed answer."""
    over_random: Interval | None
    """That score minus that of the same texts with random labels."""


def varying_format_curves(task: TaskAnalysis) -> list[list[Form]]:
    """By student and source its sizes, where the share of well-formed answers is not always the same."""
    draws = _form_draws(task)
    lines = [[_condition_format(task, each, draws) for each in conditions] for conditions in _lines(task).values()]
    return [line for line in lines if np.ptp([form.share.estimate for form in line]) >= FORM_SLACK]


def _condition_format(task: TaskAnalysis, condition: Condition, draws: ConditionBootstrap) -> Form:
    seeds = task.shared_seeds(condition)
    score = _ability(task, condition, seeds)
    known = _all_wrote(task, condition, seeds)
    is_trained = condition.size != 0 and condition.source != RANDOM
    controls = [each for each in task.single_source(RANDOM) if is_trained and each.same_training(condition)]
    over = None
    if known and controls and (both := task.shared_seeds(condition, controls[0])):
        found, other = _valid_features(task, condition, both), _valid_features(task, controls[0], both)
        pair = task.draws.compare(found, other, _ability_name(task))
        over = pair.difference if _all_wrote(task, controls[0], both) else None
    return Form(
        f"{task.runs.name}, {condition.student}, {condition.labels}", condition.source, task.n_labeled(condition),
        len(seeds), _form(task, condition, seeds, draws).interval, score.interval if known else None, over,
    )  # fmt: skip


def _all_wrote(task: TaskAnalysis, condition: Condition, seeds: list[int]) -> bool:
    """Whether every seed gave some well-formed answer: of none a score of entities would be perfect."""
    return all(any(answer is not None for answer in task.conditions[condition][seed].answers) for seed in seeds)


def _lines(task: TaskAnalysis) -> dict[tuple[str, str], list[Condition]]:
    lines: dict[tuple[str, str], list[Condition]] = {}
    for condition in task.single_source():
        lines.setdefault((condition.student, condition.labels), []).append(condition)
    return lines


def learning_phases(task: TaskAnalysis) -> list[Phases]:
    """Sources with at least four sizes at which some answers are well formed, and not always the same share."""
    lines, draws = _lines(task), _form_draws(task)
    found = []
    for (student, labels), conditions in lines.items():
        seeds = task.shared_seeds(*conditions)
        if labels == RANDOM or not seeds or len(conditions) < LEAST:
            continue
        form = [_form(task, condition, seeds, draws) for condition in conditions]
        if np.ptp([each.estimate for each in form]) >= FORM_SLACK:
            phases = _phases(task, conditions, form, seeds, lines.get((student, RANDOM), []))
            found += [] if phases is None else [phases]
    return found


def _phases(
    task: TaskAnalysis,
    conditions: list[Condition],
    form: list[ScoreReplicates],
    seeds: list[int],
    controls: list[Condition],
) -> Phases | None:
    ability = [_ability(task, condition, seeds) for condition in conditions]
    kept = [at for at, condition in enumerate(conditions) if _all_wrote(task, condition, seeds)]
    if len(kept) < LEAST:
        return None
    conditions, form, ability = [conditions[at] for at in kept], [form[at] for at in kept], [ability[at] for at in kept]
    sizes = [task.n_labeled(condition) if condition.size is None else condition.size for condition in conditions]
    shares, scores = (np.array([each.estimate for each in part]) for part in (form, ability))
    drawn, level, n = _filled(ability), task.bootstrap.level, len(task.runs.truth)
    control = _control(task, conditions, ability, controls, seeds)
    gains = None
    if control is not None:
        # What a student could do before shows as soon as it has the form: with random labels, too.
        scores, drawn = scores - [each.estimate for each in control], drawn - _filled(control)
        gains = tuple(_interval(drawn[:, at], float(score), level, n) for at, score in enumerate(scores))
    test = phase_test(sizes, shares, scores, _filled(form), drawn, level=level, n=n)
    p_value = _against_control(task, conditions, ability, controls, seeds)
    return Phases(task, tuple(conditions), tuple(sizes), tuple(form), tuple(ability), gains, test, p_value, len(seeds))


def _interval(drawn: Floats, point: float, level: float, n: int) -> Interval:
    return percentile_interval(drawn, point, level, "bootstrap: rows and seeds", n)


def _control(
    task: TaskAnalysis,
    conditions: list[Condition],
    ability: list[ScoreReplicates],
    controls: list[Condition],
    seeds: list[int],
) -> list[ScoreReplicates] | None:
    """The same seeds with random labels; None where a size has no such student. Without any row it is the same one."""
    found = []
    for condition, own in zip(conditions, ability, strict=True):
        if condition.size == 0:
            found.append(own)
            continue
        matching = next((each for each in controls if each.same_training(condition)), None)
        if (
            matching is None
            or not set(seeds) <= set(task.shared_seeds(matching))
            or not _all_wrote(task, matching, seeds)
        ):
            return None
        found.append(_ability(task, matching, seeds))
    return found


def report_sections(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """Form and task by size, and the two-phase test where a source has four sizes; none where form never varies."""
    analysis = analyze_runs(runs)
    lines = [line for task in analysis.tasks for line in varying_format_curves(task)]
    if all(line[0].source == RANDOM for line in lines):
        return ()
    found = [phases for task in analysis.tasks for phases in learning_phases(task)]
    figures: list[Exhibit] = [_figure(at, phases) for at, phases in enumerate(found, 1)]
    if found:
        figures.append(_tested(found))
    figures.append(_form_table(lines))
    verdict = _verdict(found, analysis.runs.level)
    return (Section("phases", "Output format vs. task learning", verdict, tuple(figures)),)


def _tested(found: list[Phases]) -> Table:
    heads = (
        "task, student, labels", "test rows", "seeds", "output format learned by (rows)",
        "task learning starts at (rows)", "lag, log(1 + rows)", "p, gain over permuted labels",
    )  # fmt: skip
    note = (
        "Change points of piecewise-linear fits over log(1 + rows), by least squares, with intervals over test rows "
        "and seeds. A positive lag means that the output format is learned first. The control has the same texts with "
        "permuted labels. Where it has every size, task learning starts where the score exceeds the control's, "
        "elsewhere where the score rises. The p-value permutes the two within each seed; its minimum is 2^-seeds."
    )
    return Table(
        "phases_table", "When output format and task are learned", heads, tuple(_row(each) for each in found), note
    )


def _form_table(lines: list[list[Form]]) -> Table:
    heads = (
        "task, student, labels", "rows", "seeds", "proportion of valid answers",
        "score of valid answers", "score of valid answers, minus permuted labels",
    )  # fmt: skip
    note = (
        "A valid answer is a label of the schema. Its score is the accuracy for class labels; it is unknown where a "
        "seed gave no valid answer. Paired over test rows and seeds."
    )
    rows = [
        (form.name, form.rows, form.seeds, form.share, form.score, form.over_random) for line in lines for form in line
    ]
    return Table("form_table", "Output format and task scores", heads, tuple(rows), note)


def _form_draws(task: TaskAnalysis) -> ConditionBootstrap:
    """Draws of the same rows as those of the scores, for the share of answers that the schema knows."""
    ones = np.ones((len(task.runs.truth), 1))

    def share(sums: Floats, _: Floats) -> Floats:
        shares: Floats = sums[..., 0] / len(ones)
        return shares

    return ConditionBootstrap(RowFeatures(ones, 0 * ones, {"form": share}), task.bootstrap)


def _form(task: TaskAnalysis, condition: Condition, seeds: list[int], draws: ConditionBootstrap) -> ScoreReplicates:
    given = [[answer is not None for answer in task.conditions[condition][seed].answers] for seed in seeds]
    return draws.draw(np.array(given, dtype=np.float64)[:, :, None], "form")


def _ability(task: TaskAnalysis, condition: Condition, seeds: list[int]) -> ScoreReplicates:
    """The score of the well-formed answers: the accuracy where labels are right or wrong, else the main score."""
    return task.draws.draw(_valid_features(task, condition, seeds), _ability_name(task))


def _valid_features(task: TaskAnalysis, condition: Condition, seeds: list[int]) -> Floats:
    return np.stack(
        [answer_features(task.runs, task.conditions[condition][seed].answers, answered_only=True) for seed in seeds]
    )


def _ability_name(task: TaskAnalysis) -> str:
    return "accuracy" if task.runs.kind in CLASSES else task.main_score


def _filled(scores: list[ScoreReplicates]) -> Floats:
    """Bootstrap replicates, shape (replicates, sizes); replicates without well-formed answers get the estimate."""
    drawn = np.column_stack([each.values for each in scores])
    return np.where(np.isnan(drawn), np.array([each.estimate for each in scores]), drawn)


def _against_control(
    task: TaskAnalysis,
    conditions: list[Condition],
    ability: list[ScoreReplicates],
    controls: list[Condition],
    seeds: list[int],
) -> float | None:
    """The gain from the first to the last size, by seed, against that of random labels."""
    ends = _control(task, [conditions[0], conditions[-1]], [ability[0], ability[-1]], controls, seeds)
    if ends is None:
        return None
    return gain_p_value(ability[-1].seeds - ability[0].seeds, ends[1].seeds - ends[0].seeds)


def _figure(at: int, phases: Phases) -> Curves:
    score = "accuracy" if phases.task.runs.kind in CLASSES else phases.task.main_score_name
    lines = {
        "proportion of valid answers": [each.interval for each in phases.form],
        f"{score} of valid answers": [each.interval for each in phases.ability],
    }
    if phases.gains is not None:
        lines[f"{score} minus permuted labels"] = list(phases.gains)
    curves = tuple(
        Curve(name, tuple(Point(float(n), value) for n, value in zip(phases.sizes, values, strict=True)))
        for name, values in lines.items()
    )
    marks = (("output format learned", phases.test.form.estimate), ("task learning starts", phases.test.task.estimate))
    return Curves(f"phases_{at}", phases.name, curves, "training rows", "proportion", marks=marks)


def _row(phases: Phases) -> tuple[Value, ...]:
    test = phases.test
    p_value = None if phases.p_value is None else p_words(phases.p_value)
    return (phases.name, len(phases.task.runs.truth), phases.seeds, test.form, test.task, test.lag, p_value)


def _verdict(found: list[Phases], level: float) -> str:
    if not found:
        return f"Not tested: the test needs {LEAST} sizes at which every seed gives some valid answers."
    n_supported = sum(_supported(phases, level) for phases in found)
    return (
        f"In {n_supported} of {len(found)} curves the output format is learned before the task, and the task is "
        "learned better than with permuted labels."
    )


def _supported(phases: Phases, level: float) -> bool:
    return phases.test.ordered and phases.p_value is not None and phases.p_value < 1 - level
