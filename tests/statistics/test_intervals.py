from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.agreement.classification import confusion_bootstrap
from hf_synthlabels.statistics.agreement.confusion import METRICS, Metric, confusion_counts, score
from hf_synthlabels.statistics.intervals import percentile_interval, wilson, wilson_f1

COUNTS = st.integers(1, 4).flatmap(
    lambda k: st.lists(st.lists(st.integers(0, 6), min_size=k + 1, max_size=k + 1), min_size=k, max_size=k)
)


@given(
    st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.95, 0.99])
)
def test_wilson_matches_scipy(share: tuple[int, int], level: float) -> None:
    successes, n = share
    expected = stats.binomtest(successes, n).proportion_ci(confidence_level=level, method="wilson")
    interval = wilson(successes, n, level)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert interval.low <= interval.estimate <= interval.high


def test_wilson_of_nothing_is_nan() -> None:
    interval = wilson(0, 0)
    assert interval.n == 0
    assert all(map(math.isnan, (interval.estimate, interval.low, interval.high)))
    assert str(interval) == "undefined"


def test_wilson_at_the_extremes_touches_0_and_1() -> None:
    # All of 10 right: the lower end is 1 / (1 + z²/10) = 10 / 13.8415
    assert wilson(10, 10).high == 1.0
    assert wilson(10, 10).low == pytest.approx(10 / 13.8415, abs=1e-4)
    assert wilson(0, 10).low == 0.0


@pytest.mark.parametrize(("successes", "n", "level"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 95), (1, 2, 1)])
def test_wilson_of_no_share_or_level_is_refused(successes: int, n: int, level: float) -> None:
    with pytest.raises(ConfigError, match=r"`successes`|`level`"):
        wilson(successes, n, level)


def test_wilson_keeps_its_level_in_simulation() -> None:
    rng = np.random.default_rng(1)
    for share in (0.7, 0.9):
        draws = rng.binomial(100, share, size=2000)
        hits = [wilson(int(x), 100).low <= share <= wilson(int(x), 100).high for x in draws]
        assert 0.92 <= np.mean(hits) <= 0.98


def test_wilson_f1_carries_over_the_jaccard_share() -> None:
    # 6 of 10 rows that either side calls so are called so by both: J = .6, F1 = 2·6/(9 + 7) = .75
    interval = wilson_f1(6, 9, 7)
    jaccard = wilson(6, 10)
    assert interval.estimate == pytest.approx(0.75)
    assert interval.low == pytest.approx(2 * jaccard.low / (1 + jaccard.low))
    assert interval.n == 10
    assert math.isnan(wilson_f1(0, 0, 0).estimate)


def test_wilson_f1_keeps_its_level_in_simulation() -> None:
    # Of 150 rows 30 % are of the class; recall .8, and 10 % of the others are called so, too.
    rng = np.random.default_rng(2)
    truth = 2 * 0.3 * 0.8 / (0.3 + 0.3 * 0.8 + 0.7 * 0.1)
    draws = rng.multinomial(150, [0.24, 0.06, 0.07, 0.63], size=2000)
    intervals = [wilson_f1(int(tp), int(tp + fp), int(tp + fn)) for tp, fn, fp, _ in draws]
    assert 0.92 <= np.mean([i.low <= truth <= i.high for i in intervals]) <= 0.98


@pytest.mark.parametrize("metric", METRICS)
def test_bootstrap_agrees_with_a_loop_over_rows_when_rows_are_many(metric: Metric) -> None:
    # The smoothing adds 3.84 rows to 2,000 and so must not be seen.
    rng = np.random.default_rng(3)
    human = rng.choice(3, size=2000, p=[0.6, 0.3, 0.1])
    predicted = np.where(rng.random(2000) < 0.75, human, rng.integers(-1, 3, size=2000))
    values = []
    for _ in range(400):
        rows = rng.integers(2000, size=2000)
        values.append(score(metric, confusion_counts(human[rows], predicted[rows], 3)))
    interval = confusion_bootstrap(confusion_counts(human, predicted, 3), metric)
    low, high = np.quantile(values, [0.025, 0.975])
    width = high - low
    assert interval.low == pytest.approx(low, abs=0.15 * width)
    assert interval.high == pytest.approx(high, abs=0.15 * width)


@pytest.mark.parametrize("metric", ["macro_f1", "kappa"])
def test_bootstrap_keeps_its_level_with_unequal_classes(metric: Metric) -> None:
    # Three classes of .9, .07 and .03, recall .8: a bootstrap within classes covered .84 to .87 whatever n.
    shares, rng = np.array([0.9, 0.07, 0.03]), np.random.default_rng(1)
    cells = np.zeros((3, 4))
    for k, share in enumerate(shares):
        cells[k, :3] = 0.1 * share
        cells[k, k] = 0.8 * share
    truth = float(score(metric, np.rint(1e6 * cells).astype(np.int64)))
    draws = rng.multinomial(500, cells.ravel(), size=400).reshape(-1, 3, 4)
    intervals = [confusion_bootstrap(counts, metric, resamples=300) for counts in draws]
    # .93 or more is wanted; three standard errors of 400 samples are .038.
    assert np.mean([each.low <= truth <= each.high for each in intervals]) >= 0.92


