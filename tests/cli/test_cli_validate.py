"""hf-synthlabels validate on every kind of label: from the recipe, and from each file that annotate can write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.statistics import ValidationReport
from hf_synthlabels.tables import read_table
from tests.command_line import Run

PLACES = [{"start": 0, "end": 3, "label": "person"}, {"start": 7, "end": 12, "label": "place"}]

KINDS: dict[str, tuple[dict[str, Any], list[dict[str, Any]], dict[str, float], list[str]]] = {
    "text-pair": (
        {"text": ["text", "other"], "labels": ["same", "different"]},
        [
            {"text": "a", "other": "a", "label": "same", "answer": "same"},
            {"text": "a", "other": "b", "label": "different", "answer": "same"},
        ],
        {"accuracy": 1 / 2},
        [],
    ),
    "multi-label": (
        {"labels": ["film", "sport"]},
        [
            {"text": "x", "label": ["film", "sport"], "answer": '["film"]'},
            {"text": "y", "label": [], "answer": "[]"},
            {"text": "z", "label": ["film"], "answer": "cooking"},
        ],
        {"accuracy": 1 / 3, "coverage": 2 / 3, "micro_f1": 2 * 1 / (1 + 3)},
        ["--kind", "multi-label"],
    ),
    "text-scale": (
        {"scale": {"low": 1, "high": 5}},
        [
            {"text": "x", "label": 4, "answer": "3"},
            {"text": "y", "label": 2, "answer": "2"},
            {"text": "z", "label": 2, "answer": "eleven"},
        ],
        {"mae": (1 + 0 + 3) / 3, "mae_answered": 1 / 2, "coverage": 2 / 3, "within_one": 2 / 3},
        ["--scale", "1:5"],
    ),
    "token-classification": (
        {"labels": ["person", "place"]},
        [
            {"text": "Ada of Paris", "label": PLACES, "answer": '[{"text": "Ada", "label": "person"}]'},
            {"text": "Ada", "label": PLACES[:1], "answer": "I can not say"},
        ],
        {"entity_precision": 1, "entity_recall": 1 / 3, "coverage": 1 / 2},
        ["--kind", "token-classification"],
    ),
    "question-answering": (
        {"context": "text", "question": "question"},
        [
            {"text": "It was in Paris.", "question": "?", "label": {"text": "in Paris", "start": 7}, "answer": "Paris"},
            {"text": "It was then.", "question": "?", "label": {"text": "then", "start": 7}, "answer": "tomorrow"},
        ],
        {"exact_match": 0, "token_f1": (2 / 3 + 0) / 2, "coverage": 1 / 2, "span_overlap": (5 / 8 + 0) / 2},
        ["--kind", "question-answering"],
    ),
    "text-generation": (
        {},
        [{"text": "x", "label": "a red car", "answer": "The red car"}, {"text": "y", "label": "b", "answer": "c"}],
        {"exact_match": 1 / 2, "identical": 0},
        ["--kind", "text-generation"],
    ),
}
"""For each kind its task, rows, scores by hand, and what must be said of a file that has lost its types."""


@pytest.fixture
def recipe(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The recipe of a kind, with recorded answers."""
    task, rows, _, _ = KINDS[request.param]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(lines, encoding="utf-8")
    content = {
        "name": "it",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "task": {"kind": request.param, "human": "label", **task},
        "annotator": {"client": "recorded", "column": "answer"},
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(content), encoding="utf-8")
    return "recipe.yaml"


def check(run: Run, kind: str, *arguments: str) -> None:
    code, out, err = run("validate", *arguments, "-o", "report.json")
    assert (code, err) == (0, "")
    report = ValidationReport.from_json(Path("report.json").read_text(encoding="utf-8"))
    assert str(report) in out
    for name, value in KINDS[kind][2].items():
        assert report.score(name).estimate == pytest.approx(value), name


@pytest.mark.parametrize(("recipe", "kind"), [(kind, kind) for kind in KINDS], indirect=["recipe"], ids=list(KINDS))
def test_a_recipe_tells_the_kind(run: Run, recipe: str, kind: str) -> None:
    check(run, kind, recipe)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "csv"])
@pytest.mark.parametrize(("recipe", "kind"), [(kind, kind) for kind in KINDS], indirect=["recipe"], ids=list(KINDS))
def test_what_annotate_wrote_is_read_back(run: Run, recipe: str, kind: str, suffix: str) -> None:
    file = f"labelled.{suffix}"
    assert run("annotate", recipe, "-o", file)[0] == 0
    check(run, kind, file, *KINDS[kind][3])


@pytest.mark.parametrize(("recipe", "kind"), [("multi-label", "multi-label")], indirect=["recipe"])
def test_names_within_lists_are_spelt_out_in_text_formats(run: Run, recipe: str, kind: str, tmp_path: Path) -> None:
    for suffix, cell in (("jsonl", '"llm_label":["film"]'), ("csv", '"[""film""]"')):
        run("annotate", recipe, "-o", f"labelled.{suffix}")
        assert cell in (tmp_path / f"labelled.{suffix}").read_text(encoding="utf-8")
        # The provenance tells that these are lists.
        rows = read_table(tmp_path / f"labelled.{suffix}")["train"]
        assert rows["llm_label"][0] == ["film"]
        assert rows["llm_label"][2] is None


