"""Two phases: is the form of answers learnt before the task, and is more learnt than by labels without information?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.statistics import PhaseTest, ScoreDraws, gain_p_value, phase_test
from hf_synthlabels.statistics.arm_draws import ArmDraws, RowFeatures
from hf_synthlabels.statistics.exhibits import Curve, Curves, Exhibit, Point, Section, Table, Value
from hf_synthlabels.studies.questions.analysis import RANDOM, Analysis, Arm, TaskAnalysis, analysed
from hf_synthlabels.studies.questions.scores import CLASSES, NAMES, found_of
from hf_synthlabels.studies.questions.words import counted, p_words
from hf_synthlabels.studies.runs import StudyRuns

__all__ = ["Phases", "phases_of", "sections_of"]

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
    form: tuple[ScoreDraws, ...]
    ability: tuple[ScoreDraws, ...]
    """Scores of the well-formed answers alone."""
    test: PhaseTest
    p_value: float | None
    """One-sided, that the score gains no more than with random labels; None without the control."""
    seeds: int

    @property
    def name(self) -> str:
        """The task, the student and the labels."""
        return f"{self.task.runs.name}, {self.arms[0].student}, {self.arms[0].labels}"


def phases_of(task: TaskAnalysis) -> list[Phases]:
    """Sources with at least four sizes at which some answers are well formed, and not always the same share."""
    lines: dict[tuple[str, str], list[Arm]] = {}
    for arm in task.plain():
        lines.setdefault((arm.student, arm.labels), []).append(arm)
    found = []
    draws = _form_draws(task)
    for (student, labels), arms in lines.items():
        seeds = task.shared(*arms)
        if labels == RANDOM or not seeds or len(arms) < LEAST:
            continue
        form = [_form(task, arm, seeds, draws) for arm in arms]
        shares = [each.estimate for each in form]
        if max(shares) - min(shares) >= FORM_SLACK:
            phases = _phases(task, arms, form, seeds, lines.get((student, RANDOM), []))
            found += [] if phases is None else [phases]
    return found


def _phases(
    task: TaskAnalysis, arms: list[Arm], form: list[ScoreDraws], seeds: list[int], controls: list[Arm]
) -> Phases | None:
    ability = [_ability(task, arm, seeds) for arm in arms]
    kept = [at for at, each in enumerate(ability) if not np.isnan(each.seeds).any()]
    if len(kept) < LEAST:
        return None
    arms, form, ability = [arms[at] for at in kept], [form[at] for at in kept], [ability[at] for at in kept]
    sizes = [task.labelled(arm) if arm.size is None else arm.size for arm in arms]
    shares, scores = (np.array([each.estimate for each in part]) for part in (form, ability))
    drawn = _filled(form), _filled(ability)
    test = phase_test(sizes, shares, scores, *drawn, level=task.drawing.level, n=len(task.runs.truth))
    p_value = _against_control(task, arms, ability, controls, seeds)
    return Phases(task, tuple(arms), tuple(sizes), tuple(form), tuple(ability), test, p_value, len(seeds))


def sections_of(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """The two-phase test; none where no source has four sizes, or every answer was well formed from the start."""
    analysis = analysed(runs)
    found = [phases for task in analysis.tasks for phases in phases_of(task)]
    if not found:
        return ()
    figures: list[Exhibit] = [_figure(at, phases) for at, phases in enumerate(found, 1)]
    heads = (
        "task, student, labels", "test rows", "seeds", "form learnt by (rows)", "task begins at (rows)",
        "lag, log(1 + rows)", "p, gain over random labels",
    )  # fmt: skip
    note = (
        "Bends of piecewise lines over log(1 + rows), by least squares, with intervals over test rows and seeds. The "
        "lag is above 0 where the form is learnt first. The control has the same texts with labels dealt out at "
        "random: the p-value exchanges the two within each seed, and can not be below 2^-seeds."
    )
    rows = tuple(_row(each) for each in found)
    figures.append(Table("phases_table", "When form and task are learnt", heads, rows, note))
    return (Section("phases", "Is the form learnt before the task?", _answer(found, analysis), tuple(figures)),)


def _form_draws(task: TaskAnalysis) -> ArmDraws:
    """Draws of the same rows as those of the scores, for the share of answers that the schema knows."""
    ones = np.ones((len(task.runs.truth), 1))

    def share(sums: Floats, _: Floats) -> Floats:
        shares: Floats = sums[..., 0] / len(ones)
        return shares

    return ArmDraws(RowFeatures(ones, 0 * ones, task.rows.strata, {"form": share}), task.drawing)


def _form(task: TaskAnalysis, arm: Arm, seeds: list[int], draws: ArmDraws) -> ScoreDraws:
    given = [[answer is not None for answer in task.arms[arm][seed].answers] for seed in seeds]
    return draws.draw(np.array(given, dtype=np.float64)[:, :, None], "form")


def _ability(task: TaskAnalysis, arm: Arm, seeds: list[int]) -> ScoreDraws:
    """The score of the well-formed answers: the accuracy where labels are right or wrong, else the main score."""
    found = np.stack([found_of(task.runs, task.arms[arm][seed].answers, answered_only=True) for seed in seeds])
    return task.draws.draw(found, "accuracy" if task.runs.kind in CLASSES else task.main)


def _filled(scores: list[ScoreDraws]) -> Floats:
    """Resamples, shape (resamples, sizes); one without any well-formed answer is filled with the estimate."""
    drawn = np.column_stack([each.values for each in scores])
    return np.where(np.isnan(drawn), np.array([each.estimate for each in scores]), drawn)


def _against_control(
    task: TaskAnalysis, arms: list[Arm], ability: list[ScoreDraws], controls: list[Arm], seeds: list[int]
) -> float | None:
    """The gain from the first to the last size, by seed, against that of random labels."""
    ends = [[control for control in controls if control.beside(arm)] for arm in (arms[0], arms[-1])]
    if not ends[1] or not set(seeds) <= set(task.shared(ends[1][0])):
        return None
    last = _ability(task, ends[1][0], seeds).seeds
    # Size 0 has no labels, so that control and arm are the same student there.
    shared = ends[0] and set(seeds) <= set(task.shared(ends[0][0]))
    first = _ability(task, ends[0][0], seeds).seeds if shared else ability[0].seeds
    if np.isnan(last).any() or np.isnan(first).any():
        return None
    return gain_p_value(ability[-1].seeds - ability[0].seeds, last - first)


def _figure(at: int, phases: Phases) -> Curves:
    score = "accuracy" if phases.task.runs.kind in CLASSES else NAMES[phases.task.main]
    curves = tuple(
        Curve(name, tuple(Point(float(n), each.interval) for n, each in zip(phases.sizes, scores, strict=True)))
        for name, scores in (("share of well-formed answers", phases.form), (f"{score} of these", phases.ability))
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
    return said


def _supported(phases: Phases, level: float) -> bool:
    return phases.test.ordered and phases.p_value is not None and phases.p_value < 1 - level
