from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.agreement.multilabel import multilabel_agreement
from hf_synthlabels.statistics.intervals import wilson
from tests.statistics.common import estimates

NAMES = ("a", "b", "c")
SETS = st.frozensets(st.sampled_from(NAMES))
FEW = BootstrapConfig(resamples=20)

# Correct as a set: rows 0 and 3. Row 4 has no prediction.
HUMAN = [{"a"}, {"a", "b"}, {"b"}, set(), {"a"}]
LLM = [{"a"}, {"a"}, {"b", "a"}, set(), None]


def test_scores_of_five_rows_by_hand() -> None:
    agreement = multilabel_agreement(HUMAN, LLM, NAMES, FEW)
    # a: human 3, predicted 3, both 2; b: human 2, predicted 1, both 1; c never occurs.
    f1_a, f1_b = 2 * 2 / 6, 2 * 1 / 3
    expected = {
        "coverage": 4 / 5,
        "accuracy": 2 / 5,
        "accuracy_answered": 2 / 4,
        "micro_f1": 2 * 3 / (5 + 4),
        "macro_f1": (f1_a + f1_b) / 2,
        "weighted_f1": (3 * f1_a + 2 * f1_b) / 5,
        # 1, 1/2, 1/2, 1 for two empty sets, 0 without a prediction.
        "jaccard": 3 / 5,
        # Wrong names: 0, 1, 1, 0, and all 3 without a prediction.
        "hamming_loss": 5 / 15,
    }
    assert list(agreement.scores) == list(expected)
    assert estimates(agreement.scores) == pytest.approx(expected)
    a, b, c = agreement.classes
    assert (a.support, a.predicted, a.precision, a.recall) == (3, 3, wilson(2, 3), wilson(2, 3))
    assert (b.support, b.predicted, b.precision, b.recall) == (2, 1, wilson(1, 1), wilson(1, 2))
    assert (c.support, c.predicted) == (0, 0)
    assert math.isnan(c.f1.estimate)
    # b is missed in row 1 of its two rows, a is added in row 2 of its three; row 4 is not answered.
    assert agreement.breakdowns[0].rows == (("missed", "b", 1, 2), ("added", "a", 1, 3))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(SETS, SETS), min_size=1, max_size=40))
def test_scores_of_answered_rows_match_scikit_learn(rows: list[tuple[frozenset[str], frozenset[str]]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    human, llm = [row[0] for row in rows], [row[1] for row in rows]
    ours = estimates(multilabel_agreement(human, llm, NAMES, BootstrapConfig(resamples=1)).scores)
    truth, predicted = (np.array([[name in row for name in NAMES] for row in side], dtype=int) for side in (human, llm))
    assert ours["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert ours["hamming_loss"] == pytest.approx(metrics.hamming_loss(truth, predicted))
    jaccard = metrics.jaccard_score(truth, predicted, average="samples", zero_division=1)
    assert ours["jaccard"] == pytest.approx(jaccard)
    occurring = [k for k in range(3) if truth[:, k].any() or predicted[:, k].any()]
    for average, defined in (("micro", bool(occurring)), ("macro", bool(occurring)), ("weighted", truth.any())):
        score = ours[f"{average}_f1"]
        if not defined:
            assert math.isnan(score)
            continue
        labels = occurring if average != "weighted" else None
        theirs = metrics.f1_score(truth, predicted, labels=labels, average=average, zero_division=0)
        assert score == pytest.approx(theirs)


def test_a_missing_prediction_only_lowers_scores() -> None:
    rng = np.random.default_rng(0)
    human = [{name for name in NAMES if rng.random() < 0.4} for _ in range(60)]
    llm: list[set[str] | None] = [{name for name in row if rng.random() < 0.9} for row in human]
    whole, fewer = (
        estimates(multilabel_agreement(human, labels, NAMES, FEW).scores) for labels in (llm, [None, *llm[1:]])
    )
    assert all(fewer[name] <= whole[name] for name in ("accuracy", "micro_f1", "jaccard"))
    assert fewer["hamming_loss"] >= whole["hamming_loss"]


def test_few_correct_rows_do_not_give_certainty() -> None:
    scores = multilabel_agreement([{"a"}, {"b", "c"}] * 15, [{"a"}, {"b", "c"}] * 15, NAMES).scores
    for name in ("micro_f1", "macro_f1", "weighted_f1", "jaccard"):
        assert scores[name].estimate == scores[name].high == 1
        assert scores[name].low < 0.93
    assert scores["hamming_loss"].high > 0.05
    # Of empty sets: with at least one wrong name in a wrong row, Wilson's upper limit 3.84 / (n + 3.84) of rows.
    loss = multilabel_agreement([set()] * 10, [set()] * 10, NAMES).scores["hamming_loss"]
    assert loss.estimate == 0
    assert loss.high == pytest.approx(wilson(0, 10).high / len(NAMES), abs=0.03)


def test_no_rows_are_undefined_and_unknown_names_are_refused() -> None:
    agreement = multilabel_agreement([], [], NAMES, FEW)
    assert all(math.isnan(estimate) for estimate in estimates(agreement.scores).values())
    assert agreement.breakdowns == ()
    with pytest.raises(DataError, match="`human` has 1 rows and `llm` 2"):
        multilabel_agreement([{"a"}], [{"a"}, None], NAMES)
    with pytest.raises(DataError, match="`llm` has 'z' in row 1"):
        multilabel_agreement([{"a"}, {"a"}], [{"a"}, {"z"}], NAMES)