def test_a_gate_on_an_error(run: Run, tmp_path: Path) -> None:
    lines = "".join(json.dumps({"label": k % 5 + 1, "llm_label": float(k % 5 + 1)}) + "\n" for k in range(200))
    (tmp_path / "d.jsonl").write_text(lines, encoding="utf-8")
    code, out, _ = run("validate", "d.jsonl", "--scale", "1:5", "--gate", "mae<=0.5")
    assert code == 0
    assert "gate mae <= 0.5: pass (upper limit" in out
    code, out, _ = run("validate", "d.jsonl", "--scale", "1:5", "--gate", "rmse<=0.01")
    assert code == 1
    assert "too few human labels" in out


def test_wrong_input_is_told_in_one_line(run: Run, tmp_path: Path) -> None:
    for arguments, said in [
        ("--kind sets", "`kind` is 'sets': give one of text-classification, "),
        ("--scale 5", "`scale` is '5'"),
        ("--scale any:5", "`scale` is 'any:5'"),
        ("--scale 5:1", "`scale` "),
        ("--scale 1:5:0", "`scale.step` "),
        ("--scale 1:5 --kind text-pair", "`kind` is 'text-pair' and the schema's 'text-scale'"),
        ("--scale 2:5", "`label` in row 0: 1 is not on the scale 2 to 5 in steps of 1."),
        ("--scale 1:5 --gate kappa>=0.5", "`metric` is 'kappa'"),
        ("--scale 1:5 --gate mae>=0.5", "of mae less is better, so write 'mae<=0.5'"),
        ("--scale 1:5 --tokens label", "`tokens` is 'label', and labels of kind 'text-scale' have no tokens."),
        ("--kind multi-label", "`label` and `llm_label` hold no label name in any row"),
        ("--kind question-answering", "`label` in row 0: 1 is not an answer."),
        ("--kind text-generation", "`label` in row 0: 1 is not a string."),
    ]:
        (tmp_path / "d.jsonl").write_text('{"label": 1, "llm_label": 2.0}\n', encoding="utf-8")
        code, _, err = run("validate", "d.jsonl", *arguments.split())
        assert code == 2
        assert err.count("\n") == 1
        assert err.startswith("hf-synthlabels: ")
        assert said in err


def test_validate_without_any_label_ends_with_an_error_that_says_why(run: Run, tmp_path: Path) -> None:
    rows = [
        {"label": "film", "llm_label": None, "llm_label_status": "unparsed", "llm_label_note": f"{n} is no label"}
        for n in range(12)
    ]
    path = tmp_path / "labelled.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, err = run("validate", str(path))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "`llm_label` has no label in any of 12 rows" in err
    assert "unparsed" in err


def test_validate_prints_the_most_frequent_reasons(run: Run, tmp_path: Path) -> None:
    rows = [{"label": "film", "llm_label": "film", "llm_label_status": "labelled", "llm_label_note": None}] * 8
    rows += [{"label": "film", "llm_label": None, "llm_label_status": "refused", "llm_label_note": "no"}] * 3
    path = tmp_path / "labelled.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, _ = run("validate", str(path))
    assert code == 0
    assert "3 rows refused: no" in out


def test_confidence_is_checked_in_text_json_and_by_a_named_column(run: Run, tmp_path: Path) -> None:
    rows = [
        {"label": "ab"[row % 2], "llm_label": "a", "llm_label_confidence": 0.9 if row % 2 else 0.6, "mine": 0.5}
        for row in range(40)
    ]
    file, output = tmp_path / "rows.jsonl", tmp_path / "report.json"
    file.write_text("\n".join(map(json.dumps, rows)))
    code, out, err = run("validate", str(file), "-o", str(output))
    assert code == 0, err
    assert "AUROC of being right" in out
    report = ValidationReport.from_json(output.read_text())
    assert report.confidence is not None
    # Wrong labels, those with a human label of b, have more confidence than right ones.
    assert report.confidence.auroc.estimate == 0
    assert run("validate", str(file), "--confidence", "mine", "-o", str(output))[0] == 0
    named_report = ValidationReport.from_json(output.read_text())
    assert named_report.confidence is not None
    assert (named_report.confidence.column, named_report.confidence.auroc.estimate) == ("mine", 0.5)
    for options in (
        ["--confidence", "none"],
        ["--confidence", "mine", "--gate", "accuracy>=0.1", "--gate", "kappa>=0"],
    ):
        code, _, err = run("validate", str(file), *options)
        assert code == 2
        assert any(name in err for name in ("`none`", "`confidence`", "`recalibrate`"))
