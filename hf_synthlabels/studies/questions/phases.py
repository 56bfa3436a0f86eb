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
from hf_synthlabels.studies.questions.analysis import RANDOM, Analysis, Arm, TaskAnalysis, analysed
from hf_synthlabels.studies.questions.scores import CLASSES, found_of
from hf_synthlabels.studies.questions.words import counted, p_words
from hf_synthlabels.studies.runs import StudyRuns

Floats = NDArray[np.float64]

LEAST = 4
FORM_SLACK = 0.02
"""A share of well-formed answers that never varies by more than this was learnt before the first size."""


@dataclass(frozen=True, slots=True, eq=False)
class Phases:
    """One source of labels over sizes, for one student."""

    task: TaskAnalysis
    arms: tuple[Arm, ...]
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
        return f"{self.task.runs.name}, {self.arms[0].student}, {self.arms[0].labels}"


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """How well the answers of one arm are formed, and how good the well-formed ones are."""

    name: str
    source: str
    rows: int
    test_rows: int
    seeds: int
    share: Interval
    """Well-formed answers."""
    score: Interval | None
    """Of the well-formed answers; None where a seed gave none."""
    over_random: Interval | None
    """That score minus that of the same texts with random labels."""


def forms_of(task: TaskAnalysis) -> list[list[Form]]:
    """By student and source its sizes, where the share of well-formed answers is not always the same."""
    draws = _form_draws(task)
    lines = [[_arm_form(task, arm, draws) for arm in arms] for arms in _lines(task).values()]
    return [line for line in lines if _spread([form.share.estimate for form in line]) >= FORM_SLACK]


def _arm_form(task: TaskAnalysis, arm: Arm, draws: ConditionBootstrap) -> Form:
    seeds = task.shared(arm)
    score = _ability(task, arm, seeds)
    known = _all_wrote(task, arm, seeds)
    controls = [each for each in task.plain(RANDOM) if arm.size != 0 and arm.source != RANDOM and each.beside(arm)]
    over = None
    if known and controls and (both := task.shared(arm, controls[0])):
        found, other = _found(task, arm, both), _found(task, controls[0], both)
        pair = task.draws.compare(found, other, _ability_name(task))
        over = pair.difference if _all_wrote(task, controls[0], both) else None
    name = f"{task.runs.name}, {arm.student}, {arm.labels}"
    share = _form(task, arm, seeds, draws).interval
    return Form(
        name, arm.source, task.labelled(arm), len(task.runs.truth), len(seeds), share,
        score.interval if known else None, over,
    )  # fmt: skip


def _all_wrote(task: TaskAnalysis, arm: Arm, seeds: list[int]) -> bool:
    """Whether every seed gave some well-formed answer: of none a score of entities would be perfect."""
    return all(any(answer is not None for answer in task.arms[arm][seed].answers) for seed in seeds)


def _lines(task: TaskAnalysis) -> dict[tuple[str, str], list[Arm]]:
    lines: dict[tuple[str, str], list[Arm]] = {}
    for arm in task.plain():
        lines.setdefault((arm.student, arm.labels), []).append(arm)
    return lines


def _spread(shares: list[float]) -> float:
    return max(shares) - min(shares)


def phases_of(task: TaskAnalysis) -> list[Phases]:
    """Sources with at least four sizes at which some answers are well formed, and not always the same share."""
    lines = _lines(task)
    found = []
    draws = _form_draws(task)
    for (student, labels), arms in lines.items():
        seeds = task.shared(*arms)
        if labels == RANDOM or not seeds or len(arms) < LEAST:
            continue
        form = [_form(task, arm, seeds, draws) for arm in arms]
        if _spread([each.estimate for each in form]) >= FORM_SLACK:
            phases = _phases(task, arms, form, seeds, lines.get((student, RANDOM), []))
            found += [] if phases is None else [phases]
    return found


