"""The page: one file, nothing from elsewhere, no program, no markup from data; and the files beside it."""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import io
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.publishing.report import Page, render_markdown, render_page, write_page
from hf_synthlabels.publishing.report.export_files import csv_text, figure_table, json_text
from hf_synthlabels.publishing.report.figures import draw
from hf_synthlabels.publishing.report.page_values import page_from_json, page_to_json
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.exhibits import Section, Table, Value
from tests.publishing.exhibits import COUNTS, CURVES, INTERVALS, MARKUP, SECTIONS, TABLE, near

PAGE = Page(
    f"Titles {MARKUP}",
    SECTIONS,
    ("Use the LLM labels: 96.0 % [91.1 %, 101.0 %] on 377 rows.", f"These rows cannot tell {MARKUP}."),
    {"data": f"a <b>file</b> of {MARKUP}", "seeds": "0, 1"},
)


class Elements(HTMLParser):
    """The elements of a page in order, with their attributes; and the text of those that are asked for."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] for _, attributes in self.found if attribute in attributes]


@pytest.fixture(scope="module")
def text() -> str:
    return render_page(PAGE)


@pytest.fixture(scope="module")
def page(text: str) -> Elements:
    return Elements(text)


def test_page_loads_nothing_and_runs_nothing(page: Elements, text: str) -> None:
    tags = {tag for tag, _ in page.found}
    assert not {"script", "link", "img", "image", "iframe", "object", "form"} & tags
    assert not [name for _, attributes in page.found for name in attributes if name.startswith("on")]
    # Namespaces are names; what is linked lies in the page itself.
    for address in [*page.values("href"), *page.values("src"), *page.values("xlink:href")]:
        assert address.startswith(("#", "data:text/csv;", "data:application/json;", "data:image/svg+xml;"))
    assert "://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)


def test_page_allows_its_one_style_and_nothing_else(page: Elements, text: str) -> None:
    policy = next(each["content"] for each in page.named("meta") if each.get("http-equiv") == "Content-Security-Policy")
    (style,) = re.findall(r"<style>(.*?)</style>", text, flags=re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not page.values("style")


def test_texts_from_data_are_no_markup(page: Elements, text: str) -> None:
    assert MARKUP not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 5
    assert f"a <b>file</b> of {MARKUP}" in page.text
    assert "a <b>" not in text


def test_sections_stand_under_headings_and_the_contents_lead_to_them(page: Elements) -> None:
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert len(page.named("h1")) == 1
    links = [link["href"] for link in page.named("a") if link["href"].startswith("#")]
    assert {link[1:] for link in links} <= set(ids)
    assert [link for link in links if "section-" in link] == ["#section-llm", "#section-curves", "#section-bare"]
    for label in page.values("aria-labelledby"):
        assert label in ids
    # First what it comes to, then the questions, then how it was made.
    labels = [each["aria-labelledby"] for each in page.named("section")]
    assert labels[0] == "summary"
    assert labels[-1] == "methods-title"


def test_table_says_each_number_with_its_n_and_its_interval(text: str) -> None:
    start = text.index('id="table"')
    table = text[start : text.index("</table>", start)]
    cells = re.findall(r"<t[dh](?: [^>]*)?>(.*?)</t[dh]>", table)
    heads, first, second, third = cells[:5], cells[5:10], cells[10:15], cells[15:]
    assert heads == ["source", "rows", "macro F1", "p", "cost"]
    assert first == ["human labels", "2,130", "0.831<small>0.791 to 0.871</small><small>n = 377</small>", "0.040",
                     '<span class="none">unknown</span>']  # fmt: skip
    assert second[1:] == ["12,345", "0.782<small>0.742 to 0.822</small><small>n = 374</small>", "1e-09", "1.250"]
    assert third == ["=1+1", "0", '<span class="none">undefined</span><small>n = 0</small>', "undefined", "0.000"]
    assert "Intervals at 95% (bootstrap)." in text[start:]


def test_head_of_a_column_says_the_n_that_all_have(page: Elements) -> None:
    table = Table("t", "T", ("what", "score"), (("a", near(0.5)), ("b", near(0.6))))
    made = render_page(Page("x", (Section("s", "S", "", (table,)),)))
    assert "score<small>n = 377</small>" in made
    assert "0.500<small>0.460 to 0.540</small></td>" in made


def test_only_a_table_that_is_wider_than_a_sheet_lies_across() -> None:
    words = ("data", *("some words", "1,234", "0.123") * 3)
    narrow = Table("narrow", "Narrow", tuple(f"column {place}" for place in range(10)), (words,) * 2)
    intervals: tuple[Value, ...] = ("data", *[near(0.5)] * 9)
    broad = Table("broad", "Broad", tuple(f"column {place}" for place in range(10)), (intervals,) * 2)
    found = Elements(render_page(Page("x", (Section("s", "S", "", (narrow, broad)),))))
    across = [each["aria-labelledby"] for each in found.named("div") if each.get("class") == "wide broad"]
    assert across == ["broad--caption"]


def test_a_single_row_of_many_columns_is_a_list() -> None:
    table = Table("one", "One", tuple(f"column {place}" for place in range(7)), (("a", *[near(0.5)] * 5, "z"),))
    text = render_page(Page("x", (Section("s", "S", "", (table,)),)))
    assert '<th scope="row" dir="auto">column 6</th><td dir="auto">z</td>' in text
    assert "| column 6 | z |" in render_markdown(Page("x", (Section("s", "S", "", (table,)),)))
    assert csv_text(table).startswith("column 0,column 1")


def test_downloads_of_the_page_are_the_files_beside_it(tmp_path: Path) -> None:
    written = write_page(PAGE, tmp_path)
    assert written[0] == tmp_path / "report.html"
    found = Elements(written[0].read_text(encoding="utf-8"))
    links = [link for link in found.named("a") if "download" in link]
    # Two forms of each of five exhibits, and three figures as SVG.
    assert len(links) == 13
    for link in links:
        beside = (tmp_path / "report" / link["download"]).read_bytes()
        assert base64.b64decode(link["href"].partition("base64,")[2]) == beside
    names, drawn = ("scores", "curves", "counts", "table", "empty"), ("scores", "curves", "counts")
    kept = {f"{name}.{kind}" for name in names for kind in ("csv", "json")}
    kept |= {f"{name}{kind}" for name in drawn for kind in (".svg", "-dark.svg", ".png")}
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"README.md", "page.json", *kept}
    assert set(written) == {path for path in tmp_path.rglob("*") if path.is_file()}
    assert "scores.csv, scores.json, scores.svg, scores.png" in (tmp_path / "report" / "README.md").read_text()


def test_equal_reports_are_equal_bytes(tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        files = write_page(PAGE, tmp_path / name)
        made.append({file.relative_to(tmp_path / name): file.read_bytes() for file in files})
    assert made[0] == made[1]
    again = page_from_json(made[0][Path("report/page.json")].decode())
    assert page_to_json(again) == page_to_json(PAGE)
    assert render_page(again).encode() == made[0][Path("report.html")]


def test_files_of_an_earlier_report_go_and_others_stay(tmp_path: Path) -> None:
    write_page(Page("first", PAGE.sections), tmp_path)
    (tmp_path / "report" / "mine.csv").write_text("mine")
    write_page(Page("second", PAGE.sections[1:2]), tmp_path)
    left = {path.name for path in (tmp_path / "report").iterdir()}
    assert not {"scores.csv", "scores.svg", "scores-dark.svg", "scores.png", "table.json"} & left
    assert {"curves.csv", "curves.png", "mine.csv"} <= left


def test_csv_has_the_numbers_unrounded() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(TABLE))))
    parts = ("macro F1", *(f"macro F1 {part}" for part in ("low", "high", "n", "level", "method")))
    assert list(rows[0]) == ["source", "rows", *parts, "p", "cost"]
    first = TABLE.rows[0][2]
    assert isinstance(first, Interval)
    assert (float(rows[0]["macro F1"]), float(rows[0]["macro F1 low"])) == (first.estimate, first.low)
    assert (rows[0]["macro F1 n"], rows[0]["cost"], rows[1]["p"]) == ("377", "", "1e-09")
    # Nothing stands for what is undefined, and no cell is a formula.
    assert (rows[2]["macro F1"], rows[2]["p"], rows[2]["cost"], rows[2]["source"]) == ("", "", "0.0", "'=1+1")


def test_tables_of_figures_have_every_number() -> None:
    assert figure_table(INTERVALS).rows[0][:2] == ("human labels", near(0.81))
    assert figure_table(INTERVALS).rows[-2:] == (("paper", 0.77, 0.77), ("goal", 0.8, 0.8))
    assert figure_table(COUNTS).rows[1] == ("b", 0, 12345, 2, 0)
    assert figure_table(CURVES).rows[0][:2] == ("human labels", 25)
    assert json.loads(json_text(CURVES))["curves"][0]["fitted"][0] == [25.0, 0.9 - 25**-0.4]


def test_json_keeps_what_is_undefined_and_what_has_no_end() -> None:
    odd = Interval(900.0, 400.0, math.inf, 0.95, "b", 9)
    none = Interval(math.nan, math.nan, math.nan, 0.95, "b", 0)
    rows = (("odd", odd), ("none", none), ("nan", math.nan), ("true", True), ("unknown", None))
    table = Table("t", "T", ("what", "value"), rows)
    page = page_from_json(page_to_json(Page("x", (Section("s", "S", "", (table,)),))))
    found = page.sections[0].exhibits[0]
    assert isinstance(found, Table)
    assert found.rows[0] == ("odd", odd)
    assert isinstance(found.rows[1][1], Interval)
    assert math.isnan(found.rows[1][1].estimate)
    assert isinstance(found.rows[2][1], float)
    assert math.isnan(found.rows[2][1])
    assert found.rows[3:] == (("true", True), ("unknown", None))


def test_names_that_are_no_words_are_refused() -> None:
    for name in ["", "../../etc", "a b", "a-b", "ä", "a.b"]:
        with pytest.raises(ConfigError, match=r"`name` is "):
            Page("x", (Section("s", "S", "", (dataclasses.replace(TABLE, name=name),)),))


def test_names_that_stand_twice_and_rows_with_holes_are_refused() -> None:
    with pytest.raises(ConfigError, match="occurs twice"):
        Page("x", (Section("s", "S", "", (TABLE, dataclasses.replace(TABLE, name="TABLE"))),))
    with pytest.raises(ConfigError, match="row of 1 values under 5 columns"):
        Page("x", (Section("s", "S", "", (dataclasses.replace(TABLE, rows=(("x",),)),)),))
    with pytest.raises(ConfigError, match="3 rows for 1 names"):
        Page("x", (Section("s", "S", "", (dataclasses.replace(COUNTS, rows=("a",)),)),))
    # A section and an exhibit may have the same name.
    Page("x", (Section("table", "S", "", (TABLE,)),))


def test_what_is_no_page_is_refused() -> None:
    for wrong in ["", "[]", '{"title": 1}', '{"title": "x", "sections": [{}], "summary": [], "facts": {}}']:
        with pytest.raises(DataError, match=r"`report` is not the page\.json of a report"):
            page_from_json(wrong)


def test_numbers_are_kept_where_figures_can_not_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hf_synthlabels.errors import MissingExtraError
    from hf_synthlabels.publishing.report import page as module

    def refused(_: object) -> None:
        raise MissingExtraError("`matplotlib` is not installed.")

    monkeypatch.setattr(module, "draw", refused)
    with pytest.raises(MissingExtraError):
        write_page(Page("x", PAGE.sections), tmp_path)
    assert {"report.md", "page.json", "scores.csv"} <= {path.name for path in tmp_path.rglob("*")}


def test_markdown_has_the_words_and_the_numbers_of_the_page() -> None:
    found = render_markdown(Page("Titles", SECTIONS[:1], ("Use them.",), {"seeds": "0, 1"}))
    assert found == MARKDOWN


def test_markdown_shows_figures_where_they_lie() -> None:
    found = render_markdown(Page("", SECTIONS[1:2]), figures="report", level=3)
    assert "### How does it grow?" in found
    assert "![Learning curves: human labels from" in found
    assert "](report/curves.svg)" in found
    assert "**Table 1.** No rows\n\nNo numbers." in found


def test_markdown_of_texts_from_data_is_no_markup() -> None:
    odd = Table("t", "a | b\n# c", ("what|x", "<b>"), (("[x](http://y.z)", "`a`\n| - |"),))
    found = render_markdown(Page("", (Section("s", "# not a heading", "- not\n\na list", (odd,), ("* no",)),)))
    assert "](http" not in found
    assert [line for line in found.splitlines() if line.startswith("#")] == ["## &#35; not a heading"]
    assert not [line for line in found.splitlines() if line.startswith(("- not", "* "))]
    assert len([line for line in found.splitlines() if line.startswith("|")]) == 3


def test_reports_load_no_heavy_library() -> None:
    code = (
        "import sys, hf_synthlabels.publishing\n"
        "print([name for name in ('torch', 'transformers', 'matplotlib', 'sklearn', 'ray') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout.strip() == "[]"


def test_one_drawing_is_drawn_once_for_page_and_file(tmp_path: Path) -> None:
    write_page(Page("x", SECTIONS[:1]), tmp_path)
    assert (tmp_path / "report" / "scores.svg").read_text(encoding="utf-8") == draw(INTERVALS).svg


MARKDOWN = """# Titles

