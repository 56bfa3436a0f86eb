from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import BootstrapConfig, Interval, PPIEstimate, ppi_difference, ppi_mean
from hf_synthlabels.statistics.estimation.label_rows import FEW_LABELS
from tests.oracles import oracle
from tests.statistics.common import contains

Floats = NDArray[np.float64]


def parts(n: int, others: int) -> tuple[Floats, Floats, Floats]:
    """Labels, scores of the same rows and scores of others: by a formula, so that any program can have the same."""
    i = np.arange(n + others)
    labels = np.sin(1.7 * i) + 0.3 * np.cos(0.4 * i * i)
    scores = 0.8 * labels + 0.5 * np.sin(3.1 * i + 1) + 0.4
    return labels[:n], scores[:n], scores[n:]


def columns(labels: Floats, scores: Floats, others: Floats) -> tuple[Floats, Floats]:
    return np.concatenate([labels, np.full(len(others), np.nan)]), np.concatenate([scores, others])


def limits(found: PPIEstimate | Interval) -> tuple[float, float]:
    interval = found.interval if isinstance(found, PPIEstimate) else found
    return interval.low, interval.high


HUMAN, JUDGE = columns(*parts(60, 500))

# By ppi-python 0.2.3 for these rows: ppi_mean_pointestimate, ppi_mean_ci(alpha=.05), the same with lam=1 and alpha=.1,
# classical_mean_ci(alpha=.05). Its point estimate tunes lam a second time, so we compare its interval's.
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


def test_normal_intervals_match_ppi_python() -> None:
    for sizes, (estimate, tuned, untuned, classical) in PPI_PYTHON.items():
        human, judge = columns(*parts(*sizes))
        result = ppi_mean(human, judge, method="normal")
        assert result.interval.estimate == pytest.approx(estimate, abs=1e-9)
        assert limits(result) == pytest.approx(tuned, abs=1e-9)
        assert limits(result.classical) == pytest.approx(classical, abs=1e-9)
        fixed = ppi_mean(human, judge, method="normal", lam=1, bootstrap=BootstrapConfig(level=0.9))
        assert limits(fixed) == pytest.approx(untuned, abs=1e-9)


def test_normal_intervals_match_the_installed_ppi_python() -> None:
    ppi_py = oracle("ppi_py")
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels = rng.normal(size=rng.integers(5, 80))
        scores = labels + rng.normal(size=len(labels))
        others = rng.normal(size=300)
        theirs = [float(np.ravel(end)[0]) for end in ppi_py.ppi_mean_ci(labels, scores, others, alpha=0.05)]
        assert limits(ppi_mean(*columns(labels, scores, others), method="normal")) == pytest.approx(theirs, abs=1e-9)


def test_four_labels_by_hand() -> None:
    # Scores follow the labels with slope 1 and an offset of 1; the others' mean is 4.
    human, judge = [1.0, 2, 3, 4, None, None], [2.0, 3, 4, 5, 3, 5]
    result = ppi_mean(human, judge, lam=1, method="normal")
    # 4 + (2.5 - 3.5): the offset is removed. No residual varies; the others' variance is 1, of 2 rows.
    assert result.interval.estimate == 3
    assert result.interval.high - 3 == pytest.approx(stats.norm.ppf(0.975) * math.sqrt(1 / 2))
    assert (result.judge_mean, result.bias) == pytest.approx((22 / 6, 2 / 3))
    assert (result.n_rows, result.interval.n, result.n_unscored, result.lam) == (6, 4, 0, (1,))
    assert any("same amount" in note for note in result.notes)
    # cov = 1.25, variance of all six scores 1.4667, (1 + 4/2): lam = 1.25 / 4.4.
    assert ppi_mean(human, judge).lam[0] == pytest.approx(1.25 / (3 * 22 / 15))


