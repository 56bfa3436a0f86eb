"""Sentences of a recommendation: evidence, comparisons and caveats of the case that decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.comparison.paired import NonInferiority, non_inferiority, rows_to_detect
from hf_synthlabels.studies.advice.cases import Case
from hf_synthlabels.studies.analysis.annotators import annotator_warnings
from hf_synthlabels.studies.analysis.base import HUMAN, Analysis, Condition
from hf_synthlabels.studies.analysis.human_or_llm import population
from hf_synthlabels.studies.wording import VERDICTS, counted

FAR = 50
"""Times the test rows that there are: more than anyone would label to settle a question."""

FIRST_LOOK = (
    "These labels come from a sentence encoder that compares texts with label names; no LLM was asked, and nothing "
    "here says how good an LLM would be."
)

MEANINGS: Mapping[NonInferiority, str] = {
    "superior": "which is above zero",
    "non-inferior": "so any loss is within the margin of {margin:g}",
    "inferior": "so the loss exceeds the margin of {margin:g}",
    "inconclusive": "which does not settle whether a loss is within the margin of {margin:g}",
}


WORSE = "so human labels are better, but whether the loss is within the margin of {margin:g} is open"

SIDES = {
    "is better than": "better",
    "is worse than": "worse",
    "does not differ significantly from": "no significant difference",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A difference that the recommendation looks at, and what it shows."""

    name: str
    difference: Interval
    verdict: str


class MoreRows(NamedTuple):
    """Test rows to label by hand in addition, and the sentence about them."""

    rows: int | None
    text: str


def evidence(case: Case, margin: float, n_cases: int) -> str:
    """The deciding difference in one sentence, with the rows, the scores and the margin."""
    finding = non_inferiority(case.decides, margin)
    meaning = (WORSE if finding == "inconclusive" and case.decides.high < 0 else MEANINGS[finding]).format(
        margin=margin
    )
    pair, task, student = case.pairs[0], case.pairs[0].task, case.pairs[0].llm.student
    labels = "LLM labels" if n_cases == 1 else f"LLM labels of {pair.llm.labels!r}"
    if len(case.pairs) > 1:
        compared = f"the student {student!r} trained on {labels} minus that trained on human labels"
        if case.by_annotator:
            compared = f"the LLM itself minus the student {student!r} trained on human labels"
        return (
            f"Over {len(case.pairs)} tasks with {case.test_rows:,} test rows and {counted(case.seeds, 'seed')} or "
            f"more, the score of {compared} is {case.decides} for {population(len(case.pairs))}, {meaning}."
        )
    where = f"On {case.test_rows:,} test rows ({counted(case.seeds, 'seed')})"
    human = f"{task.n_labeled(pair.human):,} human labels"
    if case.by_annotator and case.own is not None:
        return (
            f"{where}, the {labels} themselves have a {task.main_score_name} of {case.own.a.estimate:.3f} and the "
            f"student {student!r} trained on {human} has {case.own.b.estimate:.3f}: the difference is {case.decides}, "
            f"{meaning}."
        )
    scores = pair.score()
    return (
        f"{where}, the student {student!r} has a {task.main_score_name} of {scores.a.estimate:.3f} trained on "
        f"{task.n_labeled(pair.llm):,} {labels} and {scores.b.estimate:.3f} trained on {human}: the difference is "
        f"{case.decides}, {meaning}."
    )


def comparisons(case: Case, margin: float) -> tuple[Comparison, ...]:
    """All differences that the recommendation looks at, the deciding one first."""
    shown = [Comparison("LLM-trained minus human-trained", case.student, _verdict(case.student, margin))]
    if case.annotator is not None:
        own = Comparison("LLM itself minus human-trained", case.annotator, _verdict(case.annotator, margin))
        shown.insert(0 if case.by_annotator else 1, own)
    if case.beside_annotator is not None:
        beside = case.beside_annotator
        shown.append(Comparison("LLM-trained minus LLM itself", beside, _verdict(beside, margin)))
    if few := _smallest_human(case):
        gap = case.pairs[0].task.compare(case.pairs[0].llm, few).difference
        shown.append(Comparison(f"LLM-trained minus trained on {few.size:,} human labels", gap, SIDES[_side(gap)]))
    return tuple(shown)


