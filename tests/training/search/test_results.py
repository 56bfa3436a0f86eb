from __future__ import annotations

import numpy as np
import pytest

from hf_synthlabels.errors import TrainingError
from hf_synthlabels.training.search import Choice, GridRun, RunResult
from hf_synthlabels.training.search.results import EpochEvaluation, candidates, select

HUMAN = np.array([0, 0, 1, 1])


def run(rate: float, seed: int, epochs: tuple[int, ...] = (1, 2)) -> GridRun:
    return GridRun("m", "human", None, rate, 16, seed, epochs, "constant_with_warmup", 0, 0.2, 1, {})


def result(*predictions: tuple[int, ...], diverged: str | None = None) -> RunResult:
    evaluations = tuple(
        EpochEvaluation(epoch, 5 * epoch, codes, ()) for epoch, codes in enumerate(predictions, start=1)
    )
    return RunResult("k", evaluations, 10, 1.0, 1.0, 10, diverged)


def test_mean_over_seeds_decides() -> None:
    right, wrong, half = (0, 0, 1, 1), (1, 1, 0, 0), (0, 0, 0, 0)
    pairs = [
        # Seed 0 is best with this rate; the mean of accuracy at epoch 1 is (1 + 0) / 2, at epoch 2 (1/2 + 1/2) / 2.
        (run(1e-3, 0), result(right, half)),
        (run(1e-3, 1), result(wrong, half)),
        # (1/2 + 1/2) / 2 at epoch 1, (3/4 + 3/4) / 2 at epoch 2.
        (run(1e-4, 0), result(half, (0, 0, 1, 0))),
        (run(1e-4, 1), result(half, (0, 0, 0, 1))),
    ]
    found = candidates(pairs, HUMAN, 2, "accuracy")
    assert {one.choice: one.score for one in found} == {
        Choice(1e-3, 16, 1): 0.5,
        Choice(1e-3, 16, 2): 0.5,
        Choice(1e-4, 16, 1): 0.5,
        Choice(1e-4, 16, 2): 0.75,
    }
    chosen = select(found, HUMAN, 2, "accuracy", tried=4)
    assert (chosen.best.choice, chosen.n_candidates, chosen.n_diverged) == (Choice(1e-4, 16, 2), 4, 0)


def test_of_equals_the_one_with_fewer_epochs_is_chosen() -> None:
    right = (0, 0, 1, 1)
    found = candidates(
        [(run(1e-3, 0), result((0, 0, 0, 0), right)), (run(1e-4, 0), result(right, right))], HUMAN, 2, "macro_f1"
    )
    assert select(found, HUMAN, 2, "macro_f1", tried=4).best.choice == Choice(1e-4, 16, 1)


def test_combination_that_diverged_with_one_seed_is_no_candidate() -> None:
    right = (0, 0, 1, 1)
    pairs = [
        (run(1e-3, 0), result(right, right)),
        (run(1e-3, 1), result(right, diverged="no number")),
        (run(1.0, 0), result(diverged="no number")),
        (run(1.0, 1), result(right, right)),
    ]
    found = candidates(pairs, HUMAN, 2, "accuracy")
    assert [one.choice for one in found] == [Choice(1e-3, 16, 1)]
    assert select(found, HUMAN, 2, "accuracy", tried=4).n_diverged == 3


def test_no_candidate_is_an_error() -> None:
    with pytest.raises(TrainingError, match="loss of all 2 combinations became NaN"):
        select([], HUMAN, 2, "accuracy", tried=2)


def test_the_best_of_many_random_classifiers_is_corrected_for_selection() -> None:
    # Coins: whatever is chosen is right half of the time. The best of 40 on 100 rows reaches about
    # 1/2 + 2.2 · 0.05 = 0.61.
    rng = np.random.default_rng(0)
    human = rng.integers(2, size=100)
    pairs = [
        (run(rate, 0, (1,)), result(tuple(rng.integers(2, size=100).tolist()))) for rate in np.linspace(1e-5, 1, 40)
    ]
    chosen = select(candidates(pairs, human, 2, "accuracy"), human, 2, "accuracy", tried=40)
    assert chosen.best.score > 0.58
    # Below the score and near the human; chosen on 63 different rows of 100, and scored on rows that the same
    # lucky combinations were seen on, it stays some way above 1/2.
    assert 0.45 < chosen.corrected < 0.56
    assert chosen.best.score - chosen.corrected > 0.04


def test_a_single_perfect_candidate_needs_no_correction() -> None:
    found = candidates([(run(1e-3, 0, (1,)), result((0, 0, 1, 1)))], HUMAN, 2, "accuracy")
    selection = select(found, HUMAN, 2, "accuracy", tried=1)
    assert selection.corrected == selection.best.score == 1