def _phases(
    task: TaskAnalysis, arms: list[Arm], form: list[ScoreReplicates], seeds: list[int], controls: list[Arm]
) -> Phases | None:
    ability = [_ability(task, arm, seeds) for arm in arms]
    kept = [at for at, arm in enumerate(arms) if _all_wrote(task, arm, seeds)]
    if len(kept) < LEAST:
        return None
    arms, form, ability = [arms[at] for at in kept], [form[at] for at in kept], [ability[at] for at in kept]
    sizes = [task.labelled(arm) if arm.size is None else arm.size for arm in arms]
    shares, scores = (np.array([each.estimate for each in part]) for part in (form, ability))
    drawn, level, n = _filled(ability), task.bootstrap.level, len(task.runs.truth)
    control = _control(task, arms, ability, controls, seeds)
    gains = None
    if control is not None:
        # What a student could do before shows as soon as it has the form: with random labels, too.
        scores, drawn = scores - [each.estimate for each in control], drawn - _filled(control)
        gains = tuple(_interval(drawn[:, at], float(score), level, n) for at, score in enumerate(scores))
    test = phase_test(sizes, shares, scores, _filled(form), drawn, level=level, n=n)
    p_value = _against_control(task, arms, ability, controls, seeds)
    return Phases(task, tuple(arms), tuple(sizes), tuple(form), tuple(ability), gains, test, p_value, len(seeds))


def _interval(drawn: Floats, point: float, level: float, n: int) -> Interval:
    return percentile_interval(drawn, point, level, "bootstrap: rows and seeds", n)


def _control(
    task: TaskAnalysis, arms: list[Arm], ability: list[ScoreReplicates], controls: list[Arm], seeds: list[int]
) -> list[ScoreReplicates] | None:
    """The same seeds with random labels; None where a size has no such student. Without any row it is the same one."""
    found = []
    for arm, own in zip(arms, ability, strict=True):
        if arm.size == 0:
            found.append(own)
            continue
        beside = next((each for each in controls if each.beside(arm)), None)
        if beside is None or not set(seeds) <= set(task.shared(beside)) or not _all_wrote(task, beside, seeds):
            return None
        found.append(_ability(task, beside, seeds))
    return found


