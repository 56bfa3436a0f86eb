"""Cases of a recommendation: one student and one source of LLM labels, with the verdict of their intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.comparison.condition_bootstrap import PairedScore
from hf_synthlabels.statistics.comparison.paired import non_inferiority
from hf_synthlabels.statistics.comparison.pooling import pool_tasks
from hf_synthlabels.studies.analysis.base import Analysis, Pair, student_pairs
from hf_synthlabels.studies.runs import TaskRuns
from hf_synthlabels.studies.wording import joined

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
"""How little a verdict relies on the LLM; the first two differ in what labels new texts."""

MIN_COVERAGE = 0.9
"""Share of the rows an annotator was asked about that must have a label; fewer are a selection of the easy ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One student and one source of LLM labels, on one task or several."""

    pairs: Sequence[Pair]
    student: Interval
    """LLM-trained minus human-trained."""
    own: PairedScore | None
    """The annotator itself against the human-trained student, on a single task."""
    annotator: Interval | None
    """The annotator itself minus human-trained; None if it did not label the test rows."""
    beside_annotator: Interval | None
    """LLM-trained minus the annotator itself."""
    verdict: Verdict
    by: Literal["student", "annotator"]

    @property
    def decides(self) -> Interval:
        """The difference that led to the verdict."""
        return self.annotator if self.by == "annotator" and self.annotator is not None else self.student

    @property
    def by_annotator(self) -> bool:
        """Whether the annotator's own labels decide."""
        return self.by == "annotator" and self.annotator is not None

    @property
    def test_rows(self) -> int:
        """Test rows of all tasks."""
        return sum(pair.score().a.n for pair in self.pairs)

    @property
    def seeds(self) -> int:
        """Fewest seeds of a task."""
        return min(pair.seeds for pair in self.pairs)

    @property
    def low_coverage(self) -> str:
        """Why the coverage of the labels is too low to decide anything; empty if it is not."""
        return low_coverage(self.pairs[0].llm.labels, [pair.task.runs for pair in self.pairs])


def decide(
    student: Interval, annotator: Interval | None, beside_annotator: Interval | None, margin: float
) -> tuple[Verdict, Literal["student", "annotator"]]:
    """The verdict, and whose difference decides it.

    The LLM-trained student comes first. If it is non-inferior to the human-trained one, LLM labels suffice for
    training; if it is non-inferior to the annotator too, it can label new texts. Otherwise the annotator's own labels
    may be as good as the human-trained student's. Only if both are inferior is everything labeled by hand; an
    inconclusive comparison decides nothing.

    Args:
        student: LLM-trained minus human-trained.
        annotator: the annotator itself minus human-trained; None if it did not label the test rows.
        beside_annotator: LLM-trained minus the annotator itself.
        margin: the largest loss that counts as none.
    """
    good = ("superior", "non-inferior")
    trained = non_inferiority(student, margin)
    if trained in good:
        replaces = beside_annotator is not None and non_inferiority(beside_annotator, margin) in good
        return ("use the student" if replaces else "use the LLM labels"), "student"
    own = None if annotator is None else non_inferiority(annotator, margin)
    if own in good:
        return "use the annotator itself", "annotator"
    if trained == "inferior" and own in ("inferior", None):
        return "label all by hand", "student"
    return "label more by hand", "annotator" if trained == "inferior" else "student"


def study_cases(analysis: Analysis) -> list[Case]:
    """Cases of the student that human labels train best, on the most tasks."""
    groups = list(student_pairs(analysis))
    if not groups:
        return []
    most = max(len(pairs) for _, _, pairs in groups)
    groups = [group for group in groups if len(group[2]) == most]

    def human_score(pairs: Sequence[Pair]) -> float:
        return sum(pair.task.score(pair.human).estimate for pair in pairs) / len(pairs)

    best = max(groups, key=lambda group: human_score(group[2]))[0]
    return [_case(pairs, analysis) for student, _, pairs in groups if student == best]


def _case(pairs: Sequence[Pair], analysis: Analysis) -> Case:
    own: list[PairedScore] = []
    beside: list[PairedScore] = []
    for pair in pairs:
        itself = pair.task.annotator_features(pair.llm.source, pair.llm.prompt)
        if itself is not None:
            seeds = pair.task.shared_seeds(pair.llm, pair.human)
            own.append(pair.task.draws.compare(itself, pair.task.features(pair.human, seeds), pair.task.main_score))
            beside.append(pair.task.draws.compare(pair.task.features(pair.llm, seeds), itself, pair.task.main_score))
    is_known = len(own) == len(pairs)
    student = _pooled([pair.score() for pair in pairs], analysis)
    annotator = _pooled(own, analysis) if is_known else None
    against = _pooled(beside, analysis) if is_known else None
    verdict, by = decide(student, annotator, against, analysis.runs.margin)
    return Case(pairs, student, own[0] if is_known and len(own) == 1 else None, annotator, against, verdict, by)


def _pooled(scores: Sequence[PairedScore], analysis: Analysis) -> Interval:
    """The difference on one task, or its mean over the tasks."""
    if len(scores) == 1:
        return scores[0].difference
    points, draws = [each.difference.estimate for each in scores], [each.values for each in scores]
    return pool_tasks(points, draws, analysis.bootstrap).mean


def low_coverage(name: str, tasks: Sequence[TaskRuns]) -> str:
    """Why labels of so few rows decide nothing; empty if enough rows have one."""
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
                f"Only {counts['labelled']:,} of {asked:,} {rows} have a label by {name} ({others}); below "
                f"{MIN_COVERAGE:.0%} a study decides nothing.{shown}"
            )
    return ""
