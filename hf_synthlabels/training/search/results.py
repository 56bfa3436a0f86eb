"""Results of runs, the journal that makes a grid resumable, and the selection of the best combination."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import TrainingError
from hf_synthlabels.statistics.agreement.confusion import confusion_counts, score
from hf_synthlabels.statistics.comparison.conditions import ConditionMetric, seed_scores
from hf_synthlabels.training.search.config import Choice, GridRun

Codes = NDArray[np.int64]
Cell = tuple[str, str, int | None]
"""Model, label source and size; one combination is selected per cell."""

RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class EpochEvaluation:
    """Predicted label codes after a number of epochs, in row order."""

    epochs: int
    steps: int
    validation: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RunResult:
    """The evaluations of a run and its cost."""

    key: str
    evaluations: tuple[EpochEvaluation, ...]
    rows: int
    """Number of training rows."""
    wall_s: float
    cpu_s: float
    """CPU time of the process, all threads."""
    steps: int
    """Optimizer steps, including the decay steps before each evaluation."""
    diverged: str | None = None
    """Error message if the loss became NaN or infinite."""

    def at(self, epochs: int) -> EpochEvaluation | None:
        """The evaluation after a number of epochs; None if the run stopped earlier."""
        return next((evaluation for evaluation in self.evaluations if evaluation.epochs == epochs), None)


def run_key(run: GridRun, rows: str) -> str:
    """A hash of everything that can change the result of a run: options, fingerprint of the rows, library versions."""
    versions = {package: metadata.version(package) for package in ("torch", "transformers")}
    options = asdict(run)
    if run.schedule != "warmup_stable_decay":
        # Other schedules do not use it.
        options.pop("decay")
    content = {"run": options, "rows": rows, "versions": versions}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:20]


class RunJournal:
    """Results by run key in a folder, one file each; several processes may write concurrently."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "runs"

    def get(self, key: str) -> RunResult | None:
        """The result of a finished run, if its file is complete."""
        try:
            return read_result(json.loads((self._folder / f"{key}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, result: RunResult) -> None:
        """Write a result atomically and durably."""
        self._folder.mkdir(parents=True, exist_ok=True)
        scratch = self._folder / f".{result.key}.{os.getpid()}"
        with scratch.open("w", encoding="utf-8") as file:
            json.dump(asdict(result), file)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self._folder / f"{result.key}.json")


def read_result(content: Mapping[str, Any]) -> RunResult:
    """A result from its JSON.

    Raises:
        KeyError: a field is missing.
        TypeError: a field has the wrong type.
    """
    evaluations = tuple(
        EpochEvaluation(item["epochs"], item["steps"], tuple(item["validation"]), tuple(item["test"]))
        for item in content["evaluations"]
    )
    return RunResult(**{**content, "evaluations": evaluations})


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A combination of one cell that was evaluated with all seeds."""

    choice: Choice
    runs: tuple[GridRun, ...]
    """One per seed."""
    validation: Codes
    """Shape (seeds, validation rows)."""
    test: Codes
    """Shape (seeds, test rows)."""
    score: float
    """Mean over seeds on the validation rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The best candidate of a cell, and its score corrected for selection bias."""

    best: Candidate
    n_candidates: int
    n_diverged: int
    """Number of combinations without an evaluation for some seed, because the loss diverged or the trial was pruned."""
    corrected: float
    """Expected score of the selection on new rows; see `select`."""


def candidates(
    runs: Sequence[tuple[GridRun, RunResult]], human: Codes, n_classes: int, metric: ConditionMetric
) -> list[Candidate]:
    """The combinations of one cell: one per learning rate, batch size and number of epochs.

    Args:
        runs: all runs of the cell.
        human: human codes of the validation rows.
        n_classes: number of labels.
        metric: the selection metric.
    """
    groups: dict[tuple[float, int], list[tuple[GridRun, RunResult]]] = {}
    for run, result in runs:
        groups.setdefault((run.learning_rate, run.batch_size), []).append((run, result))
    seeds = max(len(group) for group in groups.values())
    complete = []
    for (rate, batch), group in groups.items():
        for epochs in group[0][0].epochs:
            evaluations = [at_epoch for _, result in group if (at_epoch := result.at(epochs)) is not None]
            if len(evaluations) < seeds:
                continue
            validation = np.array([evaluation.validation for evaluation in evaluations], dtype=np.int64)
            complete.append(
                Candidate(
                    Choice(rate, batch, epochs),
                    tuple(run for run, _ in group),
                    validation,
                    np.array([evaluation.test for evaluation in evaluations], dtype=np.int64),
                    float(seed_scores(human, validation, n_classes, metric).mean()),
                )
            )
    return complete


def select(
    options: Sequence[Candidate], human: Codes, n_classes: int, metric: ConditionMetric, *, tried: int
) -> Selection:
    """The candidate with the best mean over seeds; ties go to fewer epochs, then to the first.

    `corrected` is the bootstrap bias corrected estimate (BBC-CV; Tsamardinos, Greasidou, Borboudakis 2018, algorithm
    3): resample the rows, select on the sample, score the selection on the rows outside it, and average.
    Each sample has fewer distinct rows than the validation set, so the estimate is slightly conservative.

    Args:
        options: candidates of one cell.
        human: human codes of the validation rows.
        n_classes: number of labels.
        metric: the selection metric.
        tried: number of combinations that were tried.

    Raises:
        TrainingError: there is no candidate.
    """
    if not options:
        raise TrainingError(
            f"`learning_rate`: the loss of all {tried} combinations became NaN or infinite. Give lower learning rates."
        )
    best = min(range(len(options)), key=lambda k: (-options[k].score, options[k].choice.epochs, k))
    outside = _out_of_sample_scores(options, human, n_classes, metric)
    corrected = float(np.mean(outside)) if outside else float("nan")
    return Selection(options[best], len(options), tried - len(options), corrected)


def _out_of_sample_scores(
    options: Sequence[Candidate], human: Codes, n_classes: int, metric: ConditionMetric
) -> list[float]:
    rng = np.random.default_rng(0)
    predicted = np.stack([candidate.validation for candidate in options])
    scores = []
    for _ in range(RESAMPLES):
        sample = rng.integers(len(human), size=len(human))
        outside = np.setdiff1d(np.arange(len(human)), sample)
        if not len(outside):
            continue
        best = int(np.argmax(_means(human[sample], predicted[:, :, sample], n_classes, metric)))
        scores.append(float(_means(human[outside], predicted[best : best + 1, :, outside], n_classes, metric)[0]))
    return scores


def _means(human: Codes, predicted: Codes, n_classes: int, metric: ConditionMetric) -> NDArray[np.float64]:
    """Score of each candidate, averaged over seeds; `predicted` has the shape (candidates, seeds, rows)."""
    if metric == "accuracy":
        means: NDArray[np.float64] = (predicted == human).mean(axis=(1, 2))
        return means
    flat = predicted.reshape(-1, predicted.shape[-1])
    counts = np.stack([confusion_counts(human, codes, n_classes) for codes in flat])
    scores: NDArray[np.float64] = np.asarray(score("macro_f1", counts)).reshape(predicted.shape[:2]).mean(axis=1)
    return scores


def by_cell(
    runs: Mapping[str, GridRun], results: Mapping[str, RunResult]
) -> dict[Cell, list[tuple[GridRun, RunResult]]]:
    """Finished runs by cell, in the order of the grid."""
    cells: dict[Cell, list[tuple[GridRun, RunResult]]] = {}
    for key, run in runs.items():
        if key in results:
            cells.setdefault(run.cell, []).append((run, results[key]))
    return cells
