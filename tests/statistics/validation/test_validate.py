from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import ValidationReport, validate
from tests.statistics.common import Columns

TITLES = (
    Path(__file__).resolve().parents[3].parent / "shared" / "data" / "conference_titles" / "conference_titles.jsonl"
)


def table(human: Sequence[Any], llm: Sequence[Any], **more: Sequence[Any]) -> Columns:
    return Columns(label=human, llm_label=llm, **more)


SMALL = table(
    ["a", "a", "a", "b", "b", None, None],
    ["a", "b", None, "b", "b", "a", None],
    llm_label_status=["labelled", "labelled", "refused", "labelled", "labelled", "labelled", None],
)


def test_seven_rows_by_hand() -> None:
    report = validate(SMALL, resamples=200)
    assert (report.n_rows, report.n_labelled, report.n_human, report.n_answered) == (7, 5, 5, 4)
    assert report.names == ("a", "b")
    assert report.statuses == {"labelled": 5, "(none)": 1, "refused": 1}
    assert report.confusion.counts == ((1, 1, 1), (0, 2, 0))
    assert (report.coverage.estimate, report.coverage.n) == (0.8, 5)
    assert (report.accuracy.estimate, report.accuracy.n) == (0.6, 5)
    assert (report.accuracy_answered.estimate, report.accuracy_answered.n) == (0.75, 4)
    # F1: a 2·1/(1 + 3) = .5, b 2·2/(3 + 2) = .8
    assert report.macro_f1.estimate == pytest.approx(0.65)
    assert report.weighted_f1.estimate == pytest.approx((3 * 0.5 + 2 * 0.8) / 5)
    a, b = report.classes
    assert (a.name, a.support, a.predicted) == ("a", 3, 1)
    assert (a.precision.estimate, a.precision.n) == (1, 1)
    assert (a.recall.estimate, a.recall.n) == (1 / 3, 3)
    assert b.f1.estimate == pytest.approx(0.8)
    assert b.f1.n == 3
    assert report.gate is None


def test_conference_titles_give_the_known_numbers() -> None:
    if not TITLES.exists():
        pytest.skip("the conference titles are not beside this checkout")
    rows = [json.loads(line) for line in TITLES.read_text(encoding="utf-8").splitlines()]
    report = validate(
        table([row["label"] for row in rows], [row["llm:gpt-3.5-turbo"] for row in rows]), gate="accuracy>=0.75"
    )
    assert report.accuracy.estimate == 1955 / 2507
    assert round(report.accuracy_answered.estimate, 4) == 0.7855
    assert (report.accuracy_answered.n, report.n_human - report.n_answered) == (2489, 18)
    assert round(report.weighted_f1.estimate, 3) == 0.783
    assert round(report.macro_f1.estimate, 3) == 0.764
    assert report.gate is not None
    assert report.gate.verdict == "pass"


def test_class_labels_of_datasets_are_read_as_names() -> None:
    datasets = pytest.importorskip("datasets")
    label = datasets.ClassLabel(names=["x", "y", "never"])
    dataset = datasets.Dataset.from_dict(
        {"label": [0, 1, None, -1], "llm_label": ["x", "x", "y", None]},
        features=datasets.Features({"label": label, "llm_label": datasets.Value("string")}),
    )
    report = validate(dataset, resamples=50)
    assert report.names == ("x", "y", "never")
    assert report.confusion.counts == ((1, 0, 0, 0), (1, 0, 0, 0), (0, 0, 0, 0))
    assert report.absent == ("never",)
    formatted = validate(dataset.with_format("numpy"), resamples=50)
    assert formatted.to_json() == report.to_json()


def test_two_class_labels_in_another_order_are_matched_by_name() -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"label": datasets.ClassLabel(names=["x", "y"]), "llm_label": datasets.ClassLabel(names=["y", "x"])}
    )
    dataset = datasets.Dataset.from_dict({"label": [0, 1], "llm_label": [1, 0]}, features=features)
    assert validate(dataset, resamples=50).accuracy.estimate == 1


def test_numpy_values_nan_and_numbers_are_read() -> None:
    report = validate(table(list(np.array(["a", "b"])), ["a", float("nan")]), resamples=50)
    assert (report.n_human, report.n_answered) == (2, 1)
    assert validate(table([0, 1, 1], [0, 1, 0]), resamples=50).names == ("0", "1")


def test_names_fix_the_order_and_keep_absent_classes_out_of_macro_f1() -> None:
    report = validate(table(["a", "b"], ["a", "b"]), names=["c", "b", "a"], resamples=50)
    assert report.absent == ("c",)
    assert report.macro_f1.estimate == 1
    assert math.isnan(report.classes[0].f1.estimate)


