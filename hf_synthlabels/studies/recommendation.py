"""Recommendation: what to do with LLM labels, from the numbers of a study and never beyond them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hf_synthlabels.statistics import Interval, PairedScore, non_inferiority, pool_tasks, rows_to_resolve
from hf_synthlabels.studies.questions.analysis import HUMAN, Analysis, analysed
from hf_synthlabels.studies.questions.pairs import Pair, student_pairs
from hf_synthlabels.studies.questions.pooled import population
from hf_synthlabels.studies.questions.scores import NAMES
from hf_synthlabels.studies.questions.words import VERDICTS, counted, ratio_words
from hf_synthlabels.studies.runs import StudyRuns

__all__ = ["Recommendation", "Verdict", "decide", "recommend"]

Verdict = Literal[
    "use the student",
    "use the LLM labels",
    "use the teacher itself",
    "label more by hand",
    "label all by hand",
]

SCEPTICISM: Mapping[Verdict, int] = {
    "use the student": 0,
    "use the LLM labels": 0,
    "use the teacher itself": 1,
    "label more by hand": 2,
    "label all by hand": 3,
}
"""How little a verdict relies on the LLM; the first two differ in what is done with the texts to come."""

FAR = 100
"""Times the test rows that there are: more than anyone would label to settle a question."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to do, why, and the interval that decides."""

    verdict: Verdict
    reasons: tuple[str, ...]
    decides: Interval
    """The difference whose interval led to the verdict; undefined where there was none to look at."""
    decided_by: str
    """What that difference is."""
    more: int | None
    """Test rows to label by hand in addition, where that would settle it; None where it would not, or need not."""

    @property
    def text(self) -> str:
        """One paragraph."""
        head: str = self.verdict
        if self.verdict == "label more by hand" and self.more is not None:
            head = f"label about {self.more:,} more test rows by hand"
        return f"{head[0].upper()}{head[1:]}. {' '.join(self.reasons)}"


def decide(
    student: Interval, teacher: Interval | None, beside_teacher: Interval | None, margin: float
) -> tuple[Verdict, Literal["student", "teacher"]]:
    """The verdict, and whose difference decides it.

    The LLM-trained student is looked at first. If it is not inferior to the human-trained one, LLM labels do for
    training; if it is not inferior to the teacher either, the student can label what is to come. Else the teacher's
    own labels may be as good as the human-trained student's. Only where both are shown to be worse by more than the
    margin are people to label all; what is not resolved is not decided.

    Args:
        student: LLM-trained minus human-trained.
        teacher: the teacher itself minus human-trained; None where it did not label the test rows.
        beside_teacher: LLM-trained minus the teacher itself.
        margin: the loss that counts as none.
    """
    good = ("better", "not inferior")
    found = non_inferiority(student, margin)
    if found in good:
        replaces = beside_teacher is not None and non_inferiority(beside_teacher, margin) in good
        return ("use the student" if replaces else "use the LLM labels"), "student"
    own = None if teacher is None else non_inferiority(teacher, margin)
    if own in good:
        return "use the teacher itself", "teacher"
    if found == "inferior" and own in ("inferior", None):
        return "label all by hand", "student"
    return "label more by hand", "teacher" if found == "inferior" else "student"


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """One student and one source of LLM labels, on one task or several."""

    name: str
    pairs: Sequence[Pair]
    student: Interval
    teacher: Interval | None
    beside_teacher: Interval | None
    verdict: Verdict
    by: Literal["student", "teacher"]


def recommend(runs: StudyRuns | Analysis) -> Recommendation:
    """What the numbers of a study advise.

    Among several students it is the one that human labels train best, which no LLM label has a part in; among several
    sources of LLM labels the one with the least sceptical verdict. Better LLM labels never make it more sceptical.
    """
    analysis = analysed(runs)
    cases = _cases(analysis)
    if not cases:
        nothing = Interval(math.nan, math.nan, math.nan, analysis.runs.level, "none", 0)
        why = "No student of human labels stands beside one of LLM labels, so nothing can be said of the LLM labels."
        return Recommendation("label more by hand", (why,), nothing, "nothing", None)
    case = min(cases, key=lambda each: (SCEPTICISM[each.verdict], -each.student.low))
    by_teacher = case.by == "teacher" and case.teacher is not None
    decides = case.teacher if by_teacher and case.teacher is not None else case.student
    more, how = _more(case, analysis, by_teacher=by_teacher)
    whose = "the teacher itself" if by_teacher else "LLM-trained"
    reasons = (*_reasons(case, analysis), *how, *_chosen(cases))
    return Recommendation(case.verdict, reasons, decides, f"{whose} minus human-trained", more)


def _cases(analysis: Analysis) -> list[_Case]:
    """Those of the student that human labels train best, on the most tasks."""
    groups = list(student_pairs(analysis))
    if not groups:
        return []
    most = max(len(pairs) for _, _, pairs in groups)
    groups = [group for group in groups if len(group[2]) == most]

    def by_people(pairs: Sequence[Pair]) -> float:
        return sum(pair.task.score(pair.human).estimate for pair in pairs) / len(pairs)

    best = max(groups, key=lambda group: by_people(group[2]))[0]
    return [_case(student, labels, pairs, analysis) for student, labels, pairs in groups if student == best]


def _case(student: str, labels: str, pairs: Sequence[Pair], analysis: Analysis) -> _Case:
    trained = [pair.score() for pair in pairs]
    own: list[PairedScore] = []
    beside: list[PairedScore] = []
    for pair in pairs:
        itself = pair.task.teacher(pair.llm.source, pair.llm.prompt)
        if itself is not None:
            seeds = pair.task.shared(pair.llm, pair.human)
            own.append(pair.task.draws.compare(itself, pair.task.found(pair.human, seeds), pair.task.main))
            beside.append(pair.task.draws.compare(pair.task.found(pair.llm, seeds), itself, pair.task.main))
    whole = len(own) == len(pairs)
    difference = _together(trained, analysis)
    teacher = _together(own, analysis) if whole else None
    against = _together(beside, analysis) if whole else None
    verdict, by = decide(difference, teacher, against, analysis.runs.margin)
    return _Case(f"{student}, {labels}", pairs, difference, teacher, against, verdict, by)


