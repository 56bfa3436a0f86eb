"""A codebook with six variables and skip logic, and a labeled table for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Value

from hf_synthlabels.annotation import Codebook, read_codebook
from hf_synthlabels.review import AnnotationSession, DecisionStore, ReviewOptions
from hf_synthlabels.review.annotation_session import Decision
from hf_synthlabels.review.codebook.codebook_review import CodebookReview
from hf_synthlabels.review.codebook.codebook_rows import open_codebook
from hf_synthlabels.review.codebook.codebook_session import CodebookSession

__all__ = ["CODEBOOK", "SECRET", "answer", "codebook_session", "codebook_table", "written_codebook"]

CODEBOOK = """
name: protests
source: {path: parquet, data_files: data.parquet}
task:
  text: text
  instructions: Code what the report says, not what you know.
  variables:
    protest:
      kind: text-classification
      instructions: Is there a protest?
      labels:
        "yes": people protest in public, for or against something
        "no": no protest, or only the threat of one
      guidelines: A strike counts only if people gather.
    issues:
      kind: multi-label
      instructions: What is the protest about?
      labels: {wages: pay and prices, rights: civil rights, climate: the environment}
      ask_if: {variable: protest, is: ["yes"]}
    wage_claim:
      kind: text-generation
      instructions: Copy the wage claim.
      ask_if: {variable: issues, is: [wages]}
    violence:
      kind: text-scale
      instructions: How violent is the event?
      scale: {low: 0, high: 4}
      human: coded_violence
    actors:
      kind: token-classification
      instructions: Mark people and organizations.
      labels: {person: a named person, organization: a named organization}
    tone:
      kind: text-classification
      instructions: What is the tone of the report?
      labels: [neutral, sympathetic, hostile]
annotator: {client: recorded, column: "{variable}_raw"}
"""

SECRET = "The union wants fourteen percent"
"""A label of the LLM that occurs nowhere else."""

TEXT = "Ann Lee of Acme joined workers who marched for higher pay."
LLM: dict[str, Any] = {
    "protest": 0,
    "issues": [0, 1],
    "wage_claim": SECRET,
    "violence": 3.0,
    "actors": [{"start": 0, "end": 7, "text": "Ann Lee", "label": 0}],
    "tone": 2,
}


def written_codebook(folder: Path) -> Path:
    (folder / "codebook.yaml").write_text(CODEBOOK, encoding="utf-8")
    return folder / "codebook.yaml"


def codebook_table(folder: Path, rows: int = 8, sampled: int = 6) -> Dataset:
    """Rows with LLM labels of all variables; the first are sampled with a probability of 0.5."""
    codebook = read_codebook(written_codebook(folder))
    assert isinstance(codebook, Codebook)
    content: dict[str, Any] = {
        "text": [f"{TEXT} Report {row}." for row in range(rows)],
        "inclusion_probability": [0.5 if row < sampled else None for row in range(rows)],
    }
    features: dict[str, Any] = {"text": Value("string"), "inclusion_probability": Value("float64")}
    for name, recipe in codebook.variables.items():
        content |= {name: [LLM[name]] * rows, f"{name}_status": ["labelled"] * rows, f"{name}_note": [SECRET] * rows}
        features |= {name: recipe.schema_of_labels().feature(), f"{name}_status": Value("string")}
        features[f"{name}_note"] = Value("string")
    table = Dataset.from_dict(content, features=Features(features))
    assert isinstance(table, Dataset)
    return table


def codebook_session(
    folder: Path, table: Dataset | None = None, *, blind: bool | None = None, per_row: int | None = None, **options: Any
) -> CodebookSession:
    data = folder / "data.parquet"
    codebook = read_codebook(written_codebook(folder))
    assert isinstance(codebook, Codebook)
    if table is not None or not data.exists():
        (codebook_table(folder) if table is None else table).to_parquet(str(data))
    rows = open_codebook(str(data), codebook, ReviewOptions(**options))
    store = DecisionStore(folder / "data.parquet.review.sqlite")
    return CodebookSession(CodebookReview(rows, store), per_row=per_row, blind=blind)


def answer(
    session: CodebookSession | AnnotationSession, name: str, row: int, value: Any, **more: Any
) -> dict[str, Any]:
    """The labels of one row, as the page sends them."""
    assert isinstance(session, CodebookSession)
    return session.decide(Decision(name, row, session.review.rows.row(row).digest, value, **more))
