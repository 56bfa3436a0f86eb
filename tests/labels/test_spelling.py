"""Names in several spellings are reported with their counts, and joined on request; unknown labels are found."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset
from typer.testing import CliRunner

from hf_synthlabels.cli.main import app
from hf_synthlabels.errors import DataError
from hf_synthlabels.labels.spelling import normalize_spelling, spelling_variants, unknown_labels
from hf_synthlabels.publishing import annotation_sheet, import_labels, sample_rows
from hf_synthlabels.publishing.sampled_data import spelling_warning
from hf_synthlabels.statistics import estimate, validate

LABELS = ["billing", "Billing", "billing ", "billing", "refund", None, "new\u00a0york", "new york"]


def test_variants_have_the_most_frequent_spelling_first() -> None:
    assert spelling_variants(LABELS) == [
        {"billing": 2, "Billing": 1, "billing ": 1},
        {"new york": 1, "new\u00a0york": 1},
    ]


def test_labels_in_one_spelling() -> None:
    result = normalize_spelling(LABELS)
    assert result == ["billing"] * 4 + ["refund", None, "new york", "new york"]
    assert normalize_spelling(["BILLING", "x"], ["Billing"]) == ["Billing", "x"]


def test_unknown_labels_name_the_class_that_is_likely_meant() -> None:
    labels = ["biassed", "Neutral", "biassed", "fair", "biased", None]
    assert unknown_labels(labels, ["biased", "neutral"]) == {
        "biassed": (2, "biased"),
        "Neutral": (1, "neutral"),
        "fair": (1, None),
    }


def test_validate_reports_spellings_and_joins_them_on_request() -> None:
    human = ["billing", "Billing", "billing ", "refund"] * 5
    rows = Dataset.from_dict({"label": human, "llm_label": ["billing", "billing", "billing", "refund"] * 5})
    report = validate(rows, resamples=50)
    assert report.accuracy.estimate == 0.5
    (note,) = [note for note in report.notes if "normalize_labels" in note]
    assert "'Billing' (5 rows)" in note
    joined = validate(rows, normalize_labels=True, resamples=50)
    assert joined.accuracy.estimate == 1
    assert joined.names == ("billing", "refund")
    assert not any("normalize_labels" in note for note in joined.notes)


def spelled() -> Dataset:
    """40 rows: the LLM says billing (20) and refund (20); the humans, of half of them, the same in other spellings."""
    llm = ["billing", "refund"] * 20
    human = [("Billing", "refund ")[row % 2] if row < 20 else None for row in range(40)]
    return Dataset.from_dict({"label": human, "llm_label": llm, "student": ["BILLING", "refund"] * 20})


def test_conclude_reports_spellings_and_joins_them_on_request() -> None:
    apart = estimate(spelled())
    assert [each.name for each in apart] == ["Billing", "billing", "refund", "refund "]
    assert any("'Billing' (10 rows)" in note for note in apart.notes)
    joined = estimate(spelled(), normalize_labels=True)
    assert [each.name for each in joined] == ["billing", "refund"]
    assert joined["billing"].classical.estimate == 0.5
    assert not any("normalize_labels" in note for note in joined.notes)
    # Predictions and the class that is named are in other spellings, too.
    scored = estimate(spelled(), estimand="f1", prediction="student", normalize_labels=True)
    assert scored["macro F1"].ppi.estimate == 1
    grouped = spelled().add_column("side", ["a", "b"] * 20)
    shares = estimate(grouped, groups="side", positive="BILLING", normalize_labels=True)
    assert (shares["a"].naive.estimate, shares["b"].naive.estimate) == (1, 0)


def test_sample_and_merge_report_spellings_and_join_them_on_request() -> None:
    llm = ["billing", "Billing", "refund", "billing", "refund", "billing"] * 10
    rows = Dataset.from_dict({"text": [str(row) for row in range(60)], "llm_label": llm})
    assert "'Billing' (10 rows)" in spelling_warning(rows, "label", "llm_label")
    _, apart = sample_rows(rows, 30, design="stratified")
    _, joined = sample_rows(rows, 30, design="stratified", normalize_labels=True)
    assert [stratum[0] for stratum in apart.strata] == ["Billing", "billing", "refund"]
    assert [stratum[:2] for stratum in joined.strata] == [("billing", 40), ("refund", 20)]
    drawn, made = sample_rows(rows, 6)
    sheet = annotation_sheet(drawn, made)
    sheet = sheet.remove_columns("label").add_column("label", ["REFUND", "billing "] * 3)
    with pytest.raises(DataError, match="normalize-labels"):
        import_labels(drawn, sheet)
    done = import_labels(drawn, sheet, normalize_labels=True)
    assert sorted(value for value in done.rows["label"] if value) == ["billing"] * 3 + ["refund"] * 3
    assert done.unknown == ()


def test_the_verbs_take_the_option(tmp_path: Path) -> None:
    file = str(tmp_path / "rows.jsonl")
    spelled().to_json(file)
    invoked = CliRunner().invoke(app, ["estimate", file])
    assert "--normalize-labels" in invoked.output
    joined = CliRunner().invoke(app, ["estimate", file, "--normalize-labels"])
    assert joined.exit_code == 0
    assert "--normalize-labels" not in joined.output
    drawn = str(tmp_path / "drawn.jsonl")
    command = [
        "sample",
        file,
        "-n",
        "5",
        "--existing-labels",
        "ignore",
        "-o",
        drawn,
        "--to-label",
        str(tmp_path / "s.csv"),
    ]
    assert "--normalize-labels" in CliRunner().invoke(app, command).output