Use them.

## Are LLM labels as good? &#60;script>alert(1)&#60;/script>

On 377 rows: 0.960 [0.911, 1.010].

**Figure 1.** Scores

|  | accuracy | macro F1 |
| --- | ---: | ---: |
| human labels | 0.810 [0.770, 0.850], n = 377 | 0.810 [0.770, 0.850], n = 377 |
| LLM labels | 0.780 [0.740, 0.820], n = 374 | 0.780 [0.740, 0.820], n = 374 |
| the annotator itself | undefined (n = 0) | unknown |
| paper | 0.770 | 0.770 |
| goal | 0.800 | 0.800 |

Intervals at 95% (bootstrap).

**Table 1.** Numbers

| source | rows | macro F1 | p | cost |
| --- | ---: | ---: | ---: | ---: |
| human labels | 2,130 | 0.831 [0.791, 0.871], n = 377 | 0.040 | unknown |
| &#60;script>alert(1)&#60;/script> | 12,345 | 0.782 [0.742, 0.822], n = 374 | 1e-09 | 1.250 |
| &#61;1+1 | 0 | undefined (n = 0) | undefined | 0.000 |

A row without a label counts as wrong. Intervals at 95% (bootstrap).

- 18 rows were left out.

## Methods and provenance

| item | value |
| --- | --- |
| seeds | 0, 1 |
"""
