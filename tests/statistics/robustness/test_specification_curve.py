"""Specification curves: the estimates of each variant, their verdicts, and the variant that tune rows choose."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import Inference, Interval, estimate
from hf_synthlabels.statistics.robustness.curve_report import SpecificationReport
from hf_synthlabels.statistics.robustness.quantity_curve import QuantityCurve, VariantEstimate, sign, verdict
from hf_synthlabels.statistics.robustness.specification_curve import Analysis, Conclusion, specification_curve
from hf_synthlabels.statistics.robustness.variants import Variant, read_variants
from tests.statistics.common import Columns

ROWS, LABELED = 600, 150
SHARES = {"low": 0.2, "middle": 0.5, "high": 0.8}


def table(seed: int = 0) -> Columns:
    """Half of the rows are `yes`; three variants say so in a fifth, half and four fifths of the rows."""
    rng = np.random.default_rng(seed)
    truth = np.array(["yes", "no"])[rng.integers(2, size=ROWS)]
    columns: dict[str, list[Any]] = {"label": [*truth[:LABELED].tolist(), *[None] * (ROWS - LABELED)]}
    columns["group"] = [("left", "right")[row % 2] for row in range(ROWS)]
    columns["words"] = [row % 7 for row in range(ROWS)]
    for name, share in SHARES.items():
        guesses = np.where(rng.random(ROWS) < share, "yes", "no")
        columns[f"llm:{name}"] = np.where(rng.random(ROWS) < 0.4, truth, guesses).tolist()
    return Columns(**columns)


def variants(data: Columns) -> tuple[Variant, ...]:
    return read_variants(data.column_names, ["llm:{share}"])


def test_each_variant_has_the_estimates_of_its_labels() -> None:
    data = table()
    report = specification_curve(data, variants(data), Analysis(), Conclusion(null=0.5))
    (curve,) = report.curves
    assert (curve.name, curve.null, report.n_human) == ("yes", 0.5, LABELED)
    assert [each.variant.name for each in curve.variants] == ["llm:low", "llm:middle", "llm:high"]
    for each in curve.variants:
        own = estimate(data, llm=each.variant.column, inference=Inference(splits=1))["yes"]
        wide = estimate(data, llm=each.variant.column, inference=Inference(level=1 - 0.05 / 3, splits=1))["yes"]
        assert (each.naive, each.corrected, each.simultaneous) == (own.naive, own.ppi, wide.ppi)
        assert curve.classical == own.classical
    dsl = specification_curve(data, variants(data), Analysis(), Conclusion(null=0.5, estimator="dsl"))
    own = estimate(data, llm="llm:low")["yes"]
    assert dsl.curves[0].variants[0].corrected == own.dsl
    assert report.curves[0].verdicts("naive") == {"below": 1, "inconclusive": 1, "above": 1}
    assert report.curves[0].verdicts("corrected") == {"inconclusive": 3}
    assert report.curves[0].same_verdict("naive", 0.95).estimate == pytest.approx(1 / 3)
    assert report.curves[0].same_verdict("corrected", 0.95).n == 3
    assert "direction flips" in report.warnings()[0]


@pytest.mark.parametrize(
    ("options", "names", "null"),
    [
        ({"groups": "group"}, ["right - left"], 0),
        ({"formula": "verdict ~ words", "llm": "verdict"}, ["words"], 0),
        ({"formula": "words ~ verdict", "llm": "verdict"}, ["verdict = yes"], 0),
    ],
)
def test_differences_and_coefficients_are_compared_with_zero(
    options: dict[str, Any], names: list[str], null: float
) -> None:
    data = table()
    report = specification_curve(data, variants(data), Analysis(**options))
    assert [curve.name for curve in report.curves] == names
    assert [curve.null for curve in report.curves] == [null]
    own = dict(options)
    pair = {"variables": {"verdict": ("llm:high", "label")}} if "formula" in options else {"llm": "llm:high"}
    expected = estimate(data, **{**own, **pair})[names[0]]
    (curve,) = report.curves
    high = next(each for each in curve.variants if each.variant.column == "llm:high")
    assert high.corrected.estimate == pytest.approx(expected.ppi.estimate)
    assert SpecificationReport.from_dict(json.loads(report.to_json())) == report


def test_tune_rows_choose_a_variant_and_holdout_rows_estimate() -> None:
    data = table()
    tune = np.arange(ROWS) < 50
    report = specification_curve(data, variants(data), Analysis(), Conclusion(null=0.5), tune)
    correct = {
        name: sum(a == b for a, b in zip(data["label"][:50], data[f"llm:{name}"][:50], strict=True)) for name in SHARES
    }
    best = max(correct, key=lambda name: correct[name])
    assert report.selection is not None
    assert report.selection.column == f"llm:{best}"
    assert report.selection.score.estimate == pytest.approx(correct[best] / 50)
    assert report.n_human == LABELED - 50
    without = Columns(**{**data.columns, "label": [None] * 50 + list(data["label"])[50:]})
    for each in report.curves[0].variants:
        own = estimate(without, llm=each.variant.column)["yes"]
        assert each.corrected.estimate == pytest.approx(own.ppi.estimate)
        assert each.corrected.n == 100
    with pytest.raises(DataError, match="label"):
        specification_curve(data, variants(data), tune=np.arange(ROWS) >= 500)


def test_numbers_are_chosen_by_their_error_and_agree_on_an_interval_scale() -> None:
    data = Columns(label=[1.0, 2.5, 3.0, None], a=[1.0, 2.5, 4.0, 1.0], b=[1.5, 2.5, 3.0, 2.0])
    report = specification_curve(
        data, read_variants(["a", "b"], ["a,b"]), Analysis(options={"estimand": "mean"}),
        Conclusion(null=2), np.array([True, True, False, False]),
    )  # fmt: skip
    assert report.selection is not None
    assert (report.selection.column, report.selection.score.estimate) == ("a", 0.0)
    # By hand: 2 x (0.25 + 0 + 1 + 1) observed over the pairs of 8 numbers with the sum 17.5 and squares 45.75.
    observed, expected = 2 * 2.25, 2 * (8 * 45.75 - 17.5**2) / 7
    assert report.agreement.estimate == pytest.approx(1 - observed / expected)


@pytest.mark.parametrize(
    ("options", "conclusion", "error"),
    [
        ({"human": "llm:low"}, {}, ConfigError),
        ({}, {"estimator": "naive"}, ConfigError),
        ({}, {"quantities": ["maybe"]}, DataError),
        ({"human": "nobody"}, {}, DataError),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], conclusion: dict[str, Any], error: type) -> None:
    data = table()
    with pytest.raises(error):
        specification_curve(data, variants(data), Analysis(**options), Conclusion(**conclusion))


def test_variants_without_labels_are_left_out() -> None:
    data = Columns(**table().columns, **{"llm:empty": [None] * ROWS})
    report = specification_curve(data, variants(data), Analysis(), Conclusion(null=0.5))
    assert len(report.curves[0].variants) == 3
    assert any("llm:empty" in note for note in report.notes)
    with pytest.raises(ConfigError, match="variants"):
        specification_curve(data, read_variants(data.column_names, ["llm:low,llm:empty"]))


def interval(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, low, high, 0.95, "test", 100)


def curve(*naive: tuple[float, float], corrected: tuple[float, float] = (-1, 1)) -> QuantityCurve:
    estimates = tuple(
        VariantEstimate(Variant(str(place), str(place)), 100, interval(*each), interval(*corrected), interval(-2, 2))
        for place, each in enumerate(naive)
    )
    return QuantityCurve("effect", 0.0, interval(-1, 1), estimates)


@pytest.mark.parametrize(
    ("drawn", "n_warnings", "contradicted"),
    [
        (curve((1, 2), (2, 3)), 0, 0),
        (curve((1, 2), (-1, 3)), 1, 0),
        (curve((1, 2), (-3, -1)), 1, 0),
        (curve((1, 2), (2, 3), corrected=(-3, -1)), 1, 2),
        (curve((-1, 2), (-2, 3)), 0, 0),
    ],
)
def test_warnings_name_flips(drawn: QuantityCurve, n_warnings: int, contradicted: int) -> None:
    assert (len(drawn.warnings()), drawn.contradicted()) == (n_warnings, contradicted)


def test_verdicts_and_signs() -> None:
    assert [verdict(interval(*each), 0) for each in ((1, 2), (-2, -1), (-1, 1), (0, 1))] == [
        "above", "below", "inconclusive", "inconclusive",
    ]  # fmt: skip
    assert verdict(Interval.undefined(0.95, "x"), 0) == "undefined"
    assert [sign(interval(*each), 0) for each in ((0, 2), (-3, 1), (-1, 1))] == ["above", "below", ""]


def test_every_form_has_every_variant() -> None:
    data = table()
    report = specification_curve(data, variants(data), Analysis(), Conclusion(null=0.5))
    lines = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [line["share"] for line in lines] == list(SHARES)
    assert [float(line["naive"]) for line in lines] == [each.naive.estimate for each in report.curves[0].variants]
    for width in (None, 80):
        text = report.text(width)
        assert all(f"llm:{name}" in text for name in SHARES)
        assert "1 of 3" in text
