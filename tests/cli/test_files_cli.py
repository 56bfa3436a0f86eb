"""Files as the verbs read and write them: nothing is lost, nothing half is left, errors are one line."""

from __future__ import annotations

import csv
import errno
import io
import itertools
import json
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.tables import atomic_path, read_table, write_text
from tests.command_line import Run, error_line, output
from tests.servers.chat import LabelServer

NAMES = ["None", "0110", "good"]
COUNT = 60


def name_of(row: int) -> str:
    return NAMES[row % 3]


TEXTS = ["=1+1", "+1", "-", "@x", "'=q", "N/A", "0110", "two\r\nlines", 'q"uote', "naïve’s"]


def text_of(row: int) -> str:
    return TEXTS[row] if row < len(TEXTS) else f"text {row}"


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """A recipe on a CSV file whose recorded answers are its labels."""
    with (tmp_path / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "said", "topic"])
        writer.writerows([text_of(row), name_of(row), ""] for row in range(COUNT))
    content = {
        "name": "topics",
        "source": {"path": "csv", "data_files": "rows.csv"},
        "task": {"kind": "text-classification", "labels": NAMES, "human": "topic"},
        "annotator": {"client": "recorded", "column": "said"},
    }
    (tmp_path / "r.yaml").write_text(json.dumps(content), encoding="utf-8")
    return "r.yaml"


SUFFIXES = ["csv", "tsv", "jsonl", "parquet", "xlsx"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("sheet", ["csv", "xlsx"])
def test_every_file_goes_through_every_verb(run: Run, tmp_path: Path, recipe: str, suffix: str, sheet: str) -> None:
    labelled, sampled, to_fill = f"labelled.{suffix}", f"sampled.{suffix}", f"sheet.{sheet}"
    output(run("annotate", recipe, "-o", labelled))
    out = output(run("sample", labelled, "-n", "30", "-o", sampled, "--to-label", to_fill, "--human", "topic"))
    fill(tmp_path / to_fill, "topic", lambda row: name_of(row))
    # The printed line works as it is.
    line = out.splitlines()[-1].partition("and run: hf-synthlabels ")[2]
    out = output(run(*shlex.split(line)))
    assert "30 human labels added, 0 changed; 0 sampled rows without a label" in out
    checked = run("validate", sampled, "--human", "topic")
    assert checked[0] == 0, checked
    assert "1.000" in checked[1]
    rows = read_table(tmp_path / sampled)["train"]
    human = annotation_names(rows, "topic")
    assert [label for label in human if label is not None] == [name_of(row) for row, label in enumerate(human) if label]
    assert annotation_names(rows, "llm_label") == [name_of(row) for row in range(COUNT)]
    assert rows["text"][:] == [text_of(row) for row in range(COUNT)]


def annotation_names(rows: Any, column: str) -> list[Any]:
    feature = rows.features[column]
    names = getattr(feature, "names", None)
    return [value if names is None or value is None else names[value] for value in rows[column]]


def fill(sheet: Path, column: str, label: Callable[[int], str]) -> None:
    """Type labels into a sheet as a spreadsheet does it."""
    if sheet.suffix == ".xlsx":
        from openpyxl import load_workbook

        book = load_workbook(sheet)
        page = book.worksheets[0]
        head = [cell.value for cell in page[1]]
        for line in page.iter_rows(min_row=2):
            assert all(cell.data_type != "f" for cell in line)
            line[head.index(column)].value = label(int(str(line[head.index("row")].value)))
        book.save(sheet)
        return
    lines = list(csv.DictReader(io.StringIO(sheet.read_text(encoding="utf-8-sig"), newline="")))
    for line in lines:
        # No cell is a formula.
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in line.values())
        line[column] = label(int(line["row"]))
    save(sheet, lines)


