from __future__ import annotations

import json
import math
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import BootstrapConfig, alternative_annotator_test

FEW = BootstrapConfig(resamples=200)

# Ninety items of four annotators, each worse than the one before, and a judge: by formulas, so that any program can
# have the same. The second annotator has gaps, the judge two.
ITEM = np.arange(90)
TRUTH = (ITEM * ITEM) % 5 + 1


def errors(a: int, b: int, often: int) -> NDArray[np.int64]:
    return ((ITEM * a + ITEM * ITEM // 3) % b < often) * (1 + ITEM % 2)


PEOPLE = np.stack(
    [(TRUTH + errors(*how) - 1) % 5 + 1 for how in ((3, 10, 2), (7, 11, 4), (9, 13, 5), (5, 12, 8))], axis=1
).astype(float)
PEOPLE[ITEM % 13 == 0, 1] = np.nan
JUDGE = ((TRUTH + errors(11, 14, 4) - 1) % 5 + 1).astype(float)
JUDGE[[4, 50]] = np.nan

GRADES = PEOPLE + np.stack([(ITEM * (k + 2)) % 3 / 2 for k in range(4)], axis=1)
GRADE = JUDGE + (ITEM % 4) / 2

# By the authors' program (alt_test of nitaytech/AltTest with q_fdr=.05): the annotators' advantages and, for each
# epsilon, winning rate and the p-values before they are adjusted.
ADVANTAGE = [0.8068181818181818, 0.7654320987654321, 0.7954545454545454, 0.8181818181818182]
CATEGORICAL = {
    0.0: (0.0, [0.8704119204760821, 0.7519411165406281, 0.5665506498294316, 0.0191324592432766]),
    0.1: (0.25, [0.2987236460215185, 0.24272156485812424, 0.0966301153671324, 0.0004677621708141825]),
    0.2: (1.0, [0.015383532763378515, 0.02011079428948064, 0.003234399912983289, 3.9935775112658655e-06]),
}
GRADED_ADVANTAGE = [0.5227272727272727, 0.6049382716049383, 0.5568181818181818, 0.5909090909090909]
GRADED = {
    0.0: (0.0, [0.9870707170603449, 0.5, 0.8594429287017742, 0.5468346593909068]),
    0.1: (0.0, [0.8751404334495234, 0.1586692557542035, 0.5095864885179278, 0.17993138576639253]),
    0.2: (0.0, [0.5200330561849735, 0.02376814612241288, 0.15145433923629897, 0.0266583699061082]),
}


def adjusted(p_values: list[float]) -> list[float]:
    """Benjamini and Yekutieli's p-values by their definition."""
    m = len(p_values)
    harmonic = sum(1 / k for k in range(1, m + 1))
    order = sorted(range(m), key=p_values.__getitem__)
    out, least = [0.0] * m, 1.0
    for rank in range(m, 0, -1):
        least = min(least, p_values[order[rank - 1]] * m * harmonic / rank)
        out[order[rank - 1]] = least
    return out


def test_results_match_the_authors_program() -> None:
    for kind, people, judge, advantages, expected in (
        ("categorical", PEOPLE, JUDGE, ADVANTAGE, CATEGORICAL),
        ("graded", GRADES, GRADE, GRADED_ADVANTAGE, GRADED),
    ):
        for epsilon, (rate, p_values) in expected.items():
            test = alternative_annotator_test(people, judge, kind=kind, epsilon=epsilon, bootstrap=FEW)  # type: ignore[arg-type]
            assert (test.winning_rate, test.passes) == (rate, rate >= 0.5)
            assert [each.advantage.estimate for each in test.annotators] == pytest.approx(advantages, abs=1e-9)
            assert test.advantage.estimate == pytest.approx(np.mean(advantages), abs=1e-9)
            assert [each.p_value for each in test.annotators] == pytest.approx(adjusted(p_values), abs=1e-9)
            assert [each.advantage.n for each in test.annotators] == [88, 81, 88, 88]
            assert (test.n_unscored, test.notes) == (2, ())


def test_label_names_give_the_results_of_numbers() -> None:
    def named(values: NDArray[np.float64]) -> list[str | None]:
        return [None if math.isnan(v) else f"label {int(v)}" for v in values.tolist()]

    ratings = [list(row) for row in zip(*(named(column) for column in PEOPLE.T), strict=True)]
    people = ["Ann", "Bob", "Cem", "Dee"]
    test = alternative_annotator_test(ratings, named(JUDGE), names=people, bootstrap=FEW)
    plain = alternative_annotator_test(PEOPLE, JUDGE, bootstrap=FEW)
    assert [each.name for each in test.annotators] == people
    assert test.advantage == plain.advantage
    assert [each.p_value for each in test.annotators] == [each.p_value for each in plain.annotators]


def score_test_by_likelihood(worse: int, better: int, n: int, epsilon: float) -> float:
    """The score test with its constrained likelihood maximized numerically."""

    def minus_log(share: float) -> float:
        parts = ((worse, share + epsilon), (better, share), (n - worse - better, 1 - 2 * share - epsilon))
        return -sum(count * math.log(max(part, 1e-12)) for count, part in parts if count)

    top = (1 - epsilon) / 2
    share = optimize.minimize_scalar(minus_log, bounds=(0, top), method="bounded", options={"xatol": 1e-10}).x
    variance = (2 * share + epsilon - epsilon**2) / n
    return float(stats.norm.cdf(((worse - better) / n - epsilon) / math.sqrt(variance)))


def test_few_items_are_compared_by_the_score_test() -> None:
    # Against the first annotator, who is correct except for the last item, the judge errs once.
    people = [[1, 1, 1], [2, 2, 2], [3, 3, 3], [4, 4, 4], [5, 5, 5], [1, 2, 2]]
    kinds: tuple[Literal["categorical", "graded"], ...] = ("categorical", "graded")
    for kind in kinds:
        test = alternative_annotator_test(people, [1, 2, 3, 4, 1, 2], kind=kind, bootstrap=FEW)
        first, second, third = test.annotators
        # Equally close on four items, worse on the fifth, better on the last.
        assert (first.advantage.estimate, first.human_advantage) == pytest.approx((5 / 6, 5 / 6))
        # Of the last item's others, 1 and 2, the judge's 2 and the second annotator's are equally close.
        assert (second.advantage.estimate, second.human_advantage) == pytest.approx((5 / 6, 1))
        assert third.advantage == second.advantage
        p_values = [score_test_by_likelihood(1, better, 6, 0.2) for better in (1, 0, 0)]
        assert [each.p_value for each in test.annotators] == pytest.approx(adjusted(p_values), abs=1e-4)
        assert all(each.test == "score" for each in test.annotators)
        assert "score test: 1, 2, 3" in test.notes[0]
        assert (test.winning_rate, test.passes) == (0, False)


def test_a_judge_that_is_worse_by_epsilon_rarely_wins() -> None:
    # Annotators agree; the judge differs from all of them with probability epsilon, which is exactly too often.
    for epsilon, items in ((0.2, 20), (0.2, 50), (0.1, 20), (0.1, 29)):
        rng = np.random.default_rng(items)
        judges = (rng.random((400, items)) < epsilon).astype(int)
        people = np.zeros((items, 3), int)
        tests = [alternative_annotator_test(people, judge, epsilon=epsilon, bootstrap=FEW) for judge in judges]
        assert np.mean([test.passes for test in tests]) <= 0.08


def test_graded_distance_is_the_root_mean_square_error() -> None:
    # Others 1 and 5: 3 is closer to both (RMSE 2) than 1 is (RMSE 2.83), although 1 is equal to one of them.
    people = [[1, 1, 5]] * 40
    graded = alternative_annotator_test(people, [3] * 40, kind="graded", bootstrap=FEW).annotators[0]
    categorical = alternative_annotator_test(people, [3] * 40, bootstrap=FEW).annotators[0]
    assert (graded.advantage.estimate, categorical.advantage.estimate) == (1, 0)
    # No difference varies: it is below epsilon for sure, or not.
    assert graded.p_value < 1e-6
    assert categorical.p_value > 1 - 1e-6


def test_a_judge_that_guesses_fails_and_a_good_one_passes() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, size=300)

    def noisy() -> NDArray[np.int64]:
        return np.where(rng.random(300) < 0.3, rng.integers(0, 4, size=300), truth)

    people = np.stack([noisy() for _ in range(5)], axis=1)
    for judge, passes in ((truth, True), (noisy(), True), (rng.integers(0, 4, size=300), False)):
        test = alternative_annotator_test(people, judge, bootstrap=FEW)
        assert (test.passes, test.winning_rate) == (passes, float(passes))
    # Even a judge like the annotators does not win without a margin.
    assert alternative_annotator_test(people, noisy(), epsilon=0, bootstrap=FEW).winning_rate == 0


def test_the_mean_advantage_has_a_reproducible_interval_over_items() -> None:
    bootstrap = BootstrapConfig(resamples=500, seed=1)
    test = alternative_annotator_test(PEOPLE, JUDGE, bootstrap=bootstrap)
    assert test.advantage.low < test.advantage.estimate < test.advantage.high
    assert (test.advantage.n, test.advantage.method) == (88, "bootstrap: items")
    assert alternative_annotator_test(PEOPLE, JUDGE, bootstrap=bootstrap) == test
    assert json.loads(json.dumps(test.to_dict()))["annotators"][0]["test"] == "t"


def test_an_annotator_without_shared_items_is_left_out() -> None:
    people = np.column_stack([PEOPLE[:, :2], np.full(90, np.nan)])
    test = alternative_annotator_test(people, JUDGE, bootstrap=FEW)
    assert [each.name for each in test.annotators] == ["1", "2"]
    assert [note.split()[0] for note in test.notes] == ["Not", "2"]
    nobody = alternative_annotator_test(people, np.full(90, np.nan), bootstrap=FEW)
    assert (nobody.passes, nobody.n_unscored) == (False, 90)
    assert json.loads(json.dumps(nobody.to_dict()))["winning_rate"] is None


def test_invalid_arguments_are_refused() -> None:
    cases: list[tuple[type[Exception], str, Any, Any, dict[str, Any]]] = [
        (DataError, "ratings", [[1], [2]], [1, 2], {}),
        (DataError, "judge", [[1, 2], [2, 2]], [1], {}),
        (DataError, "names", [[1, 2], [2, 2]], [1, 2], {"names": ["Ann"]}),
        (DataError, "judge", [[1, 2], [2, 2]], ["a", "b"], {"kind": "graded"}),
        (ConfigError, "kind", [[1, 2]], [1], {"kind": "ordinal"}),
        (ConfigError, "epsilon", [[1, 2]], [1], {"epsilon": 20}),
    ]
    for error, field, ratings, judge, options in cases:
        with pytest.raises(error, match=f"`{field}`"):
            alternative_annotator_test(ratings, judge, **options)
