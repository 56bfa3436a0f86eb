from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import cohen_kappa, gwet_ac1, krippendorff_alpha
from hf_synthlabels.statistics.agreement.chance_corrected import SCALES, Scale, gwet_ac2, scott_pi
from tests.oracles import oracle

# Krippendorff's own example (2011, section C): four observers, twelve units, gaps. He gives .743, .815, .849 and .797.
OBSERVERS: list[list[float | None]] = [
    [None if code == "." else float(code) for code in row]
    for row in ["11.1", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", ".555", "..11", ".3.."]
]
THREE: list[list[float | None]] = [
    [None if code == "." else float(code) for code in row]
    for row in ["455", "111", ".21", "222", "112", "555", "445", "34.", "121", "..2", "111", "243", "434", "243", "113"]
]
A = [1, 2, 3, 1, 2, 5, 4, 4, 2, 1, 3, 3]
B = [1, 2, 2, 1, 3, 5, 5, 4, 2, 2, 3, 1]
PAIRS = list(zip(A, B, strict=True))


def test_alpha_matches_the_package_krippendorff() -> None:
    # By krippendorff 0.9.0, nominal to ratio.
    for ratings, expected in (
        (OBSERVERS, (0.743421052631579, 0.8153875037548814, 0.8491071428571428, 0.7974027747116121)),
        (THREE, (0.3091787439613527, 0.7956207187531024, 0.8097014925373135, 0.734980923637606)),
    ):
        alphas = [krippendorff_alpha(ratings, scale) for scale in SCALES]
        assert alphas == pytest.approx(list(expected), abs=1e-9)


def test_alpha_matches_the_installed_package_on_random_tables() -> None:
    package = oracle("krippendorff")
    rng = np.random.default_rng(0)
    for _ in range(20):
        table = rng.integers(0, 6, size=(25, 4)).astype(float)
        table[rng.random(table.shape) < 0.2] = np.nan
        for scale in SCALES:
            theirs = package.alpha(reliability_data=table.T, level_of_measurement=scale)
            assert krippendorff_alpha(table, scale) == pytest.approx(theirs, abs=1e-9)


def coincidence_alpha(table: np.ndarray, scale: Scale) -> float:
    """Alpha by the matrix of coincidences, as in the paper, with every distance summed up."""
    values = sorted({v for v in table.ravel().tolist() if not math.isnan(v)})
    o = np.zeros((len(values), len(values)))
    for unit in table:
        codes = [values.index(v) for v in unit.tolist() if not math.isnan(v)]
        for i, c in enumerate(codes):
            for j, k in enumerate(codes):
                if i != j:
                    o[c, k] += 1 / (len(codes) - 1)
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
def test_alpha_matches_the_matrix_of_coincidences(rows: list[list[int | None]]) -> None:
    table = np.array(rows, dtype=float)
    for scale in SCALES:
        np.testing.assert_allclose(krippendorff_alpha(table, scale), coincidence_alpha(table, scale), atol=1e-9)


def test_alpha_of_many_numbers_does_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.random.default_rng(1).uniform(1, 5, size=(40, 2))
    whole = krippendorff_alpha(table, "ratio")
    monkeypatch.setattr("hf_synthlabels.statistics.agreement.chance_corrected.CHUNK", 7)
    assert krippendorff_alpha(table, "ratio") == pytest.approx(whole, abs=1e-12)


def test_pi_and_gwets_coefficients_match_irrcac() -> None:
    # By irrCAC 0.4.4 with the five categories (CAC(...).gwet() and .fleiss()). For OBSERVERS, R's irrCAC prints
    # AC1 = .77544 and Fleiss' kappa = .76117.
    for ratings, expected in (
        (OBSERVERS, (0.761169275422411, 0.775444068126995, 0.858739136432611, 0.914000723551605)),
        (THREE, (0.263904034896401, 0.290966386554622, 0.601063829787234, 0.803206997084548)),
    ):
        ours = (scott_pi(ratings), gwet_ac1(ratings), gwet_ac2(ratings, "linear"), gwet_ac2(ratings))
        assert ours == pytest.approx(expected, abs=1e-9)
    # By Fleiss' kappa of statsmodels.
    three = [[1, 1, 2], [2, 2, 2], [3, 3, 1], [1, 1, 1], [2, 3, 3], [3, 3, 3], [1, 2, 1], [2, 2, 3]]
    assert scott_pi(three) == pytest.approx(0.375, abs=1e-9)


def test_coefficients_of_two_raters_match_nltk_and_irrcac() -> None:
    # By nltk 3.10.4: AnnotationTask(...).pi(), .alpha(), .kappa(); by irrCAC: .gwet().
    ours = (scott_pi(PAIRS), krippendorff_alpha(PAIRS), cohen_kappa(A, B), gwet_ac1(PAIRS))
    expected = (0.46428571428571436, 0.4866071428571429, 0.46902654867256643, 0.482758620689655)
    assert ours == pytest.approx(expected, abs=1e-9)


def test_ac1_of_a_skewed_table_by_hand() -> None:
    # 118 times both say yes, 5 and 2 times one of them, never none. Agreement 118/125, share of yes (123 + 120) / 250.
    pairs = [["+", "+"]] * 118 + [["+", "-"]] * 5 + [["-", "+"]] * 2
    yes = 243 / 250
    chance = 2 * yes * (1 - yes)
    assert gwet_ac1(pairs) == pytest.approx((118 / 125 - chance) / (1 - chance), abs=1e-12)
    # Kappa and pi are below chance there.
    first, second = zip(*pairs, strict=True)
    assert cohen_kappa(first, second) < 0
    assert scott_pi(pairs) < 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=30))
