"""Several judges: how their scores are folded, who is left out, and what weights are worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from hf_synthlabels.clients import Price, ScriptedClient
from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.judging import Judge, Jury, measured_weights, read_rubric
from hf_synthlabels.judging.jury import combined_score

FIVE = read_rubric("score_1_5")
TEN = read_rubric({"name": "ten", "instructions": "?", "scale": {"low": 0, "high": 10}})


def test_reducers(subtests: pytest.Subtests) -> None:
    cases: list[tuple[list[float | None], Any, Any, float | None]] = [
        ([1, 2, 6], "mean", None, 3),
        ([1, 2, 6], "median", None, 2),
        ([1, 2, 6, 3], "median", None, 2.5),
        ([1, 2, 2], "majority", None, 2),
        ([1, 1, 2, 2], "majority", None, None),
        ([1, None, None], "majority", None, 1),
        ([1, None, 3], "mean", None, 2),
        ([None, None], "mean", None, None),
        ([1, 5], "weighted", [0.75, 0.25], 2),
        ([1, None, 5], "weighted", [0.5, 0.25, 0.25], (0.5 * 1 + 0.25 * 5) / 0.75),
        ([None, 5], "weighted", [1.0, 0.0], None),
    ]
    for scores, reducer, weights, expected in cases:
        with subtests.test(repr((scores, reducer, weights, expected))):
            found = combined_score(scores, reducer, weights)
            assert found == pytest.approx(expected)


def jury(*replies: list[str], rubrics: Any = (FIVE, FIVE, FIVE), **options: Any) -> Jury:
    judges = {
        f"j{place}": Judge(rubric, ScriptedClient(list(said)), price=Price(1, 1))
        for place, (rubric, said) in enumerate(zip(rubrics, replies, strict=False))
    }
    return Jury(judges, **options)


def test_a_members_unscored_item_is_n_unscored_and_counted() -> None:
    found = jury(["1", "2", "?"], ["3", "?", "?"], ["5", "4", "?"]).judge(["a", "b", "c"])
    assert [one.score for one in found.judged.judgments] == [3, 3, None]
    assert [one.samples for one in found.judged.judgments] == [(1, 3, 5), (2, None, 4), (None, None, None)]
    assert [one.status for one in found.judged.judgments] == ["scored", "scored", "unparsed"]
    assert found.n_unscored == {"j0": 1, "j1": 2, "j2": 1}
    assert found.judged.summary.coverage == pytest.approx(2 / 3)
    assert found.judged.stats.requests == 9
    assert found.judged.summary.cost_usd == 0
    assert set(found.members) == {"j0", "j1", "j2"}


def test_scales_are_brought_to_the_first_members() -> None:
    # 10 of 0 to 10 is 5 of 1 to 5, and 5 is 3.
    found = jury(["5", "1"], ["10", "5"], rubrics=(FIVE, TEN)).judge(["a", "b"])
    assert [one.score for one in found.judged.judgments] == [5, 2]


def test_a_jury_without_a_majority_is_split() -> None:
    found = jury(["1", "2"], ["2", "2"], ["3", "5"], reducer="majority").judge(["a", "b"])
    assert [(one.status, one.score) for one in found.judged.judgments] == [("split", None), ("scored", 2)]
    assert found.judged.summary.n_unscored == {"split": 1}


def test_wrong_juries_are_told(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"reducer": "mode"}, "`reducer` is 'mode'"),
        ({"reducer": "weighted"}, "`weights` belong to the reducer 'weighted'"),
        ({"weights": {"j0": 1}}, "`weights` belong to the reducer 'weighted'"),
        ({"reducer": "weighted", "weights": {"j0": 1}}, r"`weights` are for"),
        ({"reducer": "weighted", "weights": {"j0": 1, "j1": -1}}, "`weights` are"),
    ]
    for options, words in cases:
        with subtests.test(repr((options, words))):
            with pytest.raises(ConfigError) as caught:
                jury([], [], **options)
            assert words in str(caught.value)


def test_no_jury_compares() -> None:
    with pytest.raises(ConfigError, match="`judges` is empty"):
        Jury({})
    with pytest.raises(ConfigError, match="`judges`"):
        Jury({"a": Judge(read_rubric("preference"), ScriptedClient({}))})


def drawn(n: int = 300) -> tuple[dict[str, list[float | None]], list[float | None]]:
    """Human scores, a good judge of them, a poor one and one that rolls dice."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=n)
    judges = {
        "good": truth + 0.4 * rng.normal(size=n),
        "poor": truth + 2.0 * rng.normal(size=n),
        "dice": 3.0 * rng.normal(size=n),
    }
    return {name: column.tolist() for name, column in judges.items()}, truth.tolist()


def test_weights_follow_validity_and_are_worth_more_on_held_out_rows() -> None:
    scores, human = drawn()
    found = measured_weights(scores, human)
    assert found.weights["good"] > 0.8 > 0.1 > found.weights["dice"]
    assert sum(found.weights.values()) == pytest.approx(1)
    assert found.validity > found.equal_validity + 0.1
    assert not found.kept_equal
    assert found.member_validity["good"] == pytest.approx(stats.spearmanr(scores["good"], human).statistic)
    assert measured_weights(scores, human) == found


def test_equal_weights_are_kept_where_weighing_is_no_better() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(size=40)
    same = (truth + rng.normal(size=40)).tolist()
    scores = {f"j{place}": same for place in range(8)}
    found = measured_weights(scores, truth.tolist())
    assert found.kept_equal
    assert set(found.weights.values()) == {1 / 8}
    assert found.validity == found.equal_validity


def test_incomplete_rows_are_dropped_from_the_weights() -> None:
    scores, human = drawn(60)
    scores["good"][0], human[1] = None, float("nan")
    assert measured_weights(scores, human).n == 58


def test_too_few_rows_are_told() -> None:
    scores, human = drawn(10)
    with pytest.raises(DataError, match="`human`"):
        measured_weights(scores, human)
    with pytest.raises(DataError, match="`scores` of 'good'"):
        measured_weights(scores, human[:9])
    with pytest.raises(ConfigError, match="`folds` is 1"):
        measured_weights(scores, human, folds=1)
