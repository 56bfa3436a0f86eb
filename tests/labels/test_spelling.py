"""Names in several spellings are reported with their counts, and joined on request; unknown labels are found."""

from __future__ import annotations

from datasets import Dataset

from hf_synthlabels.labels import normalised_labels, spelling_variants, unknown_labels
from hf_synthlabels.statistics import validate

LABELS = ["billing", "Billing", "billing ", "billing", "refund", None, "new\u00a0york", "new york"]


def test_variants_have_the_most_frequent_spelling_first() -> None:
    assert spelling_variants(LABELS) == [
        {"billing": 2, "Billing": 1, "billing ": 1},
        {"new york": 1, "new\u00a0york": 1},
    ]


def test_labels_in_one_spelling() -> None:
    found = normalised_labels(LABELS)
    assert found == ["billing"] * 4 + ["refund", None, "new york", "new york"]
    assert normalised_labels(["BILLING", "x"], ["Billing"]) == ["Billing", "x"]


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