def test_kappas_match_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    a, b = zip(*pairs, strict=True)
    for weights in (None, "linear", "quadratic"):
        kappa = cohen_kappa(a, b, weights)
        if len(set(a) | set(b)) == 1:
            assert math.isnan(kappa)
        else:
            theirs = metrics.cohen_kappa_score(a, b, weights=weights, labels=[1, 2, 3, 4, 5])
            assert kappa == pytest.approx(theirs, abs=1e-9)


def test_names_equal_numbers_and_missing_ratings_are_left_out() -> None:
    names = [[None if v is None else "abcdef"[int(v)] for v in row] for row in OBSERVERS]
    for coefficient in (krippendorff_alpha, scott_pi, gwet_ac1):
        assert coefficient(np.array(names, dtype=object)) == coefficient(OBSERVERS)
    assert cohen_kappa([*map(str, A), None, "1"], [*map(str, B), "1", None]) == cohen_kappa(A, B)
    assert cohen_kappa([*A, math.nan], [*B, 1], "linear") == cohen_kappa(A, B, "linear")


def test_ac1_of_more_categories_has_less_chance_agreement() -> None:
    assert gwet_ac1(PAIRS, range(1, 6)) == gwet_ac1(PAIRS)
    assert gwet_ac1(PAIRS, range(1, 11)) > gwet_ac1(PAIRS)
    assert gwet_ac1([["x", "x"], ["x", "x"]], ["x", "y"]) == 1


def test_nothing_to_compare_is_undefined() -> None:
    for ratings in (np.empty((0, 2)), [[1.0, None], [None, 2.0]], [[3.0, 3.0], [3.0, 3.0]], [[None, None]]):
        a, b = np.array(ratings, dtype=float).T
        values = [krippendorff_alpha(ratings, scale) for scale in SCALES]
        values += [scott_pi(ratings), gwet_ac1(ratings), gwet_ac2(ratings)]
        values += [cohen_kappa(a, b), cohen_kappa(a, b, "linear"), cohen_kappa(a, b, "quadratic")]
        assert all(map(math.isnan, values))


def test_invalid_arguments_are_refused() -> None:
    cases: list[tuple[type[Exception], str, Any, tuple[Any, ...]]] = [
        (ConfigError, "scale", krippendorff_alpha, (OBSERVERS, "likert")),
        (ConfigError, "weights", cohen_kappa, (A, B, "cubic")),
        (ConfigError, "weights", gwet_ac2, (OBSERVERS, "cubic")),
        (ConfigError, "categories", gwet_ac1, (PAIRS, [1, 2, 3, 4])),
        (DataError, "ratings", scott_pi, (A,)),
        (DataError, "ratings", krippendorff_alpha, ([[1, -1], [2, 2]], "ratio")),
        (DataError, "ratings", krippendorff_alpha, ([["good", "bad"]], "interval")),
        (DataError, "a", cohen_kappa, ([1, 2], [1])),
    ]
    for error, field, function, arguments in cases:
        with pytest.raises(error, match=f"`{field}`"):
            function(*arguments)
