"""Analysis: a study's runs by arm, with the draws that all questions share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.comparison.condition_bootstrap import (
    ConditionBootstrap,
    PairedScore,
    RowFeatures,
    ScoreReplicates,
)
from hf_synthlabels.studies.questions.scores import MAIN, features_of, found_of, score_name
from hf_synthlabels.studies.runs import MAX_UNASKED, CellRun, StudyRuns, TaskRuns

Floats = NDArray[np.float64]

HUMAN, RANDOM, ANNOTATOR, PLAIN = "human", "random", "annotator", "plain"


@dataclass(frozen=True, slots=True)
class Arm:
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

    def beside(self, other: Arm) -> bool:
        """Whether the two differ in where their labels come from alone."""
        return (self.size, self.student, self.strategy, self.n_human) == (
            other.size, other.student, other.strategy, other.n_human,
        )  # fmt: skip


@dataclass(slots=True, eq=False)
class TaskAnalysis:
    """The arms of a task; every score is drawn when it is first asked for."""

    runs: TaskRuns
    bootstrap: BootstrapConfig
    rows: RowFeatures = field(init=False)
    draws: ConditionBootstrap = field(init=False)
    arms: dict[Arm, dict[int, CellRun]] = field(init=False)
    _found: dict[tuple[Arm, int], Floats] = field(init=False, default_factory=dict)
    _pairs: dict[tuple[Arm, Arm, str], PairedScore] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = features_of(self.runs)
        self.draws = ConditionBootstrap(self.rows, self.bootstrap)
        self.arms = {}
        for run in self.runs.select(lambda _: True):
            cell = run.cell
            arm = Arm(cell.source, cell.prompt, cell.size, cell.student, cell.strategy, cell.n_human)
            self.arms.setdefault(arm, {})[cell.seed] = run

    @property
    def main(self) -> str:
        """The score that arms are compared by."""
        return MAIN[self.runs.kind]

    @property
    def main_name(self) -> str:
        """What that score is called."""
        return score_name(self.runs.kind, self.main)

    @property
    def annotators(self) -> tuple[str, ...]:
        """Sources that label any row by themselves."""
        return tuple(dict.fromkeys(name.split("/")[0] for name in self.runs.llm_labels))

    def plain(self, source: str | None = None) -> list[Arm]:
        """Students of a source's labels alone, the smallest size first."""
        found = [arm for arm in self.arms if arm.strategy == PLAIN and arm.n_human == 0 and arm.student != ANNOTATOR]
        return sorted((arm for arm in found if source in (None, arm.source)), key=lambda arm: arm.rank)

    def labelled(self, arm: Arm) -> int:
        """The rows with a label that an arm was trained on, the mean over seeds."""
        rows = [run.rows for run in self.arms[arm].values()]
        return round(float(np.mean(rows))) or arm.size or 0

    def annotator(self, source: str, prompt: str = "-") -> Floats | None:
        """Features of the annotator's own labels on the test rows, shape (1, rows, d); None without such labels."""
        name = source if prompt == "-" else f"{source}/{prompt}"
        values = self.runs.llm_labels.get(name)
        # Rows that were never asked about are unknown. Counting them as wrong would be a claim about the annotator.
        if values is None or self.runs.unasked(name, "test") > MAX_UNASKED * len(values):
            return None
        return found_of(self.runs, values)[None]

    def found(self, arm: Arm, seeds: Iterable[int] | None = None) -> Floats:
        """What the answers of an arm add, shape (seeds, rows, d)."""
        return np.stack([self._one(arm, seed) for seed in (self.arms[arm] if seeds is None else seeds)])

    def score(self, arm: Arm, score: str | None = None, seeds: Iterable[int] | None = None) -> ScoreReplicates:
        """A score of an arm over rows and seeds."""
        return self.draws.draw(self.found(arm, seeds), score or self.main)

    def compare(self, a: Arm, b: Arm, score: str | None = None) -> PairedScore:
        """Arm a against arm b, on the seeds that both have."""
        key = (a, b, score or self.main)
        if key not in self._pairs:
            shared = self.shared(a, b) or None
            self._pairs[key] = self.draws.compare(self.found(a, shared), self.found(b, shared), key[2])
        return self._pairs[key]

    def shared(self, *arms: Arm) -> list[int]:
        """The seeds that all of the arms have."""
        return [seed for seed in self.arms[arms[0]] if all(seed in self.arms[arm] for arm in arms)]

    def alike(self, *arms: Arm) -> bool:
        """Whether several seeds of each arm gave the very same answers, so that they show no chance of training."""
        shared = self.shared(*arms)
        said = [[self.arms[arm][seed].answers for seed in shared] for arm in arms]
        return len(shared) > 1 and all(each == first for first, *others in said for each in others)

    def _one(self, arm: Arm, seed: int) -> Floats:
        key = (arm, seed)
        if key not in self._found:
            self._found[key] = found_of(self.runs, self.arms[arm][seed].answers)
        return self._found[key]

    def of_answers(self, answers: Sequence[Sequence[Any]], score: str | None = None) -> ScoreReplicates:
        """A score of any answers to the test rows, one sequence for each seed."""
        return self.draws.draw(np.stack([found_of(self.runs, each) for each in answers]), score or self.main)


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """A study's runs, ready to be asked."""

    runs: StudyRuns
    tasks: tuple[TaskAnalysis, ...]

    @property
    def bootstrap(self) -> BootstrapConfig:
        """Level and resamples of the study."""
        return self.tasks[0].bootstrap if self.tasks else BootstrapConfig(self.runs.level, self.runs.resamples)


def analysed(runs: StudyRuns | Analysis) -> Analysis:
    """The runs by arm; an analysis is given back as it is, so that questions share what was drawn."""
    if isinstance(runs, Analysis):
        return runs
    bootstrap = BootstrapConfig(runs.level, runs.resamples)
    return Analysis(runs, tuple(TaskAnalysis(task, bootstrap) for task in runs.tasks if task.truth and task.cells))
