"""The rater model: against a slow EM, known matrices, weights, and its limits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.raters.dawid_skene import (
    PSEUDO_VOTES,
    Fit,
    Model,
    Patterns,
    default_model,
    fit_raters,
    llm_accuracy,
    match_classes,
    vote_patterns,
)
from hf_synthlabels.statistics.raters.rater_model import rater_model
from hf_synthlabels.statistics.raters.votes import Votes

QUICK = BootstrapConfig(resamples=50)


def some_votes(truth: Ints, matrices: Any, rng: np.random.Generator) -> Ints:
    """Labels of raters with these error matrices, shape (rows, raters)."""
    return np.array([[rng.choice(len(m), p=m[k]) for m in matrices] for k in truth])


def votes_of(codes: Any, *, named: bool = True, classes: int | None = None) -> Votes:
    table = np.array(codes)
    size = classes or int(table.max()) + 1
    names = tuple(f"r{place}" for place in range(table.shape[1])) if named else ()
    return Votes("votes", table, names, tuple("abcdefgh"[:size]))


def fit(votes: Votes, model: Model, weights: Floats | None = None) -> tuple[Fit, Patterns]:
    patterns = vote_patterns(votes, model)
    rows = np.bincount(patterns.of_row, weights, len(patterns.counts))[None].astype(np.float64)
    return fit_raters(patterns, rows, model), patterns


def slow_em(codes: Ints, size: int, rounds: int = 3000) -> tuple[list[float], list[list[list[float]]]]:
    """Dawid & Skene's equations in loops, with the same pseudo-votes."""
    rows = [[(rater, label) for rater, label in enumerate(row) if label != MISSING] for row in codes.tolist()]
    belief = [[sum(label == k for _, label in row) / len(row) for k in range(size)] for row in rows]
    agree = sum(sum(belief[i][label] for _, label in row) for i, row in enumerate(rows)) / sum(map(len, rows))
    correct = min(0.99, max(0.5, agree))
    shares: list[float] = []
    matrices: list[list[list[float]]] = []
    for _ in range(rounds):
        shares = [(sum(each[k] for each in belief) + 1 / size) / (len(rows) + 1) for k in range(size)]
        matrices = []
        for rater in range(codes.shape[1]):
            matrix = []
            for k in range(size):
                line = [PSEUDO_VOTES * (correct if j == k else (1 - correct) / (size - 1)) for j in range(size)]
                for i, row in enumerate(rows):
                    for other, label in row:
                        line[label] += belief[i][k] * (other == rater)
                matrix.append([value / sum(line) for value in line])
            matrices.append(matrix)
        for i, row in enumerate(rows):
            odds = [shares[k] * math.prod(matrices[rater][k][label] for rater, label in row) for k in range(size)]
            belief[i] = [value / sum(odds) for value in odds]
    return shares, matrices


def test_em_equals_the_equations_in_loops() -> None:
    rng = np.random.default_rng(5)
    truth = rng.choice(3, size=60, p=[0.5, 0.3, 0.2])
    codes = some_votes(truth, [0.3 / 3 + 0.7 * np.eye(3)] * 4, rng)
    codes[rng.random(codes.shape) < 0.2] = MISSING
    codes = codes[(codes != MISSING).any(axis=1)]
    result, _ = fit(votes_of(codes, classes=3), "raters")
    shares, matrices = slow_em(codes, 3, 600)
    assert result.converged.all()
    np.testing.assert_allclose(result.shares[0], shares, atol=1e-4)
    np.testing.assert_allclose(result.matrices[0], matrices, atol=1e-3)


def test_known_matrices_are_recovered() -> None:
    rng = np.random.default_rng(0)
    matrices = [
        np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.05, 0.15, 0.8]]),
        np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.1, 0.6]]),
        np.array([[0.95, 0.0, 0.05], [0.3, 0.6, 0.1], [0.1, 0.0, 0.9]]),
    ]
    truth = rng.choice(3, size=20_000, p=[0.6, 0.3, 0.1])
    result, _ = fit(votes_of(some_votes(truth, matrices, rng)), "raters")
    np.testing.assert_allclose(result.shares[0], [0.6, 0.3, 0.1], atol=0.02)
    np.testing.assert_allclose(result.matrices[0], matrices, atol=0.05)


def test_one_coin_of_two_raters_has_the_closed_form() -> None:
    # Of two classes raters agree with probability a^2 + (1 - a)^2. The classes must not be equally frequent.
    rng = np.random.default_rng(1)
    truth = (rng.random(50_000) < 0.2).astype(np.int64)
    codes = np.column_stack([np.where(rng.random(50_000) < 0.85, truth, 1 - truth) for _ in range(2)])
    agree = float((codes[:, 0] == codes[:, 1]).mean())
    result, _ = fit(votes_of(codes), "one-coin")
    assert result.accuracies[0, 0] == pytest.approx((1 + math.sqrt(2 * agree - 1)) / 2, abs=0.003)
    assert result.shares[0, 1] == pytest.approx(0.2, abs=0.01)


def test_votes_without_names_share_a_matrix_whatever_their_order() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(2, size=300)
    codes = some_votes(truth, [0.2 / 2 + 0.8 * np.eye(2)] * 3, rng)
    mixed = rng.permuted(codes, axis=1)
    results = [fit(votes_of(each, named=False), "shared")[0] for each in (codes, mixed)]
    np.testing.assert_allclose(results[0].matrices, results[1].matrices)
    assert results[0].matrices.shape == (1, 1, 2, 2)


