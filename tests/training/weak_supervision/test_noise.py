from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
from datasets import Dataset

from hf_synthlabels.errors import ConfigError, DataError, MissingExtraError
from hf_synthlabels.training import StudentConfig
from hf_synthlabels.training.weak_supervision import noise
from hf_synthlabels.training.weak_supervision.noise import (
    NoiseMethod,
    errors_found,
    out_of_fold,
    rank_noise,
    review_columns,
)

NAMES = ["film", "sport"]
Config = Callable[..., StudentConfig]
Toy = Callable[..., Dataset]

PROBS = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [np.nan, np.nan], [0.6, 0.4]])
CODES = [0, 0, 1, -1, 1]


def test_worst_margin_comes_first() -> None:
    ranking = rank_noise(CODES, PROBS)
    # (1 + p - other) / 2: .9, .2, .7, none, .4.
    np.testing.assert_allclose(ranking.quality, [0.9, 0.2, 0.7, np.nan, 0.4])
    assert ranking.order.tolist() == [1, 4, 2, 0]
    assert ranking.suggested.tolist() == [0, 1, 1, -1, 0]
    # Rows of equal quality stay in row order.
    assert rank_noise([0, 0, 0], np.array([[0.5, 0.5]] * 3)).order.tolist() == [0, 1, 2]
    # Reviewed rows are not ranked.
    ranking = rank_noise(CODES, PROBS, reviewed=np.array([False, True, False, False, False]))
    assert ranking.order.tolist() == [4, 2, 0]
    assert ranking.codes.tolist() == [0, -1, 1, -1, 1]


def test_margin_is_cleanlabs_normalized_margin() -> None:
    rank = pytest.importorskip("cleanlab.rank")
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(4), 50)
    codes = rng.integers(4, size=50)
    theirs = rank.get_label_quality_scores(codes, probs, method="normalized_margin")
    np.testing.assert_allclose(rank_noise(codes, probs).quality, theirs, atol=1e-9)


def test_every_method_ranks_a_plain_error_first() -> None:
    pytest.importorskip("cleanlab")
    for method in get_args(NoiseMethod):
        ranking = rank_noise(CODES, PROBS, method)
        assert ranking.order[0] == 1
        assert ranking.method == method
        known = ranking.quality[ranking.codes >= 0]
        assert ((known >= 0) & (known <= 1)).all()


def test_absent_cleanlab_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "cleanlab"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    with pytest.raises(MissingExtraError, match=r"hf-synthlabels\[noise\]"):
        rank_noise(CODES, PROBS, "self_confidence")


def test_columns_for_review_keep_the_rows_in_place() -> None:
    data = Dataset.from_dict({"text": list("abcde"), "llm": ["film", "film", "sport", None, "sport"]})
    ranking = rank_noise(CODES, PROBS)
    # A second time the columns are written anew.
    found = review_columns(review_columns(data, ranking, NAMES, "llm"), ranking, NAMES, "llm")
    assert found["llm_review_rank"][:] == [4, 1, 3, None, 2]
    assert found["llm_suggested"][:] == ["film", "sport", "sport", None, "film"]
    assert found["llm_quality"][:] == pytest.approx([0.9, 0.2, 0.7, None, 0.4])
    assert found["text"][:] == data["text"][:]
    with pytest.raises(DataError, match="`ranking`"):
        review_columns(data.select(range(4)), ranking, NAMES, "llm")


def test_errors_are_counted_among_the_first_rows() -> None:
    ranking = rank_noise(CODES, PROBS)
    # In the order 1, 4, 2, 0 the labels 0, 1, 1, 0 are wrong, right, wrong, right.
    one, three, all_ = errors_found(ranking, [0, 1, 0, 1, 1], [1, 3, 99])
    assert (one.k, one.wrong.estimate, one.found.estimate, one.by_chance) == (1, 1, 0.5, 0.5)
    assert three.wrong.estimate == pytest.approx(2 / 3)
    assert (three.wrong.n, three.found.estimate) == (3, 1)
    assert (all_.k, all_.found.estimate, all_.by_chance) == (4, 1, 2)
    # A row without a human label is passed over.
    (first,) = errors_found(ranking, [0, -1, 0, 1, 1], [1])
    assert (first.wrong.estimate, first.found.n) == (0, 1)

    # Labels that are all right have no errors to find.
    (none,) = errors_found(ranking, [0, 0, 1, 1, 1], [2])
    assert none.wrong.estimate == 0
    assert np.isnan(none.found.estimate)


def test_invalid_arguments_are_errors() -> None:
    ranking = rank_noise(CODES, PROBS)
    cases: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: rank_noise([0], PROBS), DataError, "`codes`"),
        (lambda: rank_noise([2, 0, 0, 0, 0], PROBS), DataError, "`codes`"),
        (lambda: rank_noise([-1] * 5, PROBS), DataError, "`codes`"),
        (lambda: rank_noise(CODES, PROBS, "entropy"), ConfigError, "`method`"),  # type: ignore[arg-type]
        (lambda: errors_found(ranking, CODES, [0]), ConfigError, "`ks`"),
        (lambda: errors_found(ranking, [0], [1]), DataError, "`human`"),
        (lambda: errors_found(ranking, [-1] * 5, [1]), DataError, "`human`"),
    ]
    for call, error, field in cases:
        with pytest.raises(error, match=field):
            call()


def test_folds_keep_equal_texts_together_and_labels_apart(config: Config) -> None:
    texts = [f"film {row % 30}" for row in range(60)]
    data = Dataset.from_dict({"text": texts, "label": NAMES * 30})
    rows = np.arange(60)
    parts = noise._assign_folds(data, config(), rows, rows % 2, 3, 0)
    assert [set(parts[[row, row + 30]]) for row in range(30)] == [{int(parts[row])} for row in range(30)]
    assert np.bincount(parts).tolist() == [20, 20, 20]
    for fold in range(3):
        assert np.mean(rows[parts == fold] % 2) == pytest.approx(0.5)
    np.testing.assert_array_equal(parts, noise._assign_folds(data, config(), rows, rows % 2, 3, 0))
    assert (parts != noise._assign_folds(data, config(), rows, rows % 2, 3, 1)).any()


def test_few_rows_or_folds_are_told(config: Config) -> None:
    data = Dataset.from_dict({"text": ["a", "a", "b"], "label": ["film", "sport", "film"]})
    with pytest.raises(ConfigError, match="`folds`"):
        out_of_fold(config(), data, NAMES, folds=1)
    with pytest.raises(DataError, match="`folds`"):
        out_of_fold(config(), data, NAMES, folds=3)


def test_turned_labels_are_found_by_students_that_did_not_see_them(config: Config, toy: Toy) -> None:
    data = toy(180)
    human = np.array(data["label"])
    turned = np.random.default_rng(0).permutation(180)[:18]
    codes = human.copy()
    codes[turned] = 1 - codes[turned]
    labels: list[str | None] = [NAMES[code] for code in codes]
    labels[0] = None
    rows = data.remove_columns("label").add_column("label", labels)
    chosen = config(num_train_epochs=10, learning_rate=2e-3)
    probs = out_of_fold(chosen, rows, NAMES, folds=3)
    assert np.isnan(probs[0]).all()
    assert np.isfinite(probs[1:]).all()
    wrong = sorted(set(turned.tolist()) - {0})
    known = np.where(np.arange(180) == 0, -1, codes)
    (found,) = errors_found(rank_noise(known, probs), human, [len(wrong)])
    assert found.found.estimate >= 0.8
    assert found.by_chance < 3