def test_student_interval_by_hand() -> None:
    labels, scores, others = parts(60, 500)
    result = ppi_mean(HUMAN, JUDGE)
    residual = labels - result.lam[0] * scores
    variances = [residual.var() / 58, result.lam[0] ** 2 * others.var(ddof=1) / 500]
    free = sum(variances) ** 2 / (variances[0] ** 2 / 58 + variances[1] ** 2 / 499)
    half = stats.t.ppf(0.975, free) * math.sqrt(sum(variances))
    assert result.interval.high - result.interval.estimate == pytest.approx(half, abs=1e-9)
    assert result.effective_n == pytest.approx(60 * labels.var(ddof=1) / 60 / sum(variances), abs=1e-9)
    theirs = stats.ttest_1samp(labels, 0).confidence_interval(0.95)
    assert limits(result.classical) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert result.width_ratio < 1
    assert result.effective_n > 60
    assert result.interval.method == "PPI++: student"


def test_the_classical_mean_is_a_special_case() -> None:
    unused = ppi_mean(HUMAN, JUDGE, lam=0)
    assert limits(unused) == limits(unused.classical)
    assert (unused.width_ratio, unused.effective_n) == (1, 60)
    complete = ppi_mean(*parts(60, 1)[:2])
    assert limits(complete) == limits(complete.classical)
    assert "All rows have a human label, so the judge adds nothing." in complete.notes
    unscored = ppi_mean([1, 2, 3, None], [None, None, None, None], method="student")
    assert (unscored.interval.estimate, unscored.lam, unscored.n_unscored) == (2, (0,), 4)
    assert math.isnan(unscored.judge_mean)
    assert limits(unscored) == limits(unscored.classical)


def test_without_clipping_the_scale_of_the_judge_does_not_matter() -> None:
    same = ppi_mean(HUMAN, JUDGE)
    for factor in (0.1, 10, -1):
        other = ppi_mean(HUMAN, factor * JUDGE, clip=False)
        assert limits(other) == pytest.approx(limits(same), abs=1e-9)
        assert other.lam[0] == pytest.approx(same.lam[0] / factor)
    # Clipped at 1, a judge of a tenth of the scale helps little; an opposite one is not used.
    assert ppi_mean(HUMAN, 0.1 * JUDGE).lam[0] == 1
    opposite = ppi_mean(HUMAN, -JUDGE)
    assert opposite.lam[0] == 0
    assert any("not used" in note for note in opposite.notes)


def test_unscored_rows_have_the_mean_score() -> None:
    judge = JUDGE.copy()
    judge[[3, 70, 71]] = np.nan
    result = ppi_mean(HUMAN, judge)
    assert limits(result) == limits(ppi_mean(HUMAN, np.where(np.isnan(judge), np.nanmean(judge), judge)))
    assert result.n_unscored == 3
    assert any(note.startswith("3 rows have no judge's score") for note in result.notes)


def test_estimates_can_be_cut_to_the_scale() -> None:
    result = ppi_mean([1] * 19 + [0] + [None] * 80, [1] * 60 + [0] * 40)
    cut = result.within(0, 1)
    assert result.classical.high > 1
    assert limits(cut.classical) == (result.classical.low, 1)
    assert limits(cut) == (max(0, result.interval.low), min(1, result.interval.high))
    assert cut.interval.estimate == result.interval.estimate
    # A corrected mean itself may be outside the scale.
    beyond = ppi_mean([1, 1, 1, None, None, None], [0, 0, 0, 1, 1, 1], lam=1)
    assert (beyond.interval.estimate, beyond.within(0, 1).interval.estimate) == (2, 1)
    assert math.isnan(ppi_mean([None], [1]).within(0, 1).interval.low)
    assert math.isnan(ppi_mean([1, None], [1, 1]).within(0, 1).interval.low)
    with pytest.raises(ConfigError, match="`low` is 5 and `high` 1"):
        result.within(5, 1)


def test_two_labels_or_fewer_have_no_limits() -> None:
    for n in (0, 1, 2):
        for probabilities in (None, np.full(20, 0.1)):
            result = ppi_mean(*columns(*parts(n, 20 - n)), probabilities=probabilities)
            assert math.isnan(result.interval.low)
            assert math.isnan(result.interval.estimate) == (n == 0)
            assert json.loads(json.dumps(result.to_dict()))["interval"]["low"] is None