def _together(found: Sequence[PairedScore], analysis: Analysis) -> Interval:
    """The difference on one task, its mean over tasks like these, or over these alone where they are few."""
    if len(found) == 1:
        return found[0].difference
    points, draws = [each.difference.estimate for each in found], [each.values for each in found]
    return pool_tasks(points, draws, analysis.drawing).mean


def _reasons(case: _Case, analysis: Analysis) -> list[str]:
    margin, pair = analysis.runs.margin, case.pairs[0]
    rows = sum(each.score().a.n for each in case.pairs)
    seeds = min(each.seeds for each in case.pairs)
    trained = f", so it is {VERDICTS[non_inferiority(case.student, margin)]}"
    if len(case.pairs) == 1:
        task = pair.task
        where = f"On {rows:,} test rows of {task.runs.name}, with {counted(seeds, 'seed')}"
        what = f"{NAMES[task.main]} of {pair.llm.student} trained on {task.labelled(pair.llm):,} labels of "
        what += f"{pair.llm.labels} minus that trained on {task.labelled(pair.human):,} human labels"
        said = [f"{where}, {what} is {case.student}; the margin is {margin:g}{trained}.", _ratio(pair)]
    else:
        where = f"Over {len(case.pairs)} tasks with {rows:,} test rows and {counted(seeds, 'seed')} or more"
        said = [
            f"{where}, the score of {case.name} minus the same student trained on human labels is {case.student} for "
            f"{population(len(case.pairs))}; the margin is {margin:g}{trained}."
        ]
    if case.teacher is not None:
        own = VERDICTS[non_inferiority(case.teacher, margin)]
        said.append(f"The teacher itself minus the human-trained student is {case.teacher}: {own}.")
    if case.beside_teacher is not None and case.verdict in ("use the student", "use the LLM labels"):
        so = (
            "so it can label in its place"
            if case.verdict == "use the student"
            else "so whether it can replace it is open"
        )
        said.append(f"The LLM-trained student minus the teacher is {case.beside_teacher}, {so}.")
    if few := _few(case):
        said.append(few)
    if seeds == 1:
        said.append("There is one seed, so the chance of training is not in these intervals.")
    elif same := sum(each.alike for each in case.pairs):
        where = "All" if same == len(case.pairs) else f"On {same} tasks all"
        said.append(f"{where} seeds gave the same students, so there the intervals are of the test rows alone.")
    return said


def _ratio(pair: Pair) -> str:
    """The ratio, and whether these rows tell it from 100 %."""
    found = pair.score()
    rows = f"{found.a.n:,} rows"
    if found.difference.low > 0 or found.difference.high < 0:
        return f"The ratio, {ratio_words(found.ratio)}, is told apart from 100 % by these {rows}."
    needed = rows_to_resolve(found, found.difference.estimate)
    could = "no number of rows could with these seeds" if needed is None else f"about {needed:,} could"
    if found.difference.estimate == 0:
        could = "there is no difference to find"
    return f"These {rows} can not tell the ratio, {ratio_words(found.ratio)}, from 100 %: {could}."


def _few(case: _Case) -> str | None:
    """What the fewest human labels do alone, on a single task."""
    if len(case.pairs) > 1:
        return None
    pair, task = case.pairs[0], case.pairs[0].task
    fewer = [
        arm
        for arm in task.plain(HUMAN)
        if arm.student == pair.human.student and arm.size and arm.rank < pair.human.rank and task.shared(pair.llm, arm)
    ]
    if not fewer:
        return None
    gap = task.compare(pair.llm, fewer[0]).difference
    side = "better than" if gap.low > 0 else "worse than" if gap.high < 0 else "not told apart from"
    return f"It is {side} a student of {fewer[0].size:,} human labels alone (difference {gap})."


def _more(case: _Case, analysis: Analysis, *, by_teacher: bool) -> tuple[int | None, list[str]]:
    """How many test rows more would settle an open question, and what is said of them."""
    if case.verdict != "label more by hand":
        return None, []
    margin, pair = analysis.runs.margin, case.pairs[0]
    if len(case.pairs) > 1:
        return None, [f"{len(case.pairs)} tasks do not settle it: more tasks would, or more test rows in each."]
    found = pair.score()
    itself = pair.task.teacher(pair.llm.source, pair.llm.prompt) if by_teacher else None
    if itself is not None:
        seeds = pair.task.shared(pair.llm, pair.human)
        found = pair.task.draws.compare(itself, pair.task.found(pair.human, seeds), pair.task.main)
    n = found.a.n
    needed = rows_to_resolve(found, abs(found.difference.estimate + margin))
    if needed is None:
        return None, [f"No number of test rows settles it with {counted(pair.seeds, 'seed')}: train with more seeds."]
    if needed > FAR * n:
        return None, [
            f"The difference lies so near the margin that even {FAR} times the {n:,} test rows would not settle it."
        ]
    more = max(1, needed - n)
    would = f"about {n + more:,} would in 8 of 10 studies, if the difference stays what it is"
    return more, [f"{n:,} test rows do not settle it; {would}."]


def _chosen(cases: Sequence[_Case]) -> list[str]:
    if len(cases) == 1:
        return []
    return [f"It is the best of {len(cases)} sources of LLM labels, looked up on the same test rows, which flatters."]
