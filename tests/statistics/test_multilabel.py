from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.agreement.classification import KindAgreement
from hf_synthlabels.statistics.agreement.multilabel import multilabel_agreement
from hf_synthlabels.statistics.intervals import wilson

NAMES = ("a", "b", "c")
SETS = st.frozensets(st.sampled_from(NAMES))
FEW = BootstrapConfig(resamples=20)

# Right as a set: rows 0 and 3. Row 4 has no prediction.
HUMAN = [{"a"}, {"a", "b"}, {"b"}, set(), {"a"}]
LLM = [{"a"}, {"a"}, {"b", "a"}, set(), None]


def test_sets_that_were_left_empty_do_not_promise_a_loss_of_zero() -> None:
    # With n rows and one wrong name at least in a wrong one, as Wilson's upper end 3.84 / (n + 3.84) of rows.
    loss = multilabel_agreement([set()] * 10, [set()] * 10, NAMES).scores["hamming_loss"]
    assert loss.estimate == 0
    assert loss.high == pytest.approx(wilson(0, 10).high / len(NAMES), abs=0.03)


def scores(agreement: KindAgreement) -> dict[str, float]:
    return {name: interval.estimate for name, interval in agreement.scores.items()}


def test_five_rows_by_hand() -> None:
    found = multilabel_agreement(HUMAN, LLM, NAMES, FEW)
    estimates = scores(found)
    assert list(estimates) == [
        *("coverage", "accuracy", "accuracy_answered"),
        *("micro_f1", "macro_f1", "weighted_f1", "jaccard", "hamming_loss"),
    ]
    assert estimates["coverage"] == 4 / 5
    assert estimates["accuracy"] == 2 / 5
    assert estimates["accuracy_answered"] == 2 / 4
    # a: human 3, predicted 3, both 2; b: human 2, predicted 1, both 1; c never occurs.
    f1_a, f1_b = 2 * 2 / 6, 2 * 1 / 3
    assert estimates["micro_f1"] == pytest.approx(2 * 3 / (5 + 4))
    assert estimates["macro_f1"] == pytest.approx((f1_a + f1_b) / 2)
    assert estimates["weighted_f1"] == pytest.approx((3 * f1_a + 2 * f1_b) / 5)
    # Jaccard: 1, 1/2, 1/2, 1 for two empty sets, 0 without a prediction.
    assert estimates["jaccard"] == pytest.approx(3 / 5)
    # Wrong names: 0, 1, 1, 0, and all 3 without a prediction.
    assert estimates["hamming_loss"] == pytest.approx(5 / 15)


def test_names_by_hand() -> None:
    a, b, c = multilabel_agreement(HUMAN, LLM, NAMES, FEW).classes
    assert (a.support, a.predicted) == (3, 3)
    assert (a.precision, a.recall) == (wilson(2, 3), wilson(2, 3))
    assert (b.support, b.predicted) == (2, 1)
    assert (b.precision, b.recall) == (wilson(1, 1), wilson(1, 2))
    assert (c.support, c.predicted) == (0, 0)
    assert math.isnan(c.f1.estimate)


def test_mistakes_count_answered_rows_only() -> None:
    (table,) = multilabel_agreement(HUMAN, LLM, NAMES, FEW).breakdowns
    # b is missed in row 1 of its two rows, a is added in row 2 of its three; row 4 is told by the coverage.
    assert table.rows == (("missed", "b", 1, 2), ("added", "a", 1, 3))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(SETS, SETS), min_size=1, max_size=40))
def test_scores_of_answered_rows_match_scikit_learn(rows: list[tuple[frozenset[str], frozenset[str]]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    human, llm = [row[0] for row in rows], [row[1] for row in rows]
    ours = scores(multilabel_agreement(human, llm, NAMES, BootstrapConfig(resamples=1)))
    truth, found = (np.array([[name in row for name in NAMES] for row in side], dtype=int) for side in (human, llm))
    assert ours["accuracy"] == pytest.approx(metrics.accuracy_score(truth, found))
    assert ours["hamming_loss"] == pytest.approx(metrics.hamming_loss(truth, found))
    jaccard = metrics.jaccard_score(truth, found, average="samples", zero_division=1)
    assert ours["jaccard"] == pytest.approx(jaccard)
    occurring = [k for k in range(3) if truth[:, k].any() or found[:, k].any()]
    if not occurring:
        assert math.isnan(ours["macro_f1"])
        assert math.isnan(ours["micro_f1"])
        return
    for average in ("micro", "macro"):
        theirs = metrics.f1_score(truth, found, labels=occurring, average=average, zero_division=0)
        assert ours[f"{average}_f1"] == pytest.approx(theirs)
    if truth.any():
        theirs = metrics.f1_score(truth, found, average="weighted", zero_division=0)
        assert ours["weighted_f1"] == pytest.approx(theirs)
    else:
        assert math.isnan(ours["weighted_f1"])


def test_rows_without_a_prediction_only_ever_lower_the_scores() -> None:
    rng = np.random.default_rng(0)
    human = [{name for name in NAMES if rng.random() < 0.4} for _ in range(60)]
    llm: list[set[str] | None] = [{name for name in row if rng.random() < 0.9} for row in human]
    whole = scores(multilabel_agreement(human, llm, NAMES, FEW))
    fewer = scores(multilabel_agreement(human, [None, *llm[1:]], NAMES, FEW))
    for name in ("accuracy", "micro_f1", "jaccard"):
        assert fewer[name] <= whole[name]
    assert fewer["hamming_loss"] >= whole["hamming_loss"]


def test_thirty_right_rows_do_not_promise_perfection() -> None:
    found = multilabel_agreement([{"a"}, {"b", "c"}] * 15, [{"a"}, {"b", "c"}] * 15, NAMES).scores
    for name in ("micro_f1", "macro_f1", "weighted_f1", "jaccard"):
        assert found[name].estimate == found[name].high == 1
        assert found[name].low < 0.93
    assert found["hamming_loss"].high > 0.05


def test_no_rows_is_undefined() -> None:
    found = multilabel_agreement([], [], NAMES, FEW)
    assert all(math.isnan(estimate) for estimate in scores(found).values())
    assert found.breakdowns == ()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="`human` has 1 rows and `llm` 2"):
        multilabel_agreement([{"a"}], [{"a"}, None], NAMES)
    with pytest.raises(DataError, match="`llm` has 'z' in row 1, which is not in `names`"):
        multilabel_agreement([{"a"}, {"a"}], [{"a"}, {"z"}], NAMES)