def caveats(case: Case, analysis: Analysis, n_cases: int, more: str) -> tuple[str, ...]:
    """What limits the recommendation, the main caveat first."""
    pair, lines = case.pairs[0], [line for line in annotator_warnings(analysis.runs) if line.startswith("Warning")]
    lines += [more] if more else []
    if case.seeds == 1:
        lines.append("There is one seed, so the intervals do not include the variation between trainings.")
    relies_on_llm = case.verdict in ("use the student", "use the LLM labels")
    if (few := _smallest_human(case)) is not None:
        gap = pair.task.compare(pair.llm, few).difference
        if gap.low <= 0:
            lines.append(
                f"The student trained on LLM labels {_side(gap)} one trained on only {few.size:,} human labels "
                f"(difference {gap})."
            )
    if n_cases > 1:
        lines.append(
            f"It is the best of {n_cases} sources of LLM labels on these test rows, so its score is optimistic."
        )
    if case.annotator is None and any(pair.llm.labels in each.task.runs.llm_labels for each in case.pairs):
        lines.append("The LLM did not label all test rows, so how it compares with its student is unknown.")
    elif relies_on_llm and case.verdict != "use the student" and case.beside_annotator is not None:
        lines.append(
            "Whether the student can replace the LLM on new texts is open: LLM-trained minus the LLM itself is "
            f"{case.beside_annotator}."
        )
    if case.seeds > 1 and (same := sum(each.seeds_agree for each in case.pairs)):
        where = "All" if same == len(case.pairs) else f"On {same} tasks all"
        lines.append(f"{where} seeds gave the same students, so there the intervals are of the test rows alone.")
    if len(case.pairs) == 1:
        lines.append("The result holds for this student and for texts like these test rows; nothing else was tested.")
    else:
        lines.append("The result holds for this student; the tasks differ, and each has its own interval below.")
    return tuple(lines)


def more_rows(case: Case, analysis: Analysis) -> MoreRows:
    """Test rows that would settle an open question; none if the question is settled or rows would not settle it."""
    if case.verdict != "label more by hand":
        return MoreRows(None, "")
    pair = case.pairs[0]
    if len(case.pairs) > 1:
        return MoreRows(None, f"{len(case.pairs)} tasks do not settle it: more tasks would, or more test rows in each.")
    scores = case.own if case.by_annotator and case.own is not None else pair.score()
    which = "the LLM's own labels" if scores is case.own else "LLM-trained"
    n = scores.a.n
    needed = rows_to_detect(scores, abs(scores.difference.estimate + analysis.runs.margin))
    if needed is None:
        return MoreRows(None, f"With {counted(pair.seeds, 'seed')} more test rows do not settle it: add `seeds`.")
    if needed > FAR * n:
        return MoreRows(
            None,
            f"The difference {which} minus human-trained is so close to the margin that even {FAR} times the {n:,} "
            "test rows would not settle it.",
        )
    more = max(1, needed - n)
    would = f"{n:,} test rows do not settle it; about {n + more:,} would in 8 of 10 studies, if the difference stays"
    left = analysis.runs.unlabelled_rows(pair.task.runs.name)
    if left is not None and more > left:
        limit = f"the table has only {left:,} rows without a human label" if left else "every row has a human label"
        return MoreRows(None, f"{would}, but {limit}.")
    return MoreRows(more, f"{would}.")


def _smallest_human(case: Case) -> Condition | None:
    """The same student trained on the fewest human labels, if those are fewer; on a single task."""
    if len(case.pairs) > 1:
        return None
    pair, task = case.pairs[0], case.pairs[0].task
    fewer = (
        condition
        for condition in task.single_source(HUMAN)
        if condition.student == pair.human.student
        and condition.size
        and condition.rank < pair.human.rank
        and task.shared_seeds(pair.llm, condition)
    )
    return next(fewer, None)


def _verdict(difference: Interval, margin: float) -> str:
    return VERDICTS[non_inferiority(difference, margin)]


def _side(gap: Interval) -> str:
    if gap.low > 0:
        return "is better than"
    return "is worse than" if gap.high < 0 else "does not differ significantly from"
