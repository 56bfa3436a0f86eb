"""Runs of a study by condition, with the bootstrap replicates that all analyses share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.arrays import MISSING
from hf_synthlabels.statistics.comparison.condition_bootstrap import (
    ConditionBootstrap,
    PairedScore,
    RowFeatures,
    ScoreReplicates,
)
from hf_synthlabels.studies.analysis.scores import MAIN, answer_features, row_features, score_name
from hf_synthlabels.studies.runs import MAX_UNREQUESTED, CellRun, StudyRuns, TaskRuns

Floats = NDArray[np.float64]

HUMAN, RANDOM, ANNOTATOR, PLAIN = "human", "random", "annotator", "plain"


@dataclass(frozen=True, slots=True)
class Condition:
    """Cells that differ in their seed alone."""

    source: str
    prompt: str
    size: int | None
    student: str
    strategy: str
    n_human: int

    @property
    def rank(self) -> float:
        """Its size, all that there are being the most."""
        return float("inf") if self.size is None else float(self.size)

    @property
    def labels(self) -> str:
        """Its source, with the prompt where there are several."""
        return self.source if self.prompt == "-" else f"{self.source}/{self.prompt}"

    def same_training(self, other: Condition) -> bool:
        """Whether the two differ in where their labels come from alone."""
        return (self.size, self.student, self.strategy, self.n_human) == (
            other.size, other.student, other.strategy, other.n_human,
        )  # fmt: skip


@dataclass(slots=True, eq=False)
class TaskAnalysis:
    """The conditions of a task; every score is drawn when it is first asked for."""

    runs: TaskRuns
    bootstrap: BootstrapConfig
    rows: RowFeatures = field(init=False)
    draws: ConditionBootstrap = field(init=False)
    conditions: dict[Condition, dict[int, CellRun]] = field(init=False)
    _features: dict[tuple[Condition, int], Floats] = field(init=False, default_factory=dict)
    _pairs: dict[tuple[Condition, Condition, str], PairedScore] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = row_features(self.runs)
        self.draws = ConditionBootstrap(self.rows, self.bootstrap)
        self.conditions = {}
        for run in self.runs.select(lambda _: True):
            cell = run.cell
            condition = Condition(cell.source, cell.prompt, cell.size, cell.student, cell.strategy, cell.n_human)
            self.conditions.setdefault(condition, {})[cell.seed] = run

    @property
    def main_score(self) -> str:
        """The score that conditions are compared by."""
        return MAIN[self.runs.kind]

    @property
    def main_score_name(self) -> str:
        """What that score is called."""
        return score_name(self.runs.kind, self.main_score)

    @property
    def annotators(self) -> tuple[str, ...]:
        """Sources that label any row by themselves."""
        return tuple(dict.fromkeys(name.split("/")[0] for name in self.runs.llm_labels))

    def single_source(self, source: str | None = None) -> list[Condition]:
        """Students of a source's labels alone, the smallest size first."""
        found = [
            condition
            for condition in self.conditions
            if condition.strategy == PLAIN and condition.n_human == 0 and condition.student != ANNOTATOR
        ]
        return sorted(
            (condition for condition in found if source in (None, condition.source)),
            key=lambda condition: condition.rank,
        )

    def n_labeled(self, condition: Condition) -> int:
        """The rows with a label that a condition was trained on, the mean over seeds."""
        rows = [run.rows for run in self.conditions[condition].values()]
        return round(float(np.mean(rows))) or condition.size or 0

    def annotator_features(self, source: str, prompt: str = "-") -> Floats | None:
        """Features of the annotator's own labels on the test rows, shape (1, rows, d); None without such labels."""
        name = source if prompt == "-" else f"{source}/{prompt}"
        values = self.runs.llm_labels.get(name)
        # Rows that were never asked about are unknown. Counting them as wrong would be a claim about the annotator.
        if values is None or self.runs.unrequested(name, "test") > MAX_UNREQUESTED * len(values):
            return None
        return answer_features(self.runs, values)[None]

    def features(self, condition: Condition, seeds: Iterable[int] | None = None) -> Floats:
        """What the answers of a condition add, shape (seeds, rows, d)."""
        return np.stack(
            [self._seed_features(condition, seed) for seed in (self.conditions[condition] if seeds is None else seeds)]
        )

    def score(
        self, condition: Condition, score: str | None = None, seeds: Iterable[int] | None = None
    ) -> ScoreReplicates:
        """A score of a condition over rows and seeds."""
        return self.draws.draw(self.features(condition, seeds), score or self.main_score)

    def compare(self, a: Condition, b: Condition, score: str | None = None) -> PairedScore:
        """Condition a against condition b, on the seeds that both have."""
        key = (a, b, score or self.main_score)
        if key not in self._pairs:
            shared = self.shared_seeds(a, b) or None
            self._pairs[key] = self.draws.compare(self.features(a, shared), self.features(b, shared), key[2])
        return self._pairs[key]

    def shared_seeds(self, *conditions: Condition) -> list[int]:
        """The seeds that all of the conditions have."""
        return [
            seed
            for seed in self.conditions[conditions[0]]
            if all(seed in self.conditions[condition] for condition in conditions)
        ]

    def seeds_agree(self, *conditions: Condition) -> bool:
        """Whether several seeds of each condition gave identical answers, so that they show no training variance."""
        shared = self.shared_seeds(*conditions)
        said = [[self.conditions[condition][seed].answers for seed in shared] for condition in conditions]
        return len(shared) > 1 and all(each == first for first, *others in said for each in others)

    def codes(self, condition: Condition, seed: int) -> NDArray[np.int64]:
        """Predicted classes of the test rows, `MISSING` where there is none, shape (rows,)."""
        answers = self.conditions[condition][seed].answers
        return np.array([MISSING if code is None else code for code in answers], dtype=np.int64)

    def _seed_features(self, condition: Condition, seed: int) -> Floats:
        key = (condition, seed)
        if key not in self._features:
            self._features[key] = answer_features(self.runs, self.conditions[condition][seed].answers)
        return self._features[key]

    def score_answers(self, answers: Sequence[Sequence[Any]], score: str | None = None) -> ScoreReplicates:
        """A score of any answers to the test rows, one sequence for each seed."""
        return self.draws.draw(
            np.stack([answer_features(self.runs, each) for each in answers]), score or self.main_score
        )


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """A study's runs, ready to be asked."""

    runs: StudyRuns
    tasks: tuple[TaskAnalysis, ...]

    @property
    def bootstrap(self) -> BootstrapConfig:
        """Level and resamples of the study."""
        return self.tasks[0].bootstrap if self.tasks else BootstrapConfig(self.runs.level, self.runs.resamples)


