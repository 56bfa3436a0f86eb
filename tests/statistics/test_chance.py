from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import cohen_kappa, gwet_ac1, krippendorff_alpha
from hf_synthlabels.statistics.raters.chance_corrected import KappaWeights, Scale, gwet_ac2, scott_pi
from tests.oracles import oracle

# Krippendorff's own example (2011, section C): four observers, twelve units, gaps. He gives .743, .815, .849 and .797.
OBSERVERS: list[list[float | None]] = [
    [1, 1, None, 1],
    [2, 2, 3, 2],
    [3, 3, 3, 3],
    [3, 3, 3, 3],
    [2, 2, 2, 2],
    [1, 2, 3, 4],
    [4, 4, 4, 4],
    [1, 1, 2, 1],
    [2, 2, 2, 2],
    [None, 5, 5, 5],
    [None, None, 1, 1],
    [None, 3, None, None],
]
THREE: list[list[float | None]] = [
    [4, 5, 5],
    [1, 1, 1],
    [None, 2, 1],
    [2, 2, 2],
    [1, 1, 2],
    [5, 5, 5],
    [4, 4, 5],
    [3, 4, None],
    [1, 2, 1],
    [None, None, 2],
    [1, 1, 1],
    [2, 4, 3],
    [4, 3, 4],
    [2, 4, 3],
    [1, 1, 3],
]
A = [1, 2, 3, 1, 2, 5, 4, 4, 2, 1, 3, 3]
B = [1, 2, 2, 1, 3, 5, 5, 4, 2, 2, 3, 1]


# What krippendorff 0.9.0 gives.
@pytest.mark.parametrize(
    ("ratings", "scale", "expected"),
    [
        (OBSERVERS, "nominal", 0.743421052631579),
        (OBSERVERS, "ordinal", 0.8153875037548814),
        (OBSERVERS, "interval", 0.8491071428571428),
        (OBSERVERS, "ratio", 0.7974027747116121),
        (THREE, "nominal", 0.3091787439613527),
        (THREE, "ordinal", 0.7956207187531024),
        (THREE, "interval", 0.8097014925373135),
        (THREE, "ratio", 0.734980923637606),
    ],
)
def test_alpha_matches_krippendorff(ratings: list[list[float | None]], scale: Scale, expected: float) -> None:
    assert krippendorff_alpha(ratings, scale) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("scale", ["nominal", "ordinal", "interval", "ratio"])
def test_alpha_matches_the_package_where_it_is_installed(scale: Scale) -> None:
    package = oracle("krippendorff")
    rng = np.random.default_rng(0)
    for _ in range(20):
        table = rng.integers(0, 6, size=(25, 4)).astype(float)
        table[rng.random(table.shape) < 0.2] = np.nan
        theirs = package.alpha(reliability_data=table.T, level_of_measurement=scale)
        assert krippendorff_alpha(table, scale) == pytest.approx(theirs, abs=1e-9)


def coincidence_alpha(table: np.ndarray, scale: Scale) -> float:
    """Alpha as the paper writes it: by the matrix of coincidences, with every distance summed up."""
    values = sorted({v for v in table.ravel().tolist() if not math.isnan(v)})
    o = np.zeros((len(values), len(values)))
    for unit in table:
        given_ = [values.index(v) for v in unit.tolist() if not math.isnan(v)]
        for i, c in enumerate(given_):
            for j, k in enumerate(given_):
                if i != j:
                    o[c, k] += 1 / (len(given_) - 1)
    n_c, n = o.sum(axis=1), o.sum()

    def distance(c: int, k: int) -> float:
        a, b = values[c], values[k]
        if scale == "nominal":
            return float(a != b)
        if scale == "interval":
            return float((a - b) ** 2)
        if scale == "ratio":
            return float(((a - b) / (a + b)) ** 2) if a + b else 0.0
        low, high = min(c, k), max(c, k)
        return float((n_c[low : high + 1].sum() - (n_c[c] + n_c[k]) / 2) ** 2)

    pairs = [(c, k) for c in range(len(values)) for k in range(len(values))]
    observed = sum(o[c, k] * distance(c, k) for c, k in pairs)
    expected = sum(n_c[c] * n_c[k] * distance(c, k) for c, k in pairs)
    return float(1 - (n - 1) * observed / expected) if expected else math.nan


TABLES = st.lists(st.lists(st.one_of(st.none(), st.integers(0, 4)), min_size=3, max_size=3), min_size=2, max_size=15)


@settings(deadline=None, max_examples=50)
@given(TABLES)
def test_alpha_matches_the_coincidences(rows: list[list[int | None]]) -> None:
    table = np.array(rows, dtype=float)
    for scale in ("nominal", "ordinal", "interval", "ratio"):
        ours, theirs = krippendorff_alpha(table, scale), coincidence_alpha(table, scale)
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_alpha_compares_many_numbers_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.random.default_rng(1).uniform(1, 5, size=(40, 2))
    whole = krippendorff_alpha(table, "ratio")
    monkeypatch.setattr("hf_synthlabels.statistics.raters.chance_corrected.CHUNK", 7)
    assert krippendorff_alpha(table, "ratio") == pytest.approx(whole, abs=1e-12)