def test_few_labels_are_bootstrapped_with_a_note() -> None:
    human, judge = columns(*parts(FEW_LABELS - 1, 300))
    result = ppi_mean(human, judge)
    assert result.interval.method == "PPI++: studentized bootstrap"
    assert result.notes[0].startswith("There are only 49 human labels")
    student = ppi_mean(human, judge, method="student")
    assert result.interval.low <= student.interval.low < student.interval.high <= result.interval.high
    assert result.interval == ppi_mean(human, judge).interval
    assert ppi_mean(*columns(*parts(FEW_LABELS, 300))).notes == ()


def test_weighted_means_by_hand_and_for_equal_probabilities() -> None:
    # Two labeled rows stand for 1/.5 = 2 and 1/.25 = 4 rows: (2 x 1 + 4 x 4) / 6; scores (2 x 2 + 4 x 5) / 6 = 4.
    human, judge, probabilities = [1.0, 4, None, None], [2.0, 5, 3, 4], [0.5, 0.25, None, None]
    assert ppi_mean(human, judge, probabilities=probabilities, lam=0).interval.estimate == pytest.approx(3)
    assert ppi_mean(human, judge, probabilities=probabilities, lam=1).interval.estimate == pytest.approx(3.5 + 3 - 4)
    # One multiplies the mean of the others, the other that of all: the same for lam and lam x 500 / 560.
    weighted = ppi_mean(HUMAN, JUDGE, probabilities=np.full(560, 0.2), lam=0.7)
    plain = ppi_mean(HUMAN, JUDGE, lam=0.7 * 500 / 560)
    assert weighted.interval.estimate == pytest.approx(plain.interval.estimate, abs=1e-9)
    # The linearized variance centers all scores on one mean.
    assert limits(weighted) == pytest.approx(limits(plain), abs=2e-3)
    # Only proportions matter.
    other = ppi_mean(HUMAN, JUDGE, probabilities=np.full(560, 0.9), lam=0.7)
    assert limits(other) == pytest.approx(limits(weighted))


def unevenly_labeled(rng: np.random.Generator, size: int) -> tuple[Floats, Floats, Floats]:
    """Rows with low scores are labeled five times as often as the others; the true mean is 0."""
    labels = rng.normal(size=size)
    scores = labels + rng.normal(size=size)
    probabilities = np.where(scores < 0, 0.25, 0.05)
    return np.where(rng.random(size) < probabilities, labels, np.nan), scores, probabilities


def test_inclusion_probabilities_remove_selection_bias() -> None:
    rng = np.random.default_rng(8)
    covered, lams, ratios, ignored = 0, [], [], []
    for _ in range(400):
        human, judge, probabilities = unevenly_labeled(rng, 800)
        result = ppi_mean(human, judge, probabilities=probabilities)
        covered += contains(result.interval, 0)
        lams.append(result.lam[0])
        ratios.append(result.width_ratio)
        ignored.append(ppi_mean(human, judge).interval.estimate)
    # 400 draws: two standard errors around .95 are .928 to .972.
    assert 0.925 <= covered / 400 <= 0.98
    # var(judge) is 2 and cov 1, so lam is about a half.
    assert 0.4 < np.mean(lams) < 0.65
    assert np.mean(ratios) < 0.9
    assert np.mean(ignored) < -0.1