def sections_of(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """Form and task by size, and the two-phase test where a source has four sizes; none where form never varies."""
    analysis = analysed(runs)
    lines = [line for task in analysis.tasks for line in forms_of(task)]
    if all(line[0].source == RANDOM for line in lines):
        return ()
    found = [phases for task in analysis.tasks for phases in phases_of(task)]
    figures: list[Exhibit] = [_figure(at, phases) for at, phases in enumerate(found, 1)]
    if found:
        figures.append(_tested(found))
    figures.append(_form_table(lines))
    answer = _answer(found, analysis) if found else _untested(lines)
    return (Section("phases", "Is the form learnt before the task?", answer, tuple(figures)),)


def _tested(found: list[Phases]) -> Table:
    heads = (
        "task, student, labels", "test rows", "seeds", "form learnt by (rows)", "task begins at (rows)",
        "lag, log(1 + rows)", "p, gain over random labels",
    )  # fmt: skip
    note = (
        "Bends of piecewise lines over log(1 + rows), by least squares, with intervals over test rows and seeds. The "
        "lag is above 0 where the form is learnt first. The control has the same texts with labels dealt out at "
        "random. Where it has every size, the task begins where the score leaves the control's, elsewhere where it "
        "rises. The p-value exchanges the two within each seed, and can not be below 2^-seeds."
    )
    return Table("phases_table", "When form and task are learnt", heads, tuple(_row(each) for each in found), note)


def _form_table(lines: list[list[Form]]) -> Table:
    heads = (
        "task, student, labels", "rows", "seeds", "share of well-formed answers", "score of these",
        "score of these, minus random labels",
    )  # fmt: skip
    note = (
        "Well formed is an answer that the schema knows. The score of these is the accuracy where labels are right or "
        "wrong; unknown where a seed gave no such answer. Paired over test rows and seeds."
    )
    rows = [
        (form.name, form.rows, form.seeds, form.share, form.score, form.over_random) for line in lines for form in line
    ]
    return Table("form_table", "Form against task", heads, tuple(rows), note)


def _untested(lines: list[list[Form]]) -> str:
    """What is known of form and task where no source has enough sizes for the test."""
    known = [(sum(form.score is not None for form in line), line) for line in lines if line[0].source != RANDOM]
    sizes, line = max(known, key=lambda each: each[0])
    first, last = line[0], line[-1]
    said = (
        f"Not tested: two phases take {LEAST} sizes at which every seed gives some well-formed answers, and no curve "
        f"has more than {sizes}. {last.name} ({last.test_rows:,} test rows, {counted(last.seeds, 'seed')}): the share "
        f"of well-formed answers goes from {first.share} at {first.rows:,} rows to {last.share} at {last.rows:,}"
    )
    said += "." if last.score is None else f". The score of these is {last.score} there"
    if last.over_random is not None:
        said += f", less that of a student of random labels {last.over_random}"
    return f"{said.rstrip('.')}."


def _form_draws(task: TaskAnalysis) -> ConditionBootstrap:
    """Draws of the same rows as those of the scores, for the share of answers that the schema knows."""
    ones = np.ones((len(task.runs.truth), 1))

    def share(sums: Floats, _: Floats) -> Floats:
        shares: Floats = sums[..., 0] / len(ones)
        return shares

    return ConditionBootstrap(RowFeatures(ones, 0 * ones, {"form": share}), task.bootstrap)


def _form(task: TaskAnalysis, arm: Arm, seeds: list[int], draws: ConditionBootstrap) -> ScoreReplicates:
    given = [[answer is not None for answer in task.arms[arm][seed].answers] for seed in seeds]
    return draws.draw(np.array(given, dtype=np.float64)[:, :, None], "form")


def _ability(task: TaskAnalysis, arm: Arm, seeds: list[int]) -> ScoreReplicates:
    """The score of the well-formed answers: the accuracy where labels are right or wrong, else the main score."""
    return task.draws.draw(_found(task, arm, seeds), _ability_name(task))


def _found(task: TaskAnalysis, arm: Arm, seeds: list[int]) -> Floats:
    return np.stack([found_of(task.runs, task.arms[arm][seed].answers, answered_only=True) for seed in seeds])


def _ability_name(task: TaskAnalysis) -> str:
    return "accuracy" if task.runs.kind in CLASSES else task.main


def _filled(scores: list[ScoreReplicates]) -> Floats:
    """Resamples, shape (resamples, sizes); one without any well-formed answer is filled with the estimate."""
    drawn = np.column_stack([each.values for each in scores])
    return np.where(np.isnan(drawn), np.array([each.estimate for each in scores]), drawn)


def _against_control(
    task: TaskAnalysis, arms: list[Arm], ability: list[ScoreReplicates], controls: list[Arm], seeds: list[int]
) -> float | None:
    """The gain from the first to the last size, by seed, against that of random labels."""
    ends = _control(task, [arms[0], arms[-1]], [ability[0], ability[-1]], controls, seeds)
    if ends is None:
        return None
    return gain_p_value(ability[-1].seeds - ability[0].seeds, ends[1].seeds - ends[0].seeds)


def _figure(at: int, phases: Phases) -> Curves:
    score = "accuracy" if phases.task.runs.kind in CLASSES else phases.task.main_name
    lines = {
        "share of well-formed answers": [each.interval for each in phases.form],
        f"{score} of these": [each.interval for each in phases.ability],
    }
    if phases.gains is not None:
        lines[f"{score} above random labels"] = list(phases.gains)
    curves = tuple(
        Curve(name, tuple(Point(float(n), value) for n, value in zip(phases.sizes, values, strict=True)))
        for name, values in lines.items()
    )
    marks = (("form learnt", phases.test.form.estimate), ("task begins", phases.test.task.estimate))
    return Curves(f"phases_{at}", phases.name, curves, "training rows", "share", marks=marks)


def _row(phases: Phases) -> tuple[Value, ...]:
    test = phases.test
    p_value = None if phases.p_value is None else p_words(phases.p_value)
    return (phases.name, len(phases.task.runs.truth), phases.seeds, test.form, test.task, test.lag, p_value)


def _answer(found: list[Phases], analysis: Analysis) -> str:
    both = [each for each in found if _supported(each, analysis.runs.level)]
    known = [each for each in found if each.p_value is not None]
    first = found[0]
    said = (
        f"In {len(both)} of {len(found)} curves the form is learnt before the task and the task is learnt at all, more "
        f"than with random labels. {first.name} ({len(first.task.runs.truth):,} test rows, "
        f"{counted(first.seeds, 'seed')}): the lag is {first.test.lag}"
    )
    said += "." if first.p_value is None else f", p of the gain over random labels {p_words(first.p_value)}."
    least = 2.0 ** -max(each.seeds for each in found)
    if known and least > 1 - analysis.runs.level:
        said += f" With so few seeds that p can not be below {least:g}: the second phase can not be shown here."
    if not both:
        said += " Where the task is not shown to be learnt, a lag is no evidence of two phases."
    return said


def _supported(phases: Phases, level: float) -> bool:
    return phases.test.ordered and phases.p_value is not None and phases.p_value < 1 - level
