"""Tables of the benchmarks as Markdown and CSV, and the results pages that show parts of them."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from benchmarks.documents import Table, put_block, read_csv, table, write_csv, write_tables
from hf_synthlabels.statistics.intervals import wilson

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
PAGES = sorted(RESULTS.glob("*.md"))
MAX_WORDS = 700
MAX_LINES = 12


def test_a_block_of_a_document_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("before\n\n<!-- begin: one -->\nold\n<!-- end: one -->\n\nafter\n", encoding="utf-8")
    put_block(document, "one", r"new \1 text")
    put_block(document, "one", r"new \1 text")
    expected = "before\n\n<!-- begin: one -->\n\nnew \\1 text\n\n<!-- end: one -->\n\nafter\n"
    assert document.read_text(encoding="utf-8") == expected
    with pytest.raises(ValueError, match="'two'"):
        put_block(document, "two", "text")


def test_a_markdown_table_has_a_text_column_and_number_columns() -> None:
    assert table(("a", "b"), [("x|y", 1)]) == "| a | b |\n|---|---:|\n| x/y | 1 |"
    assert str(Table(("a", "b", "c"), [("x", 1, 2)]).columns("c", "a")) == "| c | a |\n|---|---:|\n| 2 | x |"
    with pytest.raises(ValueError, match="d"):
        Table(("a",), []).columns("d")


def test_csv_has_plain_numbers_and_a_column_for_each_end_of_an_interval(tmp_path: Path) -> None:
    rows = [
        ("`a`, one", wilson(1, 2), "1,009", "**+.020 [−.010, +.050]**", "no interval"),
        ("b", "–", "-.5", "unknown", "97.1% [94.0, 99.9]"),
    ]
    write_csv(tmp_path / "one.csv", ("name", "share", "n", "difference", "ratio"), rows)
    with (tmp_path / "one.csv").open(encoding="utf-8", newline="") as file:
        head, *lines = csv.reader(file)
    split = [f"{name}{end}" for name in ("difference", "ratio") for end in ("", " low", " high")]
    assert head == ["name", "share", "share low", "share high", "n", *split]
    assert lines == [
        ["a, one", "0.500", "0.095", "0.905", "1009", "0.020", "-0.010", "0.050", "no interval", "", ""],
        ["b", "", "", "", "-0.5", "", "", "", "97.1%", "94.0", "99.9"],
    ]


def test_tables_of_a_page_are_in_the_folder_of_its_name(tmp_path: Path) -> None:
    write_tables(tmp_path / "page.md", {"one": Table(("a", "b"), [("x", 1)])})
    assert read_csv(tmp_path / "page" / "one.csv") == (["a", "b"], [["x", "1"]])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_results_page_is_one_screen_and_links_all_its_files(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(text.split()) <= MAX_WORDS
    files = {file.relative_to(RESULTS).as_posix() for file in page.with_suffix("").rglob("*") if file.is_file()}
    assert files <= set(re.findall(r"\]\(([^)#]+)", text))
    if page.stem != "index":
        assert all(len(rows.splitlines()) <= MAX_LINES + 2 for rows in re.findall(r"(?:^\|.*\n)+", text, re.M))
        parts = ("Question", "Data", "Answer", "What it does not show", "Reproduce", "Full report")
        assert [part for part in re.findall(r"^\*\*([^*]+)\.\*\*", text, re.M) if part in parts] == list(parts)


def test_csv_files_of_results_are_rectangular_with_leading_zeros() -> None:
    for file in RESULTS.rglob("*.csv"):
        head, rows = read_csv(file)
        assert rows, file
        for row in rows:
            assert len(row) == len(head), (file, row)
            assert not [cell for cell in row if re.fullmatch(r"[+-]?\.\d+|\+[\d.]+", cell)], (file, row)