def test_rows_that_do_not_fit_are_refused() -> None:
    one = table(["a"], ["a"])
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (table([], []), {}, "`dataset`"),
        (table([None], ["a"]), {}, "`label`"),
        (table(["a"], ["a", "b"]), {}, "`label` has 1 rows and `llm_label` 2"),
        (one, {"human": "lable"}, r"`lable` is not a column\. .*`llm_label`; .*Did you mean `label`\?"),
        (table(["a"], ["z"]), {"names": ["a"]}, "`llm_label` has 1 rows whose label is not in `names`: 'z'"),
        (table(["a"], [0]), {"names": ["a"]}, "`llm_label`.*'0'.*cast the column to a ClassLabel"),
        (table(["z"], ["a"]), {"names": ["a"]}, "`label` has 1 rows whose label is not in `names`: 'z'"),
        (table(["a"], [["a"]]), {}, "`llm_label`"),
        (table(["a"], [1.5]), {}, "`llm_label`"),
        ({"train": SMALL, "test": SMALL}, {}, r"the splits train, test: give one, as dataset\['train'\]"),
    ]
    for dataset, options, match in cases:
        with pytest.raises(DataError, match=match) as caught:
            validate(dataset, **options)
        assert "\n" not in str(caught.value)


def test_class_label_number_out_of_range_is_refused() -> None:
    datasets = pytest.importorskip("datasets")
    dataset = table([7], ["x"])
    dataset.features = {"label": datasets.ClassLabel(names=["x"])}  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="`label`"):
        validate(dataset)


def test_invalid_options_are_refused() -> None:
    for options in ({"gate": "f1>=2"}, {"level": 95}, {"resamples": 0}, {"names": "ab"}, {"names": ["a", "b", "a"]}):
        with pytest.raises(ConfigError):
            validate(SMALL, **options)


def test_reports_are_written_and_read() -> None:
    for gate in (None, "macro_f1>=0.9"):
        report = validate(SMALL, names=["a", "b", "never"], gate=gate, resamples=50)
        again = ValidationReport.from_json(report.to_json())
        assert again.to_json() == report.to_json()
        assert str(again) == str(report)
    assert validate(SMALL, seed=3).to_json() == validate(SMALL, seed=3).to_json()


def test_table_of_21_classes_with_long_names_stays_within_100_columns() -> None:
    rng = np.random.default_rng(0)
    names = [f"a rather long name of a class, number {k} of all" for k in range(21)]
    human = rng.choice(names[:20], size=30_000)
    llm = np.where(rng.random(30_000) < 0.5, human, rng.choice(names[:20], size=30_000))
    report = validate(table(human.tolist(), llm.tolist()), names=names, gate="kappa>=0.99", resamples=50)
    text = str(report)
    assert max(map(len, text.splitlines())) <= 100
    assert "no human-labeled row has: a rather lo…20 of all" in text
    shown = [line.split("  ")[0] for line in text.splitlines() if line.startswith("a rather")]
    assert len(set(shown)) == 20 + 1


def test_table_shows_every_number_with_its_rows() -> None:
    lines = str(validate(SMALL, gate="accuracy>=0.5", resamples=50)).splitlines()
    assert lines[1] == "rows 7, with a predicted label 5, with a human label 5"
    cells = [" ".join(line.split()) for line in lines]
    assert "coverage 0.800 [0.376, 0.964] 5 wilson" in cells
    # Class a: 3 human rows, 1 predicted; precision 1/1, recall 1/3, F1 from the Jaccard share 1/3.
    assert "a 3 1 1.00 [0.21, 1.00] 0.33 [0.06, 0.79] 0.50 [0.12, 0.88]" in cells
    gate = next(line for line in lines if line.startswith("gate"))
    assert gate.startswith("gate accuracy >= 0.5: too few human labels; about")
    # 3 of 5 human labels are a.
    assert any(line.startswith("baseline: always answering 'a' has accuracy 0.600 [0.231, 0.882]") for line in lines)


def test_a_failed_gate_names_the_baseline_and_the_next_step() -> None:
    human, llm = ["no"] * 90 + ["yes"] * 10, ["yes"] * 60 + ["no"] * 40
    report = validate(table(human, llm), gate="accuracy>=0.7", resamples=50)
    assert report.majority is not None
    assert (report.majority[0], report.majority[1].estimate) == ("no", 0.9)
    assert report.gate is not None
    assert report.gate.verdict == "fail"
    assert report.gate.next_step in " ".join(str(report).split("\n"))


def test_rows_that_were_never_asked_are_left_out_of_every_score() -> None:
    rows: dict[str, Any] = {"label": ["a", "b", "a", "b", "a"], "llm_label": ["a", "a", None, None, None]}
    statuses = ["labelled", "labelled", "skipped", "skipped", "unparsed"]
    for kind in ("text-classification", "text-generation"):
        report = validate(Columns(**rows, llm_label_status=statuses), kind=kind, resamples=20)
        # One of three asked rows is right; two were never asked.
        exact = "accuracy" if kind == "text-classification" else "exact_match"
        assert report.n_human == 3
        assert report.scores[exact].estimate == pytest.approx(1 / 3)
        assert any("2 rows were not coded" in note for note in report.notes)
    with pytest.raises(DataError, match="`status`"):
        validate(Columns(**rows, llm_label_status=["skipped"] * 5))


def test_classes_that_are_too_rare_are_named() -> None:
    report = validate(table(["a"] * 20 + ["b"] * 4, ["a"] * 20 + ["b"] * 4), resamples=20)
    assert any("b (4)" in note for note in report.notes)
    assert not validate(table(["a"] * 20 + ["b"] * 5, ["a"] * 20 + ["b"] * 5), resamples=20).notes
