"""Pairs: students of LLM labels beside students of human labels that differ in nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hf_synthlabels.statistics.comparison.condition_bootstrap import PairedScore
from hf_synthlabels.studies.questions.analysis import HUMAN, Analysis, Arm, TaskAnalysis


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """An LLM-trained student against a human-trained one."""

    task: TaskAnalysis
    llm: Arm
    human: Arm

    @property
    def name(self) -> str:
        """The task, the student and the labels."""
        return f"{self.task.runs.name}, {self.llm.student}, {self.llm.labels}"

    @property
    def seeds(self) -> int:
        """How many the two share."""
        return len(self.task.shared(self.llm, self.human))

    @property
    def alike(self) -> bool:
        """Whether all seeds gave the same two students."""
        return self.task.alike(self.llm, self.human)

    def score(self, score: str | None = None) -> PairedScore:
        """LLM-trained against human-trained; the task's main score by default."""
        return self.task.compare(self.llm, self.human, score)


def pairs_of(task: TaskAnalysis) -> list[Pair]:
    """For each student and annotator the pair with the most rows, of those that are there for both."""
    found: dict[tuple[str, str], Pair] = {}
    humans = task.plain(HUMAN)
    for source in task.annotators:
        for arm in task.plain(source):
            beside = [human for human in humans if human.beside(arm)]
            if beside and task.shared(arm, beside[0]):
                # Arms come with the smallest size first, so that the largest stays.
                found[arm.student, arm.labels] = Pair(task, arm, beside[0])
    return list(found.values())


def student_pairs(analysis: Analysis) -> Iterator[tuple[str, str, list[Pair]]]:
    """The pairs of all tasks by student and labels: those of most tasks first, then the best human-trained."""
    found: dict[tuple[str, str], list[Pair]] = {}
    for task in analysis.tasks:
        for pair in pairs_of(task):
            found.setdefault((pair.llm.student, pair.llm.labels), []).append(pair)

    def order(pairs: list[Pair]) -> tuple[float, float]:
        return -len(pairs), -sum(pair.task.score(pair.human).estimate for pair in pairs) / len(pairs)

    for (student, labels), pairs in sorted(found.items(), key=lambda each: order(each[1])):
        yield student, labels, pairs