def test_intervals_cover_the_true_value() -> None:
    rng = np.random.default_rng(5)
    covered = dict.fromkeys(("student", "few", "weighted few", "difference"), 0)
    for seed in range(250):
        options: Any = {"bootstrap": BootstrapConfig(resamples=300, seed=seed)}
        labels = rng.normal(size=600)
        scores = labels + rng.normal(size=600)
        uneven, judge, probabilities = unevenly_labeled(rng, 250)
        half = np.where(np.arange(300) < 60, labels[:300], np.nan), scores[:300]
        other = np.where(np.arange(300) < 80, labels[300:], np.nan), scores[300:]
        results = {
            "student": ppi_mean(np.where(np.arange(600) < 100, labels, np.nan), scores, **options),
            "few": ppi_mean(np.where(np.arange(600) < 20, labels, np.nan), scores, **options),
            "weighted few": ppi_mean(uneven, judge, probabilities=probabilities, **options),
            "difference": ppi_difference(*half, *other, paired=False, **options),
        }
        for name, result in results.items():
            covered[name] += contains(result.interval, 0)
    # 250 draws: two and a half standard errors around .95 are .916 to .984; the bootstrap is a little wide.
    assert all(0.91 <= count / 250 <= 0.99 for count in covered.values()), covered


def test_unobserved_errors_widen_the_interval_by_its_level() -> None:
    # The judge is correct on all n labeled rows: z^2 / 2 pseudo-errors (Agresti & Coull 1998), each changes 1 / n.
    n, others = 60, 200
    values = np.arange(n + others) % 2.0
    human = np.where(np.arange(n + others) < n, values, np.nan)
    judged = values[n:].var(ddof=1) / others
    for level in (0.8, 0.95, 0.99):
        result = ppi_mean(human, values, lam=1, method="student", bootstrap=BootstrapConfig(level=level))
        unseen = stats.norm.ppf((1 + level) / 2) ** 2 / 2 / n**2
        free = (judged + unseen) ** 2 / (judged**2 / (others - 1))
        half = stats.t.ppf((1 + level) / 2, free) * math.sqrt(judged + unseen)
        assert limits(result) == pytest.approx((0.5 - half, 0.5 + half))