def test_bootstrap_same_seed_same_interval_other_seed_another() -> None:
    counts = np.array([[40, 10, 2], [5, 30, 0]])
    assert confusion_bootstrap(counts, "macro_f1", seed=4) == confusion_bootstrap(counts, "macro_f1", seed=4)
    assert confusion_bootstrap(counts, "macro_f1", seed=4) != confusion_bootstrap(counts, "macro_f1", seed=5)


@given(COUNTS, st.sampled_from(METRICS), st.sampled_from([0.8, 0.95]))
@settings(deadline=None, max_examples=60)
def test_bootstrap_encloses_the_estimate_or_is_nan(counts: list[list[int]], metric: Metric, level: float) -> None:
    array = np.array(counts)
    interval = confusion_bootstrap(array, metric, level=level, resamples=100)
    np.testing.assert_equal(interval.estimate, float(score(metric, array)))
    if math.isnan(interval.estimate):
        assert math.isnan(interval.low)
        assert math.isnan(interval.high)
    else:
        assert -1 <= interval.low <= interval.estimate <= interval.high <= 1


@pytest.mark.parametrize("metric", METRICS)
def test_bootstrap_of_few_rows_all_right_does_not_claim_certainty(metric: Metric) -> None:
    ten = confusion_bootstrap(np.array([[5, 0, 0], [0, 5, 0]]), metric)
    thousand = confusion_bootstrap(np.array([[500, 0, 0], [0, 500, 0]]), metric)
    assert ten.high == thousand.high == 1
    assert ten.low < 0.8
    assert 0.98 < thousand.low < 1


def test_bootstrap_one_more_mistake_never_raises_the_lower_end() -> None:
    lows = [confusion_bootstrap(np.array([[15 - k, k, 0], [0, 15, 0]]), "macro_f1").low for k in range(8)]
    assert lows == sorted(lows, reverse=True)


def test_bootstrap_of_one_class() -> None:
    counts = np.array([[9, 1]])
    # Without another class a mistake is a missing prediction: F1 = 2·9/(9 + 10)
    assert confusion_bootstrap(counts, "macro_f1").estimate == pytest.approx(18 / 19)
    kappa = confusion_bootstrap(counts, "kappa")
    assert math.isnan(kappa.estimate)
    assert kappa.n == 9


def test_bootstrap_bad_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="`resamples`"):
        confusion_bootstrap(np.array([[1, 0]]), "accuracy", resamples=0)
    with pytest.raises(ConfigError, match="`level`"):
        confusion_bootstrap(np.array([[1, 0]]), "accuracy", level=2)


def test_bootstrap_of_5000_rows_and_21_classes_takes_under_a_second() -> None:
    rng = np.random.default_rng(0)
    human = rng.integers(21, size=5000)
    counts = confusion_counts(human, np.where(rng.random(5000) < 0.8, human, rng.integers(-1, 21, size=5000)), 21)
    start = time.process_time()
    confusion_bootstrap(counts, "macro_f1")
    assert time.process_time() - start < 1


@pytest.mark.parametrize("metric", ["macro_f1", "weighted_f1", "kappa"])
@pytest.mark.parametrize("n", [40, 200])
def test_bootstrap_keeps_its_level_in_simulation(metric: Metric, n: int) -> None:
    rng = np.random.default_rng(6)
    joint = np.array([[0.46, 0.03, 0.01], [0.05, 0.24, 0.01], [0.04, 0.01, 0.15]])
    joint = np.hstack([joint, np.zeros((3, 1))])
    truth = float(score(metric, (joint * 10_000).astype(np.int64)))
    intervals = [
        confusion_bootstrap(rng.multinomial(n, joint.ravel()).reshape(3, 4), metric, resamples=400) for _ in range(300)
    ]
    assert np.mean([i.low <= truth <= i.high for i in intervals]) >= 0.91
    # What a gate trusts: the lower end lies above the truth in at most 2.5 % (here with the error of 300 draws).
    assert np.mean([i.low > truth for i in intervals]) <= 0.05


def test_bootstrap_lower_end_holds_where_the_plain_bootstrap_fails() -> None:
    # 30 rows, 98 % right: more than half of the samples show no mistake, and the plain interval would be [1, 1].
    rng = np.random.default_rng(7)
    lows = []
    for _ in range(300):
        right = rng.binomial([15, 15], 0.98)
        counts = np.array([[right[0], 15 - right[0], 0], [15 - right[1], right[1], 0]])
        lows.append(confusion_bootstrap(counts, "macro_f1", resamples=300).low)
    assert np.mean(np.array(lows) > 0.98) <= 0.025


def test_percentile_interval_leaves_nan_out() -> None:
    interval = percentile_interval(np.array([0.2, np.nan, 0.4]), 0.3, 0.5, "m", 7)
    assert (interval.low, interval.high) == pytest.approx((0.25, 0.35))
    assert math.isnan(percentile_interval(np.array([np.nan]), 0.3, 0.5, "m", 7).low)


@pytest.mark.parametrize("interval", [wilson(3, 5), wilson(0, 0)], ids=["plain", "nan"])
def test_interval_json_round_trip(interval: Interval) -> None:
    text = json.dumps(interval.to_dict(), allow_nan=False)
    assert Interval.from_dict(json.loads(text)).to_dict() == interval.to_dict()


def test_interval_prints_three_decimals() -> None:
    assert str(Interval(0.5, 0.25, 0.75, 0.95, "wilson", 4)) == "0.500 [0.250, 0.750]"
