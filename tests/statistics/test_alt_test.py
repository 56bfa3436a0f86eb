from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import AltTest, BootstrapConfig, alternative_annotator_test

FEW = BootstrapConfig(resamples=200)

# Ninety items of four annotators, of whom each is worse than the one before, and a judge: by formulas, so that any
# program can have the same. The second annotator has gaps, the judge two.
I = np.arange(90)  # noqa: E741
TRUTH = (I * I) % 5 + 1


def wrong(a: int, b: int, often: int) -> NDArray[np.int64]:
    return ((I * a + I * I // 3) % b < often) * (1 + I % 2)


PEOPLE = np.stack(
    [(TRUTH + wrong(*how) - 1) % 5 + 1 for how in ((3, 10, 2), (7, 11, 4), (9, 13, 5), (5, 12, 8))], axis=1
).astype(float)
PEOPLE[I % 13 == 0, 1] = np.nan
JUDGE = ((TRUTH + wrong(11, 14, 4) - 1) % 5 + 1).astype(float)
JUDGE[[4, 50]] = np.nan
GRADES = PEOPLE + np.stack([(I * (k + 2)) % 3 / 2 for k in range(4)], axis=1)
GRADE = JUDGE + (I % 4) / 2

# What the authors' program gives (alt_test of nitaytech/AltTest with q_fdr=.05): winning rate, average advantage, and
# the p of each annotator, before they are adjusted.
ADVANTAGE = [0.8068181818181818, 0.7654320987654321, 0.7954545454545454, 0.8181818181818182]
AUTHORS = {
    0.0: (0.0, [0.8704119204760821, 0.7519411165406281, 0.5665506498294316, 0.0191324592432766]),
    0.1: (0.25, [0.2987236460215185, 0.24272156485812424, 0.0966301153671324, 0.0004677621708141825]),
    0.2: (1.0, [0.015383532763378515, 0.02011079428948064, 0.003234399912983289, 3.9935775112658655e-06]),
}
GRADED = {
    0.0: (
        0.0,
        [0.5227272727272727, 0.6049382716049383, 0.5568181818181818, 0.5909090909090909],
        [0.9870707170603449, 0.5, 0.8594429287017742, 0.5468346593909068],
    ),
    0.1: (
        0.0,
        [0.5227272727272727, 0.6049382716049383, 0.5568181818181818, 0.5909090909090909],
        [0.8751404334495234, 0.1586692557542035, 0.5095864885179278, 0.17993138576639253],
    ),
    0.2: (
        0.0,
        [0.5227272727272727, 0.6049382716049383, 0.5568181818181818, 0.5909090909090909],
        [0.5200330561849735, 0.02376814612241288, 0.15145433923629897, 0.0266583699061082],
    ),
}


def adjusted(p_values: list[float]) -> list[float]:
    """Benjamini and Yekutieli's p values by their definition."""
    m = len(p_values)
    harmonic = sum(1 / k for k in range(1, m + 1))
    order = sorted(range(m), key=p_values.__getitem__)
    out = [0.0] * m
    least = 1.0
    for rank in range(m, 0, -1):
        least = min(least, p_values[order[rank - 1]] * m * harmonic / rank)
        out[order[rank - 1]] = least
    return out


@pytest.mark.parametrize("epsilon", AUTHORS)
def test_categorical_matches_the_authors_program(epsilon: float) -> None:
    rate, p_values = AUTHORS[epsilon]
    found = alternative_annotator_test(PEOPLE, JUDGE, epsilon=epsilon, bootstrap=FEW)
    assert found.winning_rate == rate
    assert found.passes == (rate >= 0.5)
    assert [one.advantage.estimate for one in found.annotators] == pytest.approx(ADVANTAGE, abs=1e-9)
    assert found.advantage.estimate == pytest.approx(np.mean(ADVANTAGE), abs=1e-9)
    assert [one.p_value for one in found.annotators] == pytest.approx(adjusted(p_values), abs=1e-9)
    assert [one.advantage.n for one in found.annotators] == [88, 81, 88, 88]
    assert (found.n_unscored, found.notes) == (2, ())


@pytest.mark.parametrize("epsilon", GRADED)
def test_graded_matches_the_authors_program(epsilon: float) -> None:
    rate, advantages, p_values = GRADED[epsilon]
    found = alternative_annotator_test(GRADES, GRADE, kind="graded", epsilon=epsilon, bootstrap=FEW)
    assert found.winning_rate == rate
    assert [one.advantage.estimate for one in found.annotators] == pytest.approx(advantages, abs=1e-9)
    assert [one.p_value for one in found.annotators] == pytest.approx(adjusted(p_values), abs=1e-9)


def test_names_are_as_good_as_numbers() -> None:
    def named(values: NDArray[np.float64]) -> list[str | None]:
        return [None if math.isnan(v) else f"label {int(v)}" for v in values.tolist()]

    names = [list(row) for row in zip(*(named(column) for column in PEOPLE.T), strict=True)]
    called = ["Ann", "Bob", "Cem", "Dee"]
    found = alternative_annotator_test(names, named(JUDGE), names=called, bootstrap=FEW)
    assert [one.name for one in found.annotators] == called
    plain = alternative_annotator_test(PEOPLE, JUDGE, bootstrap=FEW)
    assert found.advantage == plain.advantage
    assert [one.p_value for one in found.annotators] == [one.p_value for one in plain.annotators]


def by_likelihood(worse: int, better: int, n: int, epsilon: float) -> float:
    """The score test with its constrained likelihood maximised numerically."""

    def minus_log(share: float) -> float:
        rest = 1 - 2 * share - epsilon
        parts = ((worse, share + epsilon), (better, share), (n - worse - better, rest))
        return -sum(count * math.log(max(part, 1e-12)) for count, part in parts if count)

    top = (1 - epsilon) / 2
    share = optimize.minimize_scalar(minus_log, bounds=(0, top), method="bounded", options={"xatol": 1e-10}).x
    variance = (2 * share + epsilon - epsilon**2) / n
    return float(stats.norm.cdf(((worse - better) / n - epsilon) / math.sqrt(variance)))


@pytest.mark.parametrize(("epsilon", "items"), [(0.2, 20), (0.2, 29), (0.2, 50), (0.1, 20), (0.1, 29), (0.1, 50)])
def test_a_judge_that_is_worse_by_epsilon_rarely_wins(epsilon: float, items: int) -> None:
    # Annotators agree; the judge differs from all of them with the probability epsilon, which is exactly too often.
    rng, wins = np.random.default_rng(items), 0
    for _ in range(400):
        judge = (rng.random(items) < epsilon).astype(int)
        wins += alternative_annotator_test(np.zeros((items, 3), int), judge, epsilon=epsilon, bootstrap=FEW).passes
    assert wins / 400 <= 0.08


def small(kind: str) -> AltTest:
    """Six items of three annotators. Against the first, who is right but for the last item, the judge errs once."""
    people = [[1, 1, 1], [2, 2, 2], [3, 3, 3], [4, 4, 4], [5, 5, 5], [1, 2, 2]]
    return alternative_annotator_test(people, [1, 2, 3, 4, 1, 2], kind=kind, bootstrap=FEW)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["categorical", "graded"])
def test_few_items_are_compared_by_the_score_test(kind: str) -> None:
    found = small(kind)
    first, second, third = found.annotators
    # Equally near on four items, worse on the fifth, better on the last.
    assert (first.advantage.estimate, first.human_advantage) == pytest.approx((5 / 6, 5 / 6))
    # Of the last item's others, 1 and 2, the judge's 2 and the second annotator's are equally near.
    assert (second.advantage.estimate, second.human_advantage) == pytest.approx((5 / 6, 1))
    assert third.advantage == second.advantage
    p_values = [by_likelihood(1, 1, 6, 0.2), by_likelihood(1, 0, 6, 0.2), by_likelihood(1, 0, 6, 0.2)]
    assert [one.p_value for one in found.annotators] == pytest.approx(adjusted(p_values), abs=1e-4)
    assert all(one.test == "score" for one in found.annotators)
    assert "score test: 1, 2, 3" in found.notes[0]
    assert found.winning_rate == 0
    assert not found.passes


def test_graded_is_the_root_mean_square_error() -> None:
    # Others 1 and 5: 3 is nearer to both (RMSE 2) than 1 is (RMSE 2.83), although 1 is equal to one of them.
    people = [[1, 1, 5]] * 40
    graded = alternative_annotator_test(people, [3] * 40, kind="graded", bootstrap=FEW)
    categorical = alternative_annotator_test(people, [3] * 40, bootstrap=FEW)
    assert graded.annotators[0].advantage.estimate == 1
    assert categorical.annotators[0].advantage.estimate == 0
    # No difference varies: it is below epsilon for sure, or not.
    assert graded.annotators[0].p_value < 1e-6
    assert categorical.annotators[0].p_value > 1 - 1e-6


def test_a_judge_that_guesses_fails_and_one_that_knows_passes() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, size=300)

    def seen(error: float) -> NDArray[np.int64]:
        return np.where(rng.random(300) < error, rng.integers(0, 4, size=300), truth)

    people = np.stack([seen(0.3) for _ in range(5)], axis=1)
    for judge, passes in ((truth, True), (seen(0.3), True), (rng.integers(0, 4, size=300), False)):
        found = alternative_annotator_test(people, judge, bootstrap=FEW)
        assert found.passes == passes
        assert found.winning_rate == float(passes)
    # Even a judge like the annotators does not win without a bonus.
    assert alternative_annotator_test(people, seen(0.3), epsilon=0, bootstrap=FEW).winning_rate == 0


