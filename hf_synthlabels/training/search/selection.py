"""Choosing a combination on human-labelled rows, and how much better it looks than it is because it was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import TrainingError
from hf_synthlabels.statistics.agreement.confusion import confusion_counts, macro_f1
from hf_synthlabels.statistics.comparison.conditions import ConditionMetric, seed_scores
from hf_synthlabels.training.search.grid_run import Choice, GridRun, RunResult

Codes = NDArray[np.int64]
RESAMPLES = 200


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A combination of one cell that all seeds have a reading of."""

    choice: Choice
    runs: tuple[GridRun, ...]
    """One for each seed."""
    validation: Codes
    """Shape (seeds, validation rows)."""
    test: Codes
    """Shape (seeds, test rows)."""
    score: float
    """Mean over seeds on the validation rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The best candidate of a cell, and what choosing among so many did to its score."""

    best: Candidate
    n_candidates: int
    n_diverged: int
    """Combinations that some seed has no reading of, since its loss was no number any more or it was given up."""
    corrected: float
    """The score of choosing, on validation rows that did not choose; see `choose`."""

    @property
    def optimism(self) -> float:
        """How much the best score on the validation rows promises too much."""
        return self.best.score - self.corrected


def candidates(
    runs: Sequence[tuple[GridRun, RunResult]], truth: Codes, n_classes: int, metric: ConditionMetric
) -> list[Candidate]:
    """The combinations of one cell, from its runs: one for each rate, batch size and number of epochs.

    Args:
        runs: of one model, label source and size.
        truth: human codes of the validation rows.
        n_classes: number of labels.
        metric: the score that chooses.
    """
    groups: dict[tuple[float, int], list[tuple[GridRun, RunResult]]] = {}
    for run, result in runs:
        groups.setdefault((run.learning_rate, run.batch_size), []).append((run, result))
    seeds = max(len(group) for group in groups.values())
    found = []
    for (rate, batch), group in groups.items():
        for epochs in group[0][0].epochs:
            readings = [result.at(epochs) for _, result in group]
            whole = [reading for reading in readings if reading is not None]
            if len(whole) < seeds:
                continue
            validation = np.array([reading.validation for reading in whole], dtype=np.int64)
            found.append(
                Candidate(
                    Choice(rate, batch, epochs),
                    tuple(run for run, _ in group),
                    validation,
                    np.array([reading.test for reading in whole], dtype=np.int64),
                    float(seed_scores(truth, validation, n_classes, metric).mean()),
                )
            )
    return found


def choose(found: Sequence[Candidate], truth: Codes, n_classes: int, metric: ConditionMetric, *, tried: int) -> Chosen:
    """The candidate with the best mean over seeds; of equals the one with fewer epochs, then the first.

    `corrected` is the bootstrap bias corrected estimate (BBC-CV; Tsamardinos, Greasidou, Borboudakis 2018, algorithm
    3): draw rows with replacement, choose on them, score what was chosen on the rows that were not drawn, and average.
    Chosen on fewer different rows than the whole set has, it errs to the careful side.

    Args:
        found: candidates of one cell.
        truth: human codes of the validation rows.
        n_classes: number of labels.
        metric: the score that chooses.
        tried: combinations that were tried.

    Raises:
        TrainingError: there is no candidate.
    """
    if not found:
        raise TrainingError(
            f"`learning_rate`: the loss of all {tried} combinations became no number. Give smaller learning rates."
        )
    order = sorted(range(len(found)), key=lambda k: (-found[k].score, found[k].choice.epochs, k))
    outside = _scores_of_the_chosen(found, truth, n_classes, metric)
    corrected = float(np.mean(outside)) if outside else float("nan")
    return Chosen(found[order[0]], len(found), tried - len(found), corrected)


def _scores_of_the_chosen(
    found: Sequence[Candidate], truth: Codes, n_classes: int, metric: ConditionMetric
) -> list[float]:
    rng = np.random.default_rng(0)
    predicted = np.stack([candidate.validation for candidate in found])
    outside = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(truth), size=len(truth))
        left = np.setdiff1d(np.arange(len(truth)), drawn)
        if not len(left):
            continue
        best = int(np.argmax(_means(truth[drawn], predicted[:, :, drawn], n_classes, metric)))
        outside.append(float(_means(truth[left], predicted[best : best + 1, :, left], n_classes, metric)[0]))
    return outside


def _means(truth: Codes, predicted: Codes, n_classes: int, metric: ConditionMetric) -> NDArray[np.float64]:
    """Mean over seeds of each candidate's score; predicted has the shape (candidates, seeds, rows)."""
    if metric == "accuracy":
        means: NDArray[np.float64] = (predicted == truth).mean(axis=(1, 2))
        return means
    flat = predicted.reshape(-1, predicted.shape[-1])
    counts = np.stack([confusion_counts(truth, codes, n_classes) for codes in flat])
    scores: NDArray[np.float64] = np.asarray(macro_f1(counts)).reshape(predicted.shape[:2]).mean(axis=1)
    return scores


def by_cell(
    runs: Mapping[str, GridRun], results: Mapping[str, RunResult]
) -> dict[tuple[str, str, int | None], list[tuple[GridRun, RunResult]]]:
    """Finished runs by model, label source and size, in the grid's order."""
    cells: dict[tuple[str, str, int | None], list[tuple[GridRun, RunResult]]] = {}
    for key, run in runs.items():
        if key in results:
            cells.setdefault(run.cell, []).append((run, results[key]))
    return cells
