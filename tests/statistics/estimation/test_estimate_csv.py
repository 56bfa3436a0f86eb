"""Estimates as a CSV table: the calls of the R snippet, and the command for Stata."""

from __future__ import annotations

import csv
import io
from importlib import import_module
from pathlib import Path

import pytest

from tests.command_line import Run


@pytest.fixture
def table(tmp_path: Path) -> Path:
    lines = ["text,label,llm_label"]
    for row in range(120):
        label = ("film", "sport")[row % 2] if row < 60 else ""
        lines.append(f"text {row},{label},{('film', 'sport')[(row + (row % 10 == 0)) % 2]}")
    path = tmp_path / "sampled.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_python_and_the_command_give_the_same_table(table: Path, run: Run) -> None:
    # As reticulate makes the calls: modules by name, keyword arguments, one text.
    tables, statistics = import_module("hf_synthlabels.tables"), import_module("hf_synthlabels.statistics")
    rows = tables.read_table(str(table))["train"]
    report = statistics.estimate(rows, human="label", llm="llm_label")
    text = report.to_csv()
    lines = {line["quantity"]: line for line in csv.DictReader(io.StringIO(text))}
    assert list(lines) == ["film", "sport"]
    # By hand: 30 of 60 human labels; of 120 LLM labels, 48 are `film`, since each tenth row, which is even, is wrong.
    assert float(lines["film"]["classical"]) == pytest.approx(30 / 60)
    assert float(lines["film"]["naive"]) == pytest.approx(48 / 120)
    assert int(lines["film"]["n"]) == 60
    assert float(lines["film"]["ppi_low"]) < float(lines["film"]["ppi"]) < float(lines["film"]["ppi_high"])
    assert run("estimate", str(table), "-o", "estimates.csv")[0] == 0
    assert Path("estimates.csv").read_text() == text