def test_interval_of_the_mean_advantage_is_of_items() -> None:
    found = alternative_annotator_test(PEOPLE, JUDGE, bootstrap=BootstrapConfig(resamples=500, seed=1))
    assert found.advantage.low < found.advantage.estimate < found.advantage.high
    assert (found.advantage.n, found.advantage.method) == (88, "bootstrap: items")
    again = alternative_annotator_test(PEOPLE, JUDGE, bootstrap=BootstrapConfig(resamples=500, seed=1))
    assert again == found
    assert json.loads(json.dumps(found.to_dict()))["annotators"][0]["test"] == "t"


def test_who_shares_no_item_is_left_out_and_told() -> None:
    people = np.column_stack([PEOPLE[:, :2], np.full(90, np.nan)])
    found = alternative_annotator_test(people, JUDGE, bootstrap=FEW)
    assert [one.name for one in found.annotators] == ["1", "2"]
    assert found.notes == (
        "Not compared, for want of an item that the judge and another annotator have: 3.",
        "2 annotators are few: the test's authors ask for 3 at least.",
    )
    nobody = alternative_annotator_test(people, np.full(90, np.nan), bootstrap=FEW)
    assert math.isnan(nobody.winning_rate)
    assert not nobody.passes
    assert nobody.n_unscored == 90
    assert json.loads(json.dumps(nobody.to_dict()))["winning_rate"] is None


def test_wrong_input_is_told() -> None:
    with pytest.raises(DataError, match=r"`ratings`"):
        alternative_annotator_test([[1], [2]], [1, 2])
    with pytest.raises(DataError, match=r"`judge`"):
        alternative_annotator_test([[1, 2], [2, 2]], [1])
    with pytest.raises(DataError, match="`names` has 1 names and `ratings` 2 annotators"):
        alternative_annotator_test([[1, 2], [2, 2]], [1, 2], names=["Ann"])
    with pytest.raises(DataError, match="`judge`"):
        alternative_annotator_test([[1, 2], [2, 2]], ["a", "b"], kind="graded")
    with pytest.raises(ConfigError, match="`kind`"):
        alternative_annotator_test([[1, 2]], [1], kind="ordinal")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="`epsilon`"):
        alternative_annotator_test([[1, 2]], [1], epsilon=20)