def test_differences_are_those_of_means() -> None:
    human_b, judge_b = 0.5 * HUMAN + 0.1, 0.5 * JUDGE
    human_b[2] = np.nan
    paired = ppi_difference(HUMAN, JUDGE, human_b, judge_b, paired=True)
    assert paired.interval == ppi_mean(HUMAN - human_b, JUDGE - judge_b).interval
    assert (paired.interval.n, paired.n_rows) == (59, 560)
    # Independent samples: variances are added.
    second = columns(*parts(100, 100))
    difference = ppi_difference(HUMAN, JUDGE, *second, paired=False, method="normal")
    a, b = ppi_mean(HUMAN, JUDGE, method="normal"), ppi_mean(*second, method="normal")
    assert difference.interval.estimate == pytest.approx(a.interval.estimate - b.interval.estimate)
    halves = [each.interval.high - each.interval.estimate for each in (difference, a, b)]
    assert halves[0] == pytest.approx(math.hypot(halves[1], halves[2]))
    assert difference.lam == (*a.lam, *b.lam)
    assert (difference.interval.n, difference.n_rows) == (160, 760)
    assert difference.judge_mean == pytest.approx(a.judge_mean - b.judge_mean)
    # Without the judge it is Welch's test.
    plain = ppi_difference(HUMAN, JUDGE, *second, paired=False, lam=0)
    labels = [column[~np.isnan(column)] for column in (HUMAN, second[0])]
    theirs = stats.ttest_ind(*labels, equal_var=False).confidence_interval(0.95)
    assert limits(plain) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def clustered(rng: np.random.Generator, texts: int, labeled: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Five correlated answers to each text; those to the first texts are labeled. The true mean is 0."""
    labels = (rng.normal(size=(texts, 1)) + 0.5 * rng.normal(size=(texts, 5))).ravel()
    scores = 0.7 * labels + (0.5 * rng.normal(size=(texts, 1)) + 0.3 * rng.normal(size=(texts, 5))).ravel() + 1
    return np.where(np.arange(5 * texts) < 5 * labeled, labels, np.nan), scores, np.repeat(np.arange(texts), 5)


def test_cluster_intervals_cover_the_true_value() -> None:
    rng = np.random.default_rng(9)
    covered = {"clusters": 0, "rows": 0, "weighted": 0, "difference": 0}
    for _ in range(300):
        human, judge, texts = clustered(rng, 300, 60)
        # The same texts, answered by another system: effects of the text on both are no difference.
        other = human + rng.normal(size=1500)
        groups: Any = {"clusters": texts, "clusters_b": texts}
        results = {
            "clusters": ppi_mean(human, judge, clusters=texts),
            "rows": ppi_mean(human, judge),
            "weighted": ppi_mean(human, judge, clusters=texts, probabilities=np.full(1500, 0.2)),
            "difference": ppi_difference(human, judge, other, judge, paired=False, **groups),
        }
        for name, result in results.items():
            covered[name] += contains(result.interval, 0)
    assert covered.pop("rows") / 300 < 0.8
    # 300 draws: two and a half standard errors around .95 are .919 to .981.
    assert all(0.915 <= count / 300 <= 0.985 for count in covered.values()), covered


def test_clusters_by_hand_and_of_single_rows() -> None:
    # Without the judge, two clusters of two: sums of (label - mean) / 4 are -.5 and .5, one degree, so 2 x .5.
    result = ppi_mean([1.0, 2, 3, 4], [0.0, 0, 0, 0], clusters=["a", "a", "b", "b"], lam=0)
    sums = [(1 + 2 - 5) / 4, (3 + 4 - 5) / 4]
    half = stats.t.ppf(0.975, 1) * math.sqrt(2 * (sums[0] ** 2 + sums[1] ** 2))
    assert result.interval.high - result.interval.estimate == pytest.approx(half, abs=1e-9)
    assert result.notes[0].startswith("There are only 2 clusters with human labels")
    human, judge = columns(*parts(200, 500))
    single, plain = ppi_mean(human, judge, clusters=np.arange(700)), ppi_mean(human, judge)
    assert single.interval.estimate == plain.interval.estimate
    assert limits(single) == pytest.approx(limits(plain), abs=1e-3)
    assert limits(single.classical) == pytest.approx(limits(plain.classical))
    assert single.interval.method == "PPI++: student, 200 clusters with labels"
    human, judge, texts = clustered(np.random.default_rng(2), 100, 60)
    paired = ppi_difference(human, judge, 0.5 * human, 0.5 * judge, paired=True, clusters=texts)
    assert paired.interval == ppi_mean(0.5 * human, 0.5 * judge, clusters=texts).interval


def test_invalid_arguments_are_refused() -> None:
    two: Any = [1, 2]
    cases: list[tuple[type[Exception], str, Any]] = [
        (ConfigError, "method", lambda: ppi_mean(two, two, clusters=two, method="bootstrap")),
        (ConfigError, "method", lambda: ppi_mean(two, two, method="clt")),  # type: ignore[arg-type]
        (ConfigError, "lam", lambda: ppi_mean(two, two, lam=math.nan)),
        (DataError, "clusters", lambda: ppi_mean(two, two, clusters=[1])),
        (DataError, "clusters_b", lambda: ppi_difference([1], [1], [1], [1], paired=False, clusters=[1])),
        (DataError, "human", lambda: ppi_mean(two, [1, 2, 3])),
        (DataError, "judge", lambda: ppi_mean(two, ["good", "bad"])),
        (DataError, "judge", lambda: ppi_mean(two, ["1", "2"])),
        (DataError, "human", lambda: ppi_mean([1, math.inf], two)),
        (DataError, "human_b", lambda: ppi_difference(two, two, [1], [1], paired=True)),
        (DataError, "human_b", lambda: ppi_difference(two, two, [1], two, paired=False)),
        (DataError, "probabilities", lambda: ppi_mean([*two, 3, None], [*two, 3, 4], probabilities=[0, 1, None, 0])),
        (DataError, "probabilities", lambda: ppi_mean(two, two, probabilities=[0.5])),
    ]
    for error, field, call in cases:
        with pytest.raises(error, match=f"`{field}`"):
            call()
