from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import BootstrapConfig, PPIEstimate, ppi_difference, ppi_mean
from hf_synthlabels.statistics.estimation.label_rows import FEW_LABELS
from tests.oracles import oracle

Floats = NDArray[np.float64]


def rows(n: int, others: int) -> tuple[Floats, Floats, Floats]:
    """Labels, scores of the same rows and scores of others: by a formula, so that any program can have the same."""
    i = np.arange(n + others)
    labels = np.sin(1.7 * i) + 0.3 * np.cos(0.4 * i * i)
    scores = 0.8 * labels + 0.5 * np.sin(3.1 * i + 1) + 0.4
    return labels[:n], scores[:n], scores[n:]


def columns(labels: Floats, scores: Floats, others: Floats) -> tuple[Floats, Floats]:
    return np.concatenate([labels, np.full(len(others), np.nan)]), np.concatenate([scores, others])


def ends(found: PPIEstimate) -> tuple[float, float]:
    return found.interval.low, found.interval.high


# What ppi-python 0.2.3 gives for these rows: ppi_mean_pointestimate, ppi_mean_ci(alpha=.05), the same with lam=1 and
# alpha=.1, classical_mean_ci(alpha=.05). Its point estimate tunes lam a second time, so we compare its interval's.
PPI_PYTHON = {
    (60, 500): (
        *(-0.007449936405714175, (-0.11276237114324668, 0.09786249833181833)),
        *((-0.09839697390743798, 0.0813214322681575), (-0.19412115791636986, 0.20358379769538637)),
    ),
    (12, 40): (
        *(0.01574865348854515, (-0.2721455657399797, 0.30364287271707)),
        *((-0.24765123346474055, 0.2646794773634738), (-0.4106948045717993, 0.5045878446185781)),
    ),
    (100, 100): (
        *(-0.00932840109210678, (-0.12532852381453602, 0.10667172163032247)),
        *((-0.1532958122087379, 0.09552210101735681), (-0.14035935673477304, 0.16244277747344146)),
    ),
}


@pytest.mark.parametrize("sizes", PPI_PYTHON)
def test_normal_intervals_match_ppi_python(sizes: tuple[int, int]) -> None:
    estimate, interval, untuned, classical = PPI_PYTHON[sizes]
    human, judge = columns(*rows(*sizes))
    found = ppi_mean(human, judge, method="normal")
    assert found.interval.estimate == pytest.approx(estimate, abs=1e-9)
    assert ends(found) == pytest.approx(interval, abs=1e-9)
    assert (found.classical.low, found.classical.high) == pytest.approx(classical, abs=1e-9)
    plain = ppi_mean(human, judge, method="normal", lam=1, bootstrap=BootstrapConfig(level=0.9))
    assert ends(plain) == pytest.approx(untuned, abs=1e-9)


def test_matches_ppi_python_where_it_is_installed() -> None:
    ppi_py = oracle("ppi_py")
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels = rng.normal(size=rng.integers(5, 80))
        scores = labels + rng.normal(size=len(labels))
        others = rng.normal(size=300)
        theirs = [float(np.ravel(end)[0]) for end in ppi_py.ppi_mean_ci(labels, scores, others, alpha=0.05)]
        ours = ppi_mean(*columns(labels, scores, others), method="normal")
        assert ends(ours) == pytest.approx(theirs, abs=1e-9)


def test_four_labels_by_hand() -> None:
    # Scores follow the labels with slope 1 and an offset of 1; the others' mean is 4.
    human, judge = [1.0, 2, 3, 4, None, None], [2.0, 3, 4, 5, 3, 5]
    found = ppi_mean(human, judge, lam=1, method="normal")
    # 4 + (2.5 - 3.5): the offset is taken out. No residual varies; the others' variance is 1, of 2 rows.
    assert found.interval.estimate == 3
    assert found.interval.high - 3 == pytest.approx(stats.norm.ppf(0.975) * math.sqrt(1 / 2))
    assert (found.judge_mean, found.bias) == pytest.approx((22 / 6, 2 / 3))
    assert (found.n_rows, found.interval.n, found.n_unscored, found.lam) == (6, 4, 0, (1,))
    assert any("same amount" in note for note in found.notes)
    # cov = 1.25, variance of all six scores 1.4667, (1 + 4/2): lam = 1.25 / 4.4.
    assert ppi_mean(human, judge).lam[0] == pytest.approx(1.25 / (3 * 22 / 15))