def test_weights_act_as_repeated_rows() -> None:
    rng = np.random.default_rng(3)
    codes = some_votes(rng.integers(2, size=80), [0.3 / 2 + 0.7 * np.eye(2)] * 3, rng)
    times = rng.integers(1, 4, size=80)
    weighted, _ = fit(votes_of(codes), "raters", times.astype(np.float64))
    repeated, _ = fit(votes_of(np.repeat(codes, times, axis=0)), "raters")
    np.testing.assert_allclose(weighted.matrices, repeated.matrices, atol=1e-4)


def test_classes_are_matched_to_labels() -> None:
    rng = np.random.default_rng(4)
    truth = rng.choice(3, size=400, p=[0.5, 0.3, 0.2])
    result, _ = fit(votes_of(some_votes(truth, [0.2 / 3 + 0.8 * np.eye(3)] * 3, rng)), "raters")
    order = [2, 0, 1]
    arrays = result.shares[:, order], result.matrices[:, :, order], result.posteriors[:, :, order]
    switched = Fit(*arrays, result.converged)
    matched, changed = match_classes(switched)
    assert changed
    assert not match_classes(result)[1]
    np.testing.assert_array_equal(matched.matrices, result.matrices)
    np.testing.assert_array_equal(matched.shares, result.shares)


def test_a_rater_without_errors_has_no_probability_of_zero() -> None:
    codes = np.array([[0, 0, 0]] * 30 + [[1, 1, 1]] * 10)
    result, _ = fit(votes_of(codes), "raters")
    assert (result.matrices > 0).all()
    assert (result.accuracies > 0.97).all()
    model = rater_model(votes_of(codes), codes[:, 0], bootstrap=QUICK)
    assert model is not None
    # Wilson's lower limit of 40 of 40 is 1 / (1 + 1.96^2 / 40) = 0.912.
    assert model.llm.estimate == pytest.approx(1, abs=0.005)
    assert model.llm.low == pytest.approx(0.912, abs=0.01)


@pytest.mark.parametrize("n_raters", [3, 5])
def test_accuracy_of_the_llm_is_corrected_for_human_errors(n_raters: int) -> None:
    rng = np.random.default_rng(6)
    truth = rng.choice(2, size=20_000, p=[0.7, 0.3])
    codes = some_votes(truth, [0.5 / 2 + 0.5 * np.eye(2)] * n_raters, rng)
    llm = some_votes(truth, [0.2 / 2 + 0.8 * np.eye(2)], rng)[:, 0]
    llm[rng.random(len(llm)) < 0.1] = MISSING
    model = rater_model(votes_of(codes), llm, bootstrap=QUICK)
    assert model is not None
    # Correct in 0.9 of the 90% with a label; against a majority that errs often it looks worse.
    assert model.llm.estimate == pytest.approx(0.81, abs=0.02)
    assert model.llm.low < 0.81 < model.llm.high
    assert model.llm_majority.estimate < 0.76


def test_labels_of_the_llm_are_evidence_only_if_its_errors_are_independent() -> None:
    # All rows have the same pattern of votes: without more evidence, agreement is what the votes say.
    votes = votes_of([[0, 0, 1]] * 4, classes=2)
    patterns = vote_patterns(votes, "raters", np.array([0, 0, 1, 1]))
    believed = np.broadcast_to(np.array([0.8, 0.2]), (1, 2, 2))
    weights = np.array([[2.0, 2.0]])
    naive = llm_accuracy(patterns, np.array([0, 1]), believed, weights, independent=False)
    assert naive[0] == pytest.approx((0.8 + 0.2) / 2)


def test_clusters_widen_intervals_and_weights_shift_estimates() -> None:
    rng = np.random.default_rng(7)
    truth = rng.integers(2, size=200)
    codes = some_votes(truth, [0.3 / 2 + 0.7 * np.eye(2)] * 3, rng)
    hard = np.repeat(rng.random(20) < 0.5, 10)
    llm = np.where(hard & (rng.random(200) < 0.6), 1 - truth, truth)
    votes = votes_of(codes)
    plain = rater_model(votes, llm, bootstrap=QUICK)
    clustered = rater_model(votes, llm, SamplingDesign(clusters=np.repeat(np.arange(20), 10)), QUICK)
    weighted = rater_model(votes, llm, SamplingDesign(weights=np.where(hard, 10.0, 1.0)), QUICK)
    assert plain is not None
    assert clustered is not None
    assert weighted is not None
    assert clustered.llm.high - clustered.llm.low > plain.llm.high - plain.llm.low
    assert weighted.llm.estimate < plain.llm.estimate - 0.1


def test_models_that_votes_identify() -> None:
    assert default_model(votes_of([[0, MISSING], [MISSING, 1]])) is None
    assert default_model(votes_of([[0, 1, MISSING]])) == "one-coin"
    assert default_model(votes_of([[0, 1, 1]])) == "raters"
    assert default_model(votes_of([[0, 1, 1]], named=False)) == "shared"
    assert rater_model(votes_of([[0, 0, 0]] * 5, classes=2), np.zeros(5, dtype=np.int64)) is None


@pytest.mark.parametrize(("rows", "noted"), [(79, True), (80, False)])
def test_few_rows_for_the_classes_are_noted(rows: int, noted: bool) -> None:
    # 20 rows for each of the four cells of a matrix.
    codes = np.array([[0, 0, 0], [1, 1, 1]] * 40)[:rows]
    model = rater_model(votes_of(codes), codes[:, 0], bootstrap=QUICK)
    assert model is not None
    assert any("too low" in note for note in model.notes) == noted


def test_raters_at_chance_are_noted() -> None:
    rng = np.random.default_rng(8)
    model = rater_model(votes_of(rng.integers(2, size=(300, 3))), rng.integers(2, size=300), bootstrap=QUICK)
    assert model is not None
    assert model.notes or max(each.high - each.low for each in model.raters.values()) > 0.2