# What irrCAC 0.4.4 gives when it is told the five categories (CAC(...).gwet() and .fleiss()). For OBSERVERS, R's irrCAC
# prints AC1 = .77544 and Fleiss' kappa = .76117.
@pytest.mark.parametrize(
    ("ratings", "pi", "ac1", "linear", "quadratic"),
    [
        (OBSERVERS, 0.761169275422411, 0.775444068126995, 0.858739136432611, 0.914000723551605),
        (THREE, 0.263904034896401, 0.290966386554622, 0.601063829787234, 0.803206997084548),
    ],
)
def test_pi_and_gwets_coefficients_match_irrcac(
    ratings: list[list[float | None]], pi: float, ac1: float, linear: float, quadratic: float
) -> None:
    assert scott_pi(ratings) == pytest.approx(pi, abs=1e-9)
    assert gwet_ac1(ratings) == pytest.approx(ac1, abs=1e-9)
    assert gwet_ac2(ratings, "linear") == pytest.approx(linear, abs=1e-9)
    assert gwet_ac2(ratings) == pytest.approx(quadratic, abs=1e-9)


def test_two_raters_match_nltk_and_irrcac() -> None:
    pairs = list(zip(A, B, strict=True))
    # nltk 3.10.4: AnnotationTask(...).pi(), .alpha(), .kappa(); irrCAC: .gwet().
    assert scott_pi(pairs) == pytest.approx(0.46428571428571436, abs=1e-9)
    assert krippendorff_alpha(pairs) == pytest.approx(0.4866071428571429, abs=1e-9)
    assert cohen_kappa(A, B) == pytest.approx(0.46902654867256643, abs=1e-9)
    assert gwet_ac1(pairs) == pytest.approx(0.482758620689655, abs=1e-9)


def test_three_raters_match_fleiss_of_statsmodels() -> None:
    ratings = [[1, 1, 2], [2, 2, 2], [3, 3, 1], [1, 1, 1], [2, 3, 3], [3, 3, 3], [1, 2, 1], [2, 2, 3]]
    assert scott_pi(ratings) == pytest.approx(0.375, abs=1e-9)


def test_ac1_by_hand() -> None:
    # 118 times both say yes, 5 and 2 times one of them, never none. Agreement 118/125, share of yes (123 + 120) / 250.
    pairs = [["+", "+"]] * 118 + [["+", "-"]] * 5 + [["-", "+"]] * 2
    yes = 243 / 250
    chance = 2 * yes * (1 - yes)
    assert gwet_ac1(pairs) == pytest.approx((118 / 125 - chance) / (1 - chance), abs=1e-12)
    assert round(gwet_ac1(pairs), 4) == 0.9408
    # Kappa and pi see nothing but chance there.
    first, second = zip(*pairs, strict=True)
    assert cohen_kappa(first, second) < 0
    assert scott_pi(pairs) < 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=30))
def test_kappas_match_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    a, b = zip(*pairs, strict=True)
    if len(set(a) | set(b)) == 1:
        assert math.isnan(cohen_kappa(a, b))
        assert math.isnan(cohen_kappa(a, b, "linear"))
        return
    for weights in (None, "linear", "quadratic"):
        theirs = metrics.cohen_kappa_score(a, b, weights=weights, labels=[1, 2, 3, 4, 5])
        assert cohen_kappa(a, b, weights) == pytest.approx(theirs, abs=1e-9)


def test_names_are_as_good_as_numbers_and_rows_without_one_are_left_out() -> None:
    names = [[None if v is None else "abcdef"[int(v)] for v in row] for row in OBSERVERS]
    assert krippendorff_alpha(names) == krippendorff_alpha(OBSERVERS)
    assert scott_pi(names) == scott_pi(OBSERVERS)
    assert gwet_ac1(np.array(names, dtype=object)) == gwet_ac1(OBSERVERS)
    assert cohen_kappa([*map(str, A), None, "1"], [*map(str, B), "1", None]) == cohen_kappa(A, B)
    assert cohen_kappa([*A, math.nan], [*B, 1], "linear") == cohen_kappa(A, B, "linear")


def test_names_that_nobody_gave_are_less_chance() -> None:
    pairs = list(zip(A, B, strict=True))
    assert gwet_ac1(pairs, range(1, 6)) == gwet_ac1(pairs)
    assert gwet_ac1(pairs, range(1, 11)) > gwet_ac1(pairs)
    assert gwet_ac1([["x", "x"], ["x", "x"]], ["x", "y"]) == 1
    with pytest.raises(ConfigError, match=r"`categories`"):
        gwet_ac1(pairs, [1, 2, 3, 4])


@pytest.mark.parametrize(
    "ratings", [np.empty((0, 2)), [[1.0, None], [None, 2.0]], [[3.0, 3.0], [3.0, 3.0]], [[None, None]]]
)
def test_nothing_to_compare_is_undefined(ratings: list[list[float | None]]) -> None:
    for scale in ("nominal", "ordinal", "interval", "ratio"):
        assert math.isnan(krippendorff_alpha(ratings, scale))
    assert math.isnan(scott_pi(ratings))
    assert math.isnan(gwet_ac1(ratings))
    assert math.isnan(gwet_ac2(ratings))
    for weights in (None, "linear", "quadratic"):
        a, b = np.array(ratings, dtype=float).T
        assert math.isnan(cohen_kappa(a, b, weights))


def test_wrong_input_is_told() -> None:
    weights: KappaWeights = "cubic"  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="`scale`"):
        krippendorff_alpha(OBSERVERS, "likert")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="`weights`"):
        cohen_kappa(A, B, weights)
    with pytest.raises(ConfigError, match="`weights`"):
        gwet_ac2(OBSERVERS, weights)
    with pytest.raises(DataError, match=r"`ratings`"):
        scott_pi(A)
    with pytest.raises(DataError, match="below 0"):
        krippendorff_alpha([[1, -1], [2, 2]], "ratio")
    with pytest.raises(DataError, match="`ratings`"):
        krippendorff_alpha([["good", "bad"]], "interval")
    with pytest.raises(DataError, match=r"`a` has shape \(2,\) and `b` \(1,\)"):
        cohen_kappa([1, 2], [1])