def analyze_runs(runs: StudyRuns | Analysis) -> Analysis:
    """The runs by condition; an analysis is given back as it is, so that questions share what was drawn."""
    if isinstance(runs, Analysis):
        return runs
    bootstrap = BootstrapConfig(runs.level, runs.resamples)
    return Analysis(runs, tuple(TaskAnalysis(task, bootstrap) for task in runs.tasks if task.truth and task.cells))


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """An LLM-trained student against a human-trained one."""

    task: TaskAnalysis
    llm: Condition
    human: Condition

    @property
    def name(self) -> str:
        """The task, the student and the labels."""
        return f"{self.task.runs.name}, {self.llm.student}, {self.llm.labels}"

    @property
    def seeds(self) -> int:
        """How many the two share."""
        return len(self.task.shared_seeds(self.llm, self.human))

    @property
    def seeds_agree(self) -> bool:
        """Whether all seeds gave the same two students."""
        return self.task.seeds_agree(self.llm, self.human)

    def score(self, score: str | None = None) -> PairedScore:
        """LLM-trained against human-trained; the task's main score by default."""
        return self.task.compare(self.llm, self.human, score)


def llm_human_pairs(task: TaskAnalysis) -> list[Pair]:
    """For each student and annotator the pair with the most rows, of those that are there for both."""
    found: dict[tuple[str, str], Pair] = {}
    humans = task.single_source(HUMAN)
    for source in task.annotators:
        for condition in task.single_source(source):
            matching = [human for human in humans if human.same_training(condition)]
            if matching and task.shared_seeds(condition, matching[0]):
                # Arms come with the smallest size first, so that the largest stays.
                found[condition.student, condition.labels] = Pair(task, condition, matching[0])
    return list(found.values())


def student_pairs(analysis: Analysis) -> Iterator[tuple[str, str, list[Pair]]]:
    """The pairs of all tasks by student and labels: those of most tasks first, then the best human-trained."""
    found: dict[tuple[str, str], list[Pair]] = {}
    for task in analysis.tasks:
        for pair in llm_human_pairs(task):
            found.setdefault((pair.llm.student, pair.llm.labels), []).append(pair)

    def order(pairs: list[Pair]) -> tuple[float, float]:
        return -len(pairs), -sum(pair.task.score(pair.human).estimate for pair in pairs) / len(pairs)

    for (student, labels), pairs in sorted(found.items(), key=lambda each: order(each[1])):
        yield student, labels, pairs
