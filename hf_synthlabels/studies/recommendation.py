"""Recommendation: what to do with LLM labels, from the numbers of a study and never beyond them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.comparison.condition_bootstrap import PairedScore
from hf_synthlabels.statistics.comparison.paired import NonInferiority, non_inferiority, rows_to_detect
from hf_synthlabels.statistics.comparison.pooling import pool_tasks
from hf_synthlabels.studies.analysis.base import HUMAN, Analysis, Pair, analyze_runs, student_pairs
from hf_synthlabels.studies.analysis.human_or_llm import population
from hf_synthlabels.studies.runs import StudyRuns, TaskRuns
from hf_synthlabels.studies.wording import VERDICTS, counted, joined, label_maker, reworded

Verdict = Literal[
    "use the student",
    "use the LLM labels",
    "use the annotator itself",
    "label more by hand",
    "label all by hand",
    "no verdict",
]

SCEPTICISM: Mapping[Verdict, int] = {
    "use the student": 0,
    "use the LLM labels": 0,
    "use the annotator itself": 1,
    "label more by hand": 2,
    "label all by hand": 3,
    "no verdict": 4,
}
"""How little a verdict relies on the LLM; the first two differ in what is done with the texts to come."""

FAR = 100
"""Times the test rows that there are: more than anyone would label to settle a question."""

MIN_COVERAGE = 0.9
"""Share of the rows an annotator was asked about that must have a label; fewer are a selection of the easy ones."""

FIRST_LOOK = (
    "These labels come from a sentence encoder that compares texts with label names; no LLM was asked, and nothing "
    "here says how good an LLM would be."
)

MEANINGS: Mapping[NonInferiority, str] = {
    "superior": "the LLM labels train the better student",
    "non-inferior": "any loss by LLM labels is within the margin",
    "inferior": "LLM labels train a student that is worse by more than the margin",
    "inconclusive": "these rows and seeds do not settle whether the loss by LLM labels is within the margin",
}


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
    maker: str = "LLM"
    """What made the labels that are not human ones: `LLM`, `encoder` or `machine`."""
    student: str | None = None
    """The student that the verdict is about."""

    @property
    def text(self) -> str:
        """One paragraph."""
        head: str = self.verdict
        if self.maker == "encoder" and self.verdict == "label all by hand":
            head = "the encoder's labels are not good enough"
        elif self.verdict in ("use the LLM labels", "use the annotator itself"):
            head = {"use the LLM labels": f"use the {self.maker} labels"}.get(head, f"use the {self.maker} itself")
        if self.verdict == "label more by hand" and self.more is not None:
            head = f"label about {self.more:,} more test rows by hand"
        first = f"{FIRST_LOOK} " if self.maker == "encoder" else ""
        return f"{first}{head[0].upper()}{head[1:]}. {' '.join(self.reasons)}"


def decide(
    student: Interval, annotator: Interval | None, beside_annotator: Interval | None, margin: float
) -> tuple[Verdict, Literal["student", "annotator"]]:
    """The verdict, and whose difference decides it.

    The LLM-trained student is looked at first. If it is not inferior to the human-trained one, LLM labels do for
    training; if it is not inferior to the annotator either, the student can label what is to come. Else the annotator's
    own labels may be as good as the human-trained student's. Only where both are shown to be worse by more than the
    margin are people to label all; what is not resolved is not decided.

    Args:
        student: LLM-trained minus human-trained.
        annotator: the annotator itself minus human-trained; None where it did not label the test rows.
        beside_annotator: LLM-trained minus the annotator itself.
        margin: the loss that counts as none.
    """
    good = ("superior", "non-inferior")
    found = non_inferiority(student, margin)
    if found in good:
        replaces = beside_annotator is not None and non_inferiority(beside_annotator, margin) in good
        return ("use the student" if replaces else "use the LLM labels"), "student"
    own = None if annotator is None else non_inferiority(annotator, margin)
    if own in good:
        return "use the annotator itself", "annotator"
    if found == "inferior" and own in ("inferior", None):
        return "label all by hand", "student"
    return "label more by hand", "annotator" if found == "inferior" else "student"


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """One student and one source of LLM labels, on one task or several."""

    name: str
    pairs: Sequence[Pair]
    student: Interval
    annotator: Interval | None
    beside_annotator: Interval | None
    verdict: Verdict
    by: Literal["student", "annotator"]

    @property
    def low(self) -> str:
        """Why the coverage of the labels is too low to decide anything; empty where it is not."""
        return low_coverage(self.pairs[0].llm.labels, [pair.task.runs for pair in self.pairs])


def recommend(runs: StudyRuns | Analysis) -> Recommendation:
    """What the numbers of a study advise.

    Among several students it is the one that human labels train best, which no LLM label has a part in; among several
    sources of LLM labels the one with the least sceptical verdict. Better LLM labels never make it more sceptical.
    There is no verdict while cells are missing, or where an annotator labeled less than `MIN_COVERAGE` of its rows.
    """
    analysis = analyze_runs(runs)
    maker = label_maker(analysis.runs)
    if reasons := _unfinished(analysis.runs):
        return _no_verdict(reasons, analysis, maker)
    cases = _cases(analysis)
    covered = [case for case in cases if not case.low]
    if not covered:
        reasons = tuple(case.low for case in cases) or _no_pair(analysis.runs)
        return _no_verdict(reasons, analysis, maker)
    case = min(covered, key=lambda each: (SCEPTICISM[each.verdict], -each.student.low))
    by_annotator = case.by == "annotator" and case.annotator is not None
    decides = case.annotator if by_annotator and case.annotator is not None else case.student
    more, how = _more(case, analysis, by_annotator=by_annotator)
    whose = "the LLM itself" if by_annotator else "LLM-trained"
    reasons = (*_reasons(case, analysis), *how, *_chosen(covered))
    found = Recommendation(
        case.verdict, reasons, decides, f"{whose} minus human-trained", more, maker, case.pairs[0].llm.student
    )
    return reworded(found, maker)


def _no_verdict(reasons: tuple[str, ...], analysis: Analysis, maker: str) -> Recommendation:
    nothing = Interval(math.nan, math.nan, math.nan, analysis.runs.level, "none", 0)
    return reworded(Recommendation("no verdict", reasons, nothing, "nothing", None, maker), maker)


def _unfinished(runs: StudyRuns) -> tuple[str, ...]:
    facts = runs.facts or {}
    if not facts.get("missing"):
        return ()
    return (f"{facts['missing']:,} of {facts['cells']:,} cells are still to be trained. Run the study again.",)


def _no_pair(runs: StudyRuns) -> tuple[str, ...]:
    """Why no student of human labels can be compared with one of LLM labels."""
    names = dict.fromkeys(name for task in runs.tasks for name in task.annotators)
    low = [low_coverage(name, [task for task in runs.tasks if name in task.annotators]) for name in names]
    if any(low):
        return tuple(filter(None, low))
    failed = {str(each["why"]): each for each in (runs.facts or {}).get("failed", ())}
    if not failed:
        return ("The study has no pair of students that differ in nothing but human and LLM labels.",)
    shown = list(failed.items())[:2]
    return tuple(f"The student {each['student']!r} of {each['source']!r} labels failed: {why}" for why, each in shown)


def low_coverage(name: str, tasks: Sequence[TaskRuns]) -> str:
    """Why labels of so few rows decide nothing; empty where enough rows have one."""
    for part, rows in (("train", "training rows"), ("test", "test rows")):
        counts: Counter[str] = Counter()
        unread: list[str] = []
        for task in tasks:
            counts.update(task.statuses(name, part))
            unread += task.annotators.get(name, {}).get(part, {}).get("unread", {})
        asked = sum(counts.values()) - counts["skipped"]
        if asked and counts["labelled"] < MIN_COVERAGE * asked:
            others = joined(f"{count:,} {status}" for status, count in counts.items() if status != "labelled" and count)
            shown = f" Examples: {'; '.join(unread[:3])}." if unread else ""
            return (
                f"Only {counts['labelled']:,} of {asked:,} {rows} have a label by {name} ({others}), and below "
                f"{MIN_COVERAGE:.0%} nothing is concluded.{shown}"
            )
    return ""


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
    matching: list[PairedScore] = []
    for pair in pairs:
        itself = pair.task.annotator_features(pair.llm.source, pair.llm.prompt)
        if itself is not None:
            seeds = pair.task.shared_seeds(pair.llm, pair.human)
            own.append(pair.task.draws.compare(itself, pair.task.features(pair.human, seeds), pair.task.main_score))
            matching.append(pair.task.draws.compare(pair.task.features(pair.llm, seeds), itself, pair.task.main_score))
    whole = len(own) == len(pairs)
    difference = _together(trained, analysis)
    annotator = _together(own, analysis) if whole else None
    against = _together(matching, analysis) if whole else None
    verdict, by = decide(difference, annotator, against, analysis.runs.margin)
    return _Case(f"{student}, {labels}", pairs, difference, annotator, against, verdict, by)


def _together(found: Sequence[PairedScore], analysis: Analysis) -> Interval:
    """The difference on one task, its mean over tasks like these, or over these alone where they are few."""
    if len(found) == 1:
        return found[0].difference
    points, draws = [each.difference.estimate for each in found], [each.values for each in found]
    return pool_tasks(points, draws, analysis.bootstrap).mean


def _reasons(case: _Case, analysis: Analysis) -> list[str]:
    margin, pair = analysis.runs.margin, case.pairs[0]
    rows = sum(each.score().a.n for each in case.pairs)
    seeds = min(each.seeds for each in case.pairs)
    meaning = f"The margin is {margin:g}, so {MEANINGS[non_inferiority(case.student, margin)]}."
    if len(case.pairs) == 1:
        task, scores = pair.task, pair.score()
        said = [
            f"Trained on {task.n_labeled(pair.llm):,} LLM labels, the student {pair.llm.student!r} has a "
            f"{task.main_score_name} of {scores.a.estimate:.3f} on {rows:,} test rows; trained on "
            f"{task.n_labeled(pair.human):,} human labels it has {scores.b.estimate:.3f} (means of "
            f"{counted(seeds, 'seed')}). The difference is {case.student}. {meaning}"
        ]
    else:
        where = f"Over {len(case.pairs)} tasks with {rows:,} test rows and {counted(seeds, 'seed')} or more"
        said = [
            f"{where}, the score of {case.name} minus that of the same student trained on human labels is "
            f"{case.student} for {population(len(case.pairs))}. {meaning}"
        ]
    if case.annotator is not None:
        own = VERDICTS[non_inferiority(case.annotator, margin)]
        said.append(f"The LLM's own labels minus the human-trained student: {case.annotator}, {own}.")
    elif any(pair.llm.labels in each.task.runs.llm_labels for each in case.pairs):
        said.append("The LLM was not asked about all test rows, so how it compares with its student is unknown.")
    if case.beside_annotator is not None and case.verdict in ("use the student", "use the LLM labels"):
        so = (
            "so it can label new texts" if case.verdict == "use the student" else "so whether it can replace it is open"
        )
        said.append(f"The LLM-trained student minus the LLM itself is {case.beside_annotator}, {so}.")
    if few := _few(case):
        said.append(few)
    if seeds == 1:
        said.append("There is one seed, so the chance of training is not in these intervals.")
    elif same := sum(each.seeds_agree for each in case.pairs):
        where = "All" if same == len(case.pairs) else f"On {same} tasks all"
        said.append(f"{where} seeds gave the same students, so there the intervals are of the test rows alone.")
    return said


def _few(case: _Case) -> str | None:
    """What the fewest human labels do alone, on a single task."""
    if len(case.pairs) > 1:
        return None
    pair, task = case.pairs[0], case.pairs[0].task
    fewer = [
        condition
        for condition in task.single_source(HUMAN)
        if condition.student == pair.human.student
        and condition.size
        and condition.rank < pair.human.rank
        and task.shared_seeds(pair.llm, condition)
    ]
    if not fewer:
        return None
    gap = task.compare(pair.llm, fewer[0]).difference
    side = (
        "is better than" if gap.low > 0 else "is worse than" if gap.high < 0 else "does not differ significantly from"
    )
    return f"It {side} a student of only {fewer[0].size:,} human labels (difference {gap})."


def _more(case: _Case, analysis: Analysis, *, by_annotator: bool) -> tuple[int | None, list[str]]:
    """Additional test rows that would settle an open question, and the sentence about them."""
    if case.verdict != "label more by hand":
        return None, []
    margin, pair = analysis.runs.margin, case.pairs[0]
    if len(case.pairs) > 1:
        return None, [f"{len(case.pairs)} tasks do not settle it: more tasks would, or more test rows in each."]
    found = pair.score()
    itself = pair.task.annotator_features(pair.llm.source, pair.llm.prompt) if by_annotator else None
    if itself is not None:
        seeds = pair.task.shared_seeds(pair.llm, pair.human)
        found = pair.task.draws.compare(itself, pair.task.features(pair.human, seeds), pair.task.main_score)
    n = found.a.n
    which = "the LLM's own labels" if itself is not None else "LLM-trained"
    needed = rows_to_detect(found, abs(found.difference.estimate + margin))
    if needed is None:
        return None, [f"With {counted(pair.seeds, 'seed')} more test rows do not settle it: add `seeds`."]
    if needed > FAR * n:
        return None, [
            f"The difference {which} minus human-trained is so close to the margin that even {FAR} times the {n:,} "
            "test rows would not settle it."
        ]
    more = max(1, needed - n)
    left = analysis.runs.unlabelled_rows(pair.task.runs.name)
    would = f"{n:,} test rows do not settle it; about {n + more:,} would in 8 of 10 studies, if the difference stays"
    if left is not None and more > left:
        limit = f"the table has only {left:,} rows without a human label" if left else "every row has a human label"
        return None, [f"{would}, but {limit}."]
    return more, [f"{would}."]


def _chosen(cases: Sequence[_Case]) -> list[str]:
    if len(cases) == 1:
        return []
    return [f"It is the best of {len(cases)} sources of LLM labels on these test rows, so its score is optimistic."]
