"""Reports fit a terminal of 80 characters, however many classes there are and however long their names."""

from __future__ import annotations

import json
import random
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hf_synthlabels.cli.main import app

CLASSES = [f"a_rather_long_category_name_{number}" for number in range(77)]
GROUPS = ("The Daily Telegraph of London", "The New York Times, weekend edition")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows with 77 classes, a rating and groups; of 900 rows, 500 have human labels."""
    draw = random.Random(0)
    lines = []
    for number in range(900):
        human = draw.choice(CLASSES)
        row = {
            "text": f"text {number}",
            "label": human if number < 500 else None,
            "llm_label": human if draw.random() < 0.7 else draw.choice(CLASSES),
            "tone": draw.randint(1, 5) if number < 500 else None,
            "llm_tone": draw.randint(1, 5),
            "outlet": draw.choice(GROUPS),
        }
        lines.append(json.dumps(row) + "\n")
    path = tmp_path_factory.mktemp("wide") / "rows.jsonl"
    path.write_text("".join(lines))
    return path


@pytest.mark.parametrize(
    "command",
    [
        "validate TABLE",
        "validate TABLE --gate 'macro_f1>=0.6'",
        "validate TABLE --human tone --llm llm_tone --scale 1:5",
        "estimate TABLE",
        f"estimate TABLE --groups outlet --positive {CLASSES[3]}",
        "estimate TABLE --human tone --llm llm_tone --estimand mean --groups outlet",
    ],
)
def test_a_report_fits_the_terminal(command: str, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in ("validate", "estimate"):
        monkeypatch.setattr(f"hf_synthlabels.cli.{verb}.terminal_width", lambda: 80)
    result = CliRunner().invoke(app, shlex.split(command.replace("TABLE", str(table))))
    assert result.exit_code in (0, 1), result.output
    lines = [line for line in result.stdout.splitlines() if str(table) not in line]
    assert len(lines) > 5
    assert [line for line in lines if len(line) > 80] == []
