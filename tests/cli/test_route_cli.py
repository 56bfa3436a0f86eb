"""`hf-synthlabels route`, as a user types it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.tables import read_table
from tests.command_line import Run, command_line, error_line

ROWS = 200
TARGET = ("--target", "accuracy>=0.9")


def confidence(row: int) -> float:
    """High for the first half, low for the second."""
    return 0.9 if row < ROWS // 2 else 0.6


def write(path: Path, rows: int = ROWS, **more: Any) -> str:
    """LLM labels of which the confident half is right; three of four rows have a human label."""
    with path.open("w", encoding="utf-8") as lines:
        for row in range(rows):
            truth = "good" if row % 2 else "bad"
            right = confidence(row) == 0.9 or row % 3
            content = {
                "text": f"text {row}",
                "llm_label": truth if right else "good",
                "llm_label_confidence": confidence(row),
                "label": truth if row % 4 else None,
            }
            lines.write(json.dumps({**content, **more}) + "\n")
    return path.name


def test_the_confident_half_is_kept_and_the_rest_goes_to_people(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path / "sampled.jsonl")
    code, out, err = run("route", data, *TARGET, "-o", "routed.jsonl", "--rest", "rest.jsonl")
    assert (code, err) == (0, "")
    routed = read_table(tmp_path / "routed.jsonl")["train"]
    assert routed["llm_label_route"][:] == ["keep"] * 100 + ["human"] * 100
    # The rest that nobody labeled yet: every fourth row.
    rest = read_table(tmp_path / "rest.jsonl")["train"]
    assert rest["row"][:] == list(range(100, 200, 4))
    assert set(rest["label"][:]) == {None}
    report = json.loads(run("route", data, *TARGET, "--json")[1])
    assert (report["threshold"], report["n_kept"], report["n_human"], report["n_routed"]) == (0.9, 100, 150, 100)
    assert report["tests"][0]["share"]["n"] == 75
    assert report["tests"][0]["p_value"] == pytest.approx(0.9**75)
    assert "100 of 200 rows, 0.500 [" in out


def test_the_next_command_labels_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    run = command_line(monkeypatch, capsys, with_next=True)
    data = write(tmp_path / "sampled.jsonl")
    command = run("route", data, *TARGET)[2].partition("Next: hf-synthlabels ")[2]
    code, _, err = run(*shlex.split(command))
    assert code == 0
    assert (tmp_path / "rest.parquet").is_file()
    assert "Next: hf-synthlabels review rest.parquet --all" in err
    err = run("route", data, "--target", "accuracy>=0.99")[2]
    assert "Next: hf-synthlabels sample sampled.jsonl -n 200" in err


@pytest.mark.parametrize(
    ("target", "rows", "reason"),
    [
        # 150 human labels, and 0.99 ** 75 > 0.05 / 3 in the half that is right.
        ("accuracy>=0.99", ROWS, "too few human labels"),
        ("accuracy>=0.9", 1, "too few human labels"),
        ("precision[bad]>=0.98", ROWS, "too few human labels"),
        ("recall[bad]>=0.999", ROWS, "too few human labels"),
    ],
)
def test_nothing_is_kept_if_nothing_can_be_guaranteed(
    run: Run, tmp_path: Path, target: str, rows: int, reason: str
) -> None:
    data = write(tmp_path / "sampled.jsonl", rows, **({"label": "bad"} if rows == 1 else {}))
    code, out, _ = run("route", data, "--target", target, "-o", "routed.jsonl")
    assert code == 0
    assert "keep: nothing" in out
    assert reason in out
    assert "keep" not in read_table(tmp_path / "routed.jsonl")["train"]["llm_label_route"][:]


def test_labels_that_are_wrong_everywhere_are_not_kept(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path / "sampled.jsonl", label="bad")
    code, out, _ = run("route", data, *TARGET)
    assert code == 0
    assert "keep: nothing. No threshold reaches accuracy >= 0.9" in out


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (("--target", "accuracy>=2"), "target"),
        (("--target", "recall[ugly]>=0.9"), "target"),
        ((*TARGET, "--risk", "0"), "risk"),
        ((*TARGET, "--confidence", "certainty"), "certainty"),
        ((*TARGET, "--confidence", "text"), "text"),
        ((*TARGET, "--human", "gold"), "gold"),
        ((*TARGET, "-o", "sampled.jsonl"), "output"),
        ((*TARGET, "-o", "routed.txt"), "output"),
        ((*TARGET, "-o", "a.jsonl", "--rest", "a.jsonl"), "--rest"),
    ],
)
def test_wrong_options_are_one_line(run: Run, tmp_path: Path, options: tuple[str, ...], field: str) -> None:
    data = write(tmp_path / "sampled.jsonl")
    assert f"`{field}" in error_line(run("route", data, *options))


def test_tables_without_confidence_or_human_labels_are_refused(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path / "empty.jsonl", llm_label_confidence=None)
    assert "`confidence`" in error_line(run("route", data, *TARGET))
    data = write(tmp_path / "unlabeled.jsonl", label=None)
    assert "`label`" in error_line(run("route", data, *TARGET))