def test_student_interval_by_hand() -> None:
    labels, scores, others = rows(60, 500)
    found = ppi_mean(*columns(labels, scores, others))
    (lam,) = found.lam
    residual = labels - lam * scores
    parts = [residual.var() / 58, lam**2 * others.var(ddof=1) / 500]
    free = sum(parts) ** 2 / (parts[0] ** 2 / 58 + parts[1] ** 2 / 499)
    half = stats.t.ppf(0.975, free) * math.sqrt(sum(parts))
    assert found.interval.high - found.interval.estimate == pytest.approx(half, abs=1e-9)
    assert found.effective_n == pytest.approx(60 * labels.var(ddof=1) / 60 / sum(parts), abs=1e-9)
    theirs = stats.ttest_1samp(labels, 0).confidence_interval(0.95)
    assert (found.classical.low, found.classical.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert found.width_ratio < 1
    assert found.effective_n > 60
    assert found.interval.method == "PPI++: student"


def test_without_the_judge_it_is_the_classical_mean() -> None:
    human, judge = columns(*rows(60, 500))
    found = ppi_mean(human, judge, lam=0)
    assert ends(found) == (found.classical.low, found.classical.high)
    assert (found.width_ratio, found.effective_n) == (1, 60)


def test_a_judge_of_another_scale_needs_no_clip() -> None:
    human, judge = columns(*rows(60, 500))
    same = ppi_mean(human, judge)
    for factor in (0.1, 10, -1):
        other = ppi_mean(human, factor * judge, clip=False)
        assert ends(other) == pytest.approx(ends(same), abs=1e-9)
        assert other.lam[0] == pytest.approx(same.lam[0] / factor)
    # Clipped at 1, a judge of a tenth of the scale can help but little; an opposite one is not used.
    assert ppi_mean(human, 0.1 * judge).lam[0] == 1
    opposite = ppi_mean(human, -judge)
    assert opposite.lam[0] == 0
    assert any("not used" in note for note in opposite.notes)


def test_an_unscored_row_counts_with_the_mean_of_the_others() -> None:
    human, judge = columns(*rows(60, 500))
    judge[[3, 70, 71]] = np.nan
    found = ppi_mean(human, judge)
    filled = np.where(np.isnan(judge), np.nanmean(judge), judge)
    assert ends(found) == ends(ppi_mean(human, filled))
    assert found.n_unscored == 3
    assert any(note.startswith("3 rows have no judge's score") for note in found.notes)


def test_a_judge_that_says_nothing_leaves_the_human_labels() -> None:
    found = ppi_mean([1, 2, 3, None], [None, None, None, None], method="student")
    assert (found.interval.estimate, found.lam, found.n_unscored) == (2, (0,), 4)
    assert math.isnan(found.judge_mean)
    assert ends(found) == (found.classical.low, found.classical.high)


def test_ends_may_be_cut_to_the_scale() -> None:
    human, judge = [1] * 19 + [0] + [None] * 80, [1] * 60 + [0] * 40
    found = ppi_mean(human, judge)
    assert found.classical.high > 1
    cut = found.within(0, 1)
    assert (cut.classical.low, cut.classical.high) == (found.classical.low, 1)
    assert (cut.interval.low, cut.interval.high) == (max(0, found.interval.low), min(1, found.interval.high))
    assert cut.interval.estimate == found.interval.estimate
    # A corrected mean itself may lie beyond the scale.
    beyond = ppi_mean([1, 1, 1, None, None, None], [0, 0, 0, 1, 1, 1], lam=1)
    assert (beyond.interval.estimate, beyond.within(0, 1).interval.estimate) == (2, 1)
    assert math.isnan(ppi_mean([None], [1]).within(0, 1).interval.low)
    assert math.isnan(ppi_mean([1, None], [1, 1]).within(0, 1).interval.low)
    with pytest.raises(ConfigError, match="`low` is 5 and `high` 1"):
        found.within(5, 1)


def test_all_rows_labelled_is_the_classical_mean() -> None:
    labels, scores, _ = rows(60, 1)
    found = ppi_mean(labels, scores)
    assert ends(found) == (found.classical.low, found.classical.high)
    assert "All rows have a human label, so the judge adds nothing." in found.notes


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_labels_have_no_ends(n: int) -> None:
    for probabilities in (None, np.full(20, 0.1)):
        human, judge = columns(*rows(n, 20 - n))
        found = ppi_mean(human, judge, probabilities=probabilities)
        assert math.isnan(found.interval.low)
        assert math.isnan(found.interval.estimate) == (n == 0)
        assert json.loads(json.dumps(found.to_dict()))["interval"]["low"] is None


def test_few_labels_are_bootstrapped_and_told() -> None:
    human, judge = columns(*rows(FEW_LABELS - 1, 300))
    found = ppi_mean(human, judge)
    assert found.interval.method == "PPI++: studentized bootstrap"
    assert found.notes[0].startswith("There are only 49 human labels")
    student = ppi_mean(human, judge, method="student")
    assert found.interval.low <= student.interval.low < student.interval.high <= found.interval.high
    assert found.interval == ppi_mean(human, judge).interval
    assert ppi_mean(*columns(*rows(FEW_LABELS, 300))).notes == ()


def test_equal_chances_are_no_chances() -> None:
    human, judge = columns(*rows(60, 500))
    # The one multiplies the mean of the others, the other that of all: the same for lam and lam x 500 / 560.
    weighted = ppi_mean(human, judge, probabilities=np.full(560, 0.2), lam=0.7)
    plain = ppi_mean(human, judge, lam=0.7 * 500 / 560)
    assert weighted.interval.estimate == pytest.approx(plain.interval.estimate, abs=1e-9)
    # The linearised variance centres all scores on one mean.
    assert ends(weighted) == pytest.approx(ends(plain), abs=2e-3)
    # Only proportions matter.
    assert ends(ppi_mean(human, judge, probabilities=np.full(560, 0.9), lam=0.7)) == pytest.approx(ends(weighted))


def test_weighted_mean_by_hand() -> None:
    # Two labelled rows stand for 1/.5 = 2 and 1/.25 = 4 rows: (2 x 1 + 4 x 4) / 6; scores (2 x 2 + 4 x 5) / 6 = 4.
    human, judge = [1.0, 4, None, None], [2.0, 5, 3, 4]
    chances = [0.5, 0.25, None, None]
    assert ppi_mean(human, judge, probabilities=chances, lam=0).interval.estimate == pytest.approx(3)
    assert ppi_mean(human, judge, probabilities=chances, lam=1).interval.estimate == pytest.approx(3.5 + 3 - 4)


def unevenly_labelled(rng: np.random.Generator, size: int) -> tuple[Floats, Floats, Floats]:
    """Rows that the judge finds low are labelled five times as often as the others; the true mean is 0."""
    labels = rng.normal(size=size)
    scores = labels + rng.normal(size=size)
    chances = np.where(scores < 0, 0.25, 0.05)
    return np.where(rng.random(size) < chances, labels, np.nan), scores, chances


def test_known_chances_take_the_bias_of_the_choice_out() -> None:
    rng = np.random.default_rng(8)
    held, used, ratios, ignored = 0, 0.0, [], []
    for _ in range(600):
        human, judge, chances = unevenly_labelled(rng, 800)
        found = ppi_mean(human, judge, probabilities=chances)
        held += found.interval.low <= 0 <= found.interval.high
        used += found.lam[0] / 600
        ratios.append(found.width_ratio)
        ignored.append(ppi_mean(human, judge).interval.estimate)
    # 600 draws: two standard errors around .95 are .932 to .968.
    assert 0.93 <= held / 600 <= 0.975
    # var(judge) is 2 and cov 1, so lam is about a half.
    assert 0.4 < used < 0.65
    assert np.mean(ratios) < 0.9
    assert np.mean(ignored) < -0.1


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    held = {"student": 0, "few": 0, "weighted few": 0, "difference": 0}
    for draw in range(300):
        bootstrap = BootstrapConfig(resamples=300, seed=draw)
        labels = rng.normal(size=600)
        scores = labels + rng.normal(size=600)
        for name, n in (("student", 100), ("few", 20)):
            human = np.where(np.arange(600) < n, labels, np.nan)
            found = ppi_mean(human, scores, bootstrap=bootstrap).interval
            held[name] += found.low <= 0 <= found.high
        uneven, judge, chances = unevenly_labelled(rng, 250)
        found = ppi_mean(uneven, judge, probabilities=chances, bootstrap=bootstrap).interval
        held["weighted few"] += found.low <= 0 <= found.high
        half = np.where(np.arange(300) < 60, labels[:300], np.nan), scores[:300]
        other = np.where(np.arange(300) < 80, labels[300:], np.nan), scores[300:]
        found = ppi_difference(*half, *other, paired=False, bootstrap=bootstrap).interval
        held["difference"] += found.low <= 0 <= found.high
    # 300 draws: two and a half standard errors around .95 are .919 to .981; the bootstrap is a little wide.
    assert all(0.915 <= count / 300 <= 0.99 for count in held.values()), held


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_errors_that_no_label_shows_are_those_of_the_level(level: float) -> None:
    """The judge is right on all n labelled rows: z^2 / 2 pseudo-errors (Agresti & Coull 1998), each changes 1 / n."""
    n, others = 60, 200
    values = np.arange(n + others) % 2.0
    human = np.where(np.arange(n + others) < n, values, np.nan)
    found = ppi_mean(human, values, lam=1, method="student", bootstrap=BootstrapConfig(level=level))
    judged = values[n:].var(ddof=1) / others
    unseen = stats.norm.ppf((1 + level) / 2) ** 2 / 2 / n**2
    free = (judged + unseen) ** 2 / (judged**2 / (others - 1))
    half = stats.t.ppf((1 + level) / 2, free) * math.sqrt(judged + unseen)
    assert ends(found) == pytest.approx((0.5 - half, 0.5 + half))


def test_paired_difference_is_the_mean_of_differences() -> None:
    human_a, judge_a = columns(*rows(60, 500))
    human_b, judge_b = 0.5 * human_a + 0.1, 0.5 * judge_a
    human_b[2] = np.nan
    found = ppi_difference(human_a, judge_a, human_b, judge_b, paired=True)
    assert found.interval == ppi_mean(human_a - human_b, judge_a - judge_b).interval
    assert (found.interval.n, found.n_rows) == (59, 560)


def test_independent_difference_adds_variances() -> None:
    first, second = columns(*rows(60, 500)), columns(*rows(100, 100))
    found = ppi_difference(*first, *second, paired=False, method="normal")
    a, b = ppi_mean(*first, method="normal"), ppi_mean(*second, method="normal")
    assert found.interval.estimate == pytest.approx(a.interval.estimate - b.interval.estimate)
    halves = [each.interval.high - each.interval.estimate for each in (found, a, b)]
    assert halves[0] == pytest.approx(math.hypot(halves[1], halves[2]))
    assert found.lam == (*a.lam, *b.lam)
    assert (found.interval.n, found.n_rows) == (160, 760)
    assert found.judge_mean == pytest.approx(a.judge_mean - b.judge_mean)
    # Without the judge it is Welch's test.
    plain = ppi_difference(*first, *second, paired=False, lam=0)
    labels = [column[~np.isnan(column)] for column in (first[0], second[0])]
    theirs = stats.ttest_ind(*labels, equal_var=False).confidence_interval(0.95)
    assert ends(plain) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def clustered(rng: np.random.Generator, texts: int, labelled: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Five answers to each text, which hang together; those to the first texts are labelled. The true mean is 0."""
    labels = (rng.normal(size=(texts, 1)) + 0.5 * rng.normal(size=(texts, 5))).ravel()
    scores = 0.7 * labels + (0.5 * rng.normal(size=(texts, 1)) + 0.3 * rng.normal(size=(texts, 5))).ravel() + 1
    return np.where(np.arange(5 * texts) < 5 * labelled, labels, np.nan), scores, np.repeat(np.arange(texts), 5)


def test_rows_that_hang_together_are_one_piece_of_evidence() -> None:
    rng = np.random.default_rng(9)
    held = {"clusters": 0, "rows": 0, "weighted": 0, "difference": 0}
    for _ in range(300):
        human, judge, texts = clustered(rng, 300, 60)
        found = {
            "clusters": ppi_mean(human, judge, clusters=texts),
            "rows": ppi_mean(human, judge),
            "weighted": ppi_mean(human, judge, clusters=texts, probabilities=np.full(1500, 0.2)),
            # The same texts, answered by another system: what the text does to both is no difference.
            "difference": ppi_difference(
                human, judge, human + rng.normal(size=1500), judge, paired=False, clusters=texts, clusters_b=texts
            ),
        }
        for name, each in found.items():
            held[name] += each.interval.low <= 0 <= each.interval.high
    # 300 draws: two and a half standard errors around .95 are .919 to .981.
    assert 0.915 <= held["clusters"] / 300 <= 0.985
    assert 0.915 <= held["weighted"] / 300 <= 0.985
    assert 0.915 <= held["difference"] / 300 <= 0.985
    assert held["rows"] / 300 < 0.8


def test_clusters_of_one_row_are_rows() -> None:
    human, judge = columns(*rows(200, 500))
    alone = ppi_mean(human, judge, clusters=np.arange(700))
    plain = ppi_mean(human, judge)
    assert alone.interval.estimate == plain.interval.estimate
    assert ends(alone) == pytest.approx(ends(plain), abs=1e-3)
    assert (alone.classical.low, alone.classical.high) == pytest.approx((plain.classical.low, plain.classical.high))
    assert alone.interval.method == "PPI++: student, 200 clusters with labels"


def test_clusters_by_hand() -> None:
    # Without the judge, two clusters of two: sums of (label - mean) / 4 are -.5 and .5, free 1, so 2 x .5.
    found = ppi_mean([1.0, 2, 3, 4], [0.0, 0, 0, 0], clusters=["a", "a", "b", "b"], lam=0)
    sums = [(1 + 2 - 5) / 4, (3 + 4 - 5) / 4]
    half = stats.t.ppf(0.975, 1) * math.sqrt(2 * (sums[0] ** 2 + sums[1] ** 2))
    assert found.interval.high - found.interval.estimate == pytest.approx(half, abs=1e-9)
    assert found.notes[0].startswith("There are only 2 clusters with human labels")


def test_paired_difference_knows_clusters() -> None:
    rng = np.random.default_rng(2)
    human, judge, texts = clustered(rng, 100, 60)
    found = ppi_difference(human, judge, 0.5 * human, 0.5 * judge, paired=True, clusters=texts)
    assert found.interval == ppi_mean(0.5 * human, 0.5 * judge, clusters=texts).interval


def test_wrong_input_is_told() -> None:
    with pytest.raises(ConfigError, match="`method`"):
        ppi_mean([1, 2], [1, 2], clusters=[1, 2], method="bootstrap")
    with pytest.raises(DataError, match="`clusters`"):
        ppi_mean([1, 2], [1, 2], clusters=[1])
    with pytest.raises(DataError, match="`clusters` and `clusters_b` go together"):
        ppi_difference([1], [1], [1], [1], paired=False, clusters=[1])
    with pytest.raises(DataError, match="`human` has 2 rows and `judge` 3"):
        ppi_mean([1, 2], [1, 2, 3])
    with pytest.raises(DataError, match="`judge`"):
        ppi_mean([1, 2], ["good", "bad"])
    with pytest.raises(DataError, match="`judge`"):
        ppi_mean([1, 2], ["1", "2"])
    with pytest.raises(DataError, match="`human`"):
        ppi_mean([1, math.inf], [1, 2])
    with pytest.raises(DataError, match="`human_a`, `judge_a`, `human_b` and `judge_b` have 2, 2, 1, 1 rows"):
        ppi_difference([1, 2], [1, 2], [1], [1], paired=True)
    with pytest.raises(DataError, match="`probabilities`"):
        ppi_mean([1, 2, 3, None], [1, 2, 3, 4], probabilities=[0, 1, None, 0])
    with pytest.raises(DataError, match="`probabilities`"):
        ppi_mean([1, 2], [1, 2], probabilities=[0.5])
    with pytest.raises(ConfigError, match="`method`"):
        ppi_mean([1, 2], [1, 2], method="clt")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="`lam`"):
        ppi_mean([1, 2], [1, 2], lam=math.nan)