def save(sheet: Path, lines: list[dict[str, str]], *, encoding: str = "utf-8-sig", separator: str = ",") -> None:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(lines[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(lines)
    sheet.write_bytes(buffer.getvalue().encode(encoding, errors="replace"))


def test_a_program_may_ignore_the_byte_order_mark(run: Run, tmp_path: Path, sampled: str) -> None:
    with (tmp_path / "sheet.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    save(tmp_path / "sheet.csv", [{**line, "topic": name_of(int(line["row"]))} for line in lines], encoding="utf-8")
    assert "20 human labels added" in output(run(*MERGE))


def sheet_lines(sheet: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(sheet.read_text(encoding="utf-8-sig"), newline="")))


@pytest.fixture
def sampled(run: Run, recipe: str) -> str:
    output(run("annotate", recipe, "-o", "labelled.jsonl"))
    output(run("sample", "labelled.jsonl", "-n", "20", "-o", "s.jsonl", "--to-label", "sheet.csv", "--human", "topic"))
    return "s.jsonl"


MERGE = ("import-labels", "s.jsonl", "sheet.csv", "-o", "s.jsonl", "--human", "topic")


@pytest.mark.parametrize(
    ("encoding", "separator", "columns"),
    [
        ("utf-8", ",", None),
        ("cp1252", ";", None),
        ("utf-16", "\t", None),
        ("utf-8-sig", ";", ["topic", "row"]),
        ("cp1252", ";", ["topic", "row", "row_digest"]),
        ("utf-8-sig", ",", ["text", "row", "topic"]),
    ],
)
def test_a_sheet_is_read_as_spreadsheets_save_it(
    run: Run, tmp_path: Path, sampled: str, encoding: str, separator: str, columns: list[str] | None
) -> None:
    fill(tmp_path / "sheet.csv", "topic", name_of)
    lines = list(reversed(sheet_lines(tmp_path / "sheet.csv")))
    lines = [{name: line[name] for name in columns or line} for line in lines]
    save(tmp_path / "sheet.csv", lines, encoding=encoding, separator=separator)
    assert "20 human labels added" in output(run(*MERGE))
    rows = read_table(tmp_path / "s.jsonl")["train"]
    assert all(label in (None, name_of(row)) for row, label in enumerate(rows["topic"]))


@pytest.mark.parametrize("columns", [None, ["row", "text", "topic"], ["row", "row_digest", "topic"]])
def test_a_label_is_never_put_to_another_text(
    run: Run, tmp_path: Path, sampled: str, columns: list[str] | None
) -> None:
    fill(tmp_path / "sheet.csv", "topic", name_of)
    lines = sheet_lines(tmp_path / "sheet.csv")
    # Sorted by the numbers alone, as a spreadsheet does where a single column was selected.
    for line, number in zip(lines, [line["row"] for line in lines[1:]] + [lines[0]["row"]], strict=True):
        line["row"] = number
    save(tmp_path / "sheet.csv", [{name: line[name] for name in columns or line} for line in lines])
    assert "another text" in error_line(run(*MERGE))


def test_labels_are_never_overwritten_by_another_sample(run: Run, tmp_path: Path, sampled: str) -> None:
    fill(tmp_path / "sheet.csv", "topic", name_of)
    filled = (tmp_path / "sheet.csv").read_bytes()
    again = ("sample", "labelled.jsonl", "-n", "20", "-o", "s.jsonl", "--to-label", "sheet.csv", "--human", "topic")
    for more in ((), ("--overwrite",)):
        assert "20 of its labels" in error_line(run(*again, *more))
        assert (tmp_path / "sheet.csv").read_bytes() == filled
    output(run(*MERGE))
    # The table holds labels now, which a sample of the table before it would lose.
    assert "20 human labels" in error_line(run(*again[:-4], "--to-label", "other.csv", "--human", "topic"))
    # They are in the table, so the sheet may be replaced by that of a further sample.
    output(run("sample", "s.jsonl", "-n", "10", "-o", "s.jsonl", "--to-label", "sheet.csv", "--human", "topic"))
    assert sum(label is not None for label in read_table(tmp_path / "s.jsonl")["train"]["topic"]) == 20


@pytest.mark.parametrize("name", ["biassed", "GOOD", "good ", "0111"])
def test_typing_mistakes_are_no_labels(run: Run, tmp_path: Path, sampled: str, name: str) -> None:
    fill(tmp_path / "sheet.csv", "topic", lambda row: name if row % 3 == 2 else name_of(row))
    before = (tmp_path / "s.jsonl").read_bytes()
    if name.strip() == "good":
        # White space around a cell is no part of it.
        output(run(*MERGE))
        return
    assert repr(name) in error_line(run(*MERGE))
    assert (tmp_path / "s.jsonl").read_bytes() == before
    output(run(*MERGE, "--new-labels"))


def test_a_label_column_that_the_sheet_lacks_is_named(run: Run, sampled: str) -> None:
    assert "--human" in error_line(run("import-labels", "s.jsonl", "sheet.csv", "-o", "s.jsonl"))


def test_an_earlier_output_is_replaced_and_nothing_else(run: Run, tmp_path: Path, recipe: str) -> None:
    output(run("annotate", recipe, "-o", "l.csv"))
    output(run("annotate", recipe, "-o", "l.csv"))
    rows = (tmp_path / "rows.csv").read_bytes()
    assert "source" in error_line(run("annotate", recipe, "-o", "rows.csv"))
    assert "source" in error_line(run("annotate", recipe, "-o", "./rows.csv", "--overwrite"))
    assert "source" in error_line(run("annotate", recipe, "-o", "rows.csv", "--stream"))
    assert (tmp_path / "rows.csv").read_bytes() == rows
    (tmp_path / "mine.csv").write_text("text,note\na,precious\n", encoding="utf-8")
    for more in ((), ("--stream",)):
        assert "--overwrite" in error_line(run("annotate", recipe, "-o", "mine.csv", *more))
    assert "precious" in (tmp_path / "mine.csv").read_text(encoding="utf-8")
    output(run("annotate", recipe, "-o", "mine.csv", "--overwrite"))
    # Labels that people typed into the output are kept from a run that does not have them.
    with (tmp_path / "l.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    lines[3]["topic"] = "good"
    save(tmp_path / "l.csv", lines, encoding="utf-8")
    assert "1 human labels in `topic`" in error_line(run("annotate", recipe, "-o", "l.csv"))
    # So are columns that others added.
    save(tmp_path / "l.csv", [{**line, "topic": "", "coder": "ann"} for line in lines], encoding="utf-8")
    assert "'coder'" in error_line(run("annotate", recipe, "-o", "l.csv"))
    other = json.loads((tmp_path / recipe).read_text(encoding="utf-8"))
    (tmp_path / "o.yaml").write_text(json.dumps({**other, "name": "other"}), encoding="utf-8")
    output(run("annotate", recipe, "-o", "p.parquet"))
    assert "'topics'" in error_line(run("annotate", "o.yaml", "-o", "p.parquet"))


def test_outputs_are_checked_before_anything_is_sent(run: Run, tmp_path: Path, recipe: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name in ("file", "no-suffix-file"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    outputs = ("out.ods", "out.txt", "folder.csv", "file/out.csv", "rows.csv", "no-suffix-file", "dangling/x/y.ods")
    with LabelServer(lambda _: "good") as server:
        content = json.loads((tmp_path / recipe).read_text(encoding="utf-8"))
        content["annotator"] = {"client": "openai", "model": "m", "base_url": server.base_url, "api_key_env": None}
        (tmp_path / recipe).write_text(json.dumps(content), encoding="utf-8")
        for path, more in itertools.product(outputs, ([], ["--stream"])):
            error_line(run("annotate", recipe, "-o", path, *more))
            assert server.requests == []


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A disk that is full when a file is to be completed."""

    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    yield
    monkeypatch.undo()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_leaves_the_file_as_it_was(
    run: Run, tmp_path: Path, recipe: str, suffix: str, request: pytest.FixtureRequest
) -> None:
    output(run("annotate", recipe, "-o", f"l.{suffix}"))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    request.getfixturevalue("full_disk")
    os.chdir(tmp_path)
    assert "No space left" in error_line(run("annotate", recipe, "-o", f"l.{suffix}"))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()} == before


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = write_text(tmp_path / "new" / "a.txt", "one")
    path.chmod(0o600)
    link = tmp_path / "link.txt"
    link.symlink_to(path)

    def stopped() -> None:
        with atomic_path(link) as part:
            part.write_text("half", encoding="utf-8")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stopped()
    assert path.read_text(encoding="utf-8") == "one"
    write_text(link, "two")
    assert link.is_symlink()
    assert path.read_text(encoding="utf-8") == "two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in path.parent.iterdir()) == ["a.txt"]


def test_a_file_of_another_sort_is_told(run: Run, recipe: str) -> None:
    for command in ["annotate rows.csv", "plan rows.csv", "train rows.csv", "train r.yaml", "judge rows.csv"]:
        err = error_line(run(*command.split()))
        assert ("table" if "rows" in command else "recipe") in err
        assert "found character" not in err
