"""HTML page of a report, without scripts or external resources, and its data files."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup

from hf_synthlabels.cards.markdown import INVISIBLE
from hf_synthlabels.errors import DataError
from hf_synthlabels.publishing.report.export_files import csv_text, figure_table, json_text
from hf_synthlabels.publishing.report.figures import draw
from hf_synthlabels.publishing.report.formatting import (
    UNDEFINED,
    UNKNOWN,
    are_numbers,
    decimals,
    interval_words,
    level_words,
    number,
    value_words,
)
from hf_synthlabels.publishing.report.markdown import render_markdown
from hf_synthlabels.publishing.report.page_values import Page, page_from_json, page_to_json
from hf_synthlabels.publishing.report.svg import SvgFigure
from hf_synthlabels.publishing.report.theme import style_rules
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.exhibits import Section, Table, Value
from hf_synthlabels.tables import atomic_path

FOLDER = "report"
"""Folder of tables and figures, next to the page."""
SHEET_MM = 180
"""Between the margins of an upright sheet of A4; what is wider is printed across."""
LETTER_MM, SMALL_MM, GAP_MM = 1.6, 1.3, 2.2
"""On paper: a letter of a table, one of the small lines below a number, and what parts two columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """How a column of a table is shown."""

    name: str
    places: int
    right: bool
    n: str
    """The n of all its intervals where they have one in common."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An exhibit with its number on the page, and everything that the template needs of it."""

    name: str
    label: str
    title: str
    note: str
    level: str
    figure: Markup | None
    table: Table
    columns: tuple[Column, ...]
    downloads: tuple[tuple[str, str, str], ...]
    """Word, file name and address of each."""

    @property
    def broad(self) -> bool:
        """Whether it needs the long side of a sheet."""
        return (
            sum(_width_mm(column, [row[place] for row in self.table.rows]) for place, column in enumerate(self.columns))
            > SHEET_MM
        )


def write_page(
    sections: Sequence[Section],
    folder: Path,
    *,
    title: str,
    summary: str | Sequence[str] = (),
    facts: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write a report: `report.html`, `report.md`, and the folder `report` with the files of every exhibit.

    The folder has each exhibit as CSV and JSON, each figure as SVG (light and dark) and PNG, a README.md that lists
    them, and page.json, which is the whole report as values. Equal inputs give equal bytes. Files of an earlier report
    that this one has not are removed.

    Args:
        sections: one for each question.
        folder: made if it is not there.
        title: of the page.
        summary: what a reader must know who reads nothing else, the recommendation first.
        facts: how it was made, by name.

    Returns:
        What was written, `report.html` first.

    Raises:
        ConfigError: a name is no word, or stands twice; a table's row is not as wide as its head.
        DataError: the folder cannot be written.
        MissingExtraError: matplotlib, which draws the figures, is not installed. The numbers are written all the same.
    """
    page = Page(title, tuple(sections), _lines(summary), dict(facts or {}))
    beside = folder / FOLDER
    with writing(folder):
        beside.mkdir(parents=True, exist_ok=True)
        _remove_earlier(beside, page)
    # The numbers first: they are not to be lost because a figure cannot be drawn.
    written = [_write(beside / name, content) for name, content in _numbers(page).items()]
    words = render_markdown(page.sections, title=title, summary=page.summary, facts=page.facts, figures=FOLDER)
    written.insert(0, _write(folder / "report.md", words))
    drawings = _drawings(page)
    written += [_write(beside / name, content) for name, content in _pictures(drawings).items()]
    return [_write(folder / "report.html", _rendered(page, drawings)), *written]


def page_files(page: Page) -> tuple[str, dict[str, bytes]]:
    """Render a page in memory: the HTML, and the other files by name.

    Raises:
        MissingExtraError: matplotlib, which draws the figures, is not installed.
    """
    drawings = _drawings(page)
    contents = {**_numbers(page), **_pictures(drawings)}
    return _rendered(page, drawings), {name: _bytes(content) for name, content in contents.items()}


def render_page(page: Page) -> str:
    """Render the HTML page; it is self-contained except for the figures as PNG.

    Raises:
        MissingExtraError: matplotlib, which draws the figures, is not installed.
    """
    return _rendered(page, _drawings(page))


def _rendered(page: Page, drawings: Mapping[str, SvgFigure]) -> str:
    style = f"{style_rules()}{_packaged('report.css')}"
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    counts = {"Table": 0, "Figure": 0}
    shown: list[tuple[Section, list[Shown]]] = []
    for section in page.sections:
        exhibits: list[Shown] = []
        for exhibit in section.exhibits:
            word = "Table" if isinstance(exhibit, Table) else "Figure"
            counts[word] += 1
            exhibits.append(_shown(exhibit, f"{word} {counts[word]}", drawings.get(exhibit.name)))
        shown.append((section, exhibits))
    rendered: str = _template().render(page=page, sections=shown, style=Markup(style), digest=digest)
    return rendered


def _shown(exhibit: Any, label: str, drawing: SvgFigure | None) -> Shown:
    table = exhibit if isinstance(exhibit, Table) else figure_table(exhibit)
    name = exhibit.name
    downloads = [
        ("CSV", f"{name}.csv", _data("text/csv", csv_text(exhibit))),
        ("JSON", f"{name}.json", _data("application/json", json_text(exhibit))),
    ]
    if drawing is not None:
        downloads.append(("SVG", f"{name}.svg", _data("image/svg+xml", drawing.svg)))
    return Shown(
        name=name,
        label=label,
        title=exhibit.title,
        note=exhibit.note,
        level=level_words(value for row in table.rows for value in row),
        figure=None if drawing is None else Markup(drawing.inline),
        table=table,
        columns=tuple(_column(table, place) for place in range(len(table.columns))),
        downloads=tuple(downloads),
    )


def _column(table: Table, place: int) -> Column:
    values = [row[place] for row in table.rows]
    sizes = {value.n for value in values if isinstance(value, Interval)}
    return Column(
        name=table.columns[place],
        places=decimals(values),
        right=place > 0 and are_numbers(values),
        n=f"n = {sizes.pop():,}" if len(sizes) == 1 else "",
    )


def _width_mm(column: Column, values: Sequence[Value]) -> float:
    """What a column takes on paper at least: words are wrapped, numbers are not."""
    widths = [LETTER_MM * max(map(len, column.name.split()), default=0), SMALL_MM * len(column.n)]
    for value in values:
        if isinstance(value, Interval):
            widths.append(SMALL_MM * len(interval_words(value, column.places)))
        else:
            words = value_words(value, column.places)
            widths.append(LETTER_MM * max(map(len, words.split()), default=0))
    return GAP_MM + max(widths)


def _cell(value: Value, column: Column) -> Markup | str:
    """Format a cell: an interval as estimate, limits, and n unless the column states it."""
    if value is None:
        return Markup('<span class="none">{}</span>').format(UNKNOWN)
    if not isinstance(value, Interval):
        return value_words(value, column.places)
    said = number(value.estimate, column.places)
    small = [interval_words(value, column.places), "" if column.n else f"n = {value.n:,}"]
    lines = Markup("").join(Markup("<small>{}</small>").format(line) for line in small if line)
    return Markup('<span class="none">{}</span>{}' if said == UNDEFINED else "{}{}").format(said, lines)


def _data(kind: str, text: str) -> str:
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"


def _numbers(page: Page) -> dict[str, str | bytes]:
    """What needs no drawing, by file name."""
    contents: dict[str, str | bytes] = {}
    for exhibit in (each for section in page.sections for each in section.exhibits):
        contents |= {f"{exhibit.name}.csv": csv_text(exhibit), f"{exhibit.name}.json": json_text(exhibit)}
    return {**contents, "README.md": _listing(page), "page.json": page_to_json(page)}


def _pictures(drawings: Mapping[str, SvgFigure]) -> dict[str, str | bytes]:
    """Every figure in its forms, by file name."""
    contents: dict[str, str | bytes] = {}
    for name, drawing in drawings.items():
        contents |= {f"{name}.svg": drawing.svg, f"{name}-dark.svg": drawing.dark, f"{name}.png": drawing.png}
    return contents


def _drawings(page: Page) -> dict[str, SvgFigure]:
    return {
        exhibit.name: draw(exhibit)
        for section in page.sections
        for exhibit in section.exhibits
        if not isinstance(exhibit, Table)
    }


def _listing(page: Page) -> str:
    """The index of the files."""
    rows = []
    counts = {"Table": 0, "Figure": 0}
    for section in page.sections:
        for exhibit in section.exhibits:
            word = "Table" if isinstance(exhibit, Table) else "Figure"
            counts[word] += 1
            forms = ("csv", "json") if word == "Table" else ("csv", "json", "svg", "png")
            rows.append(
                (f"{word} {counts[word]}", exhibit.title, ", ".join(f"{exhibit.name}.{form}" for form in forms))
            )
    table = Table("files", "Files", ("exhibit", "what it shows", "files"), tuple(rows))
    note = "page.json holds the whole report; `hf-synthlabels report page.json` makes the page of it."
    section = Section("files", "Files", "", (table,), (note,))
    return render_markdown((section,), title=page.title)


def _remove_earlier(folder: Path, page: Page) -> None:
    """Remove files of exhibits that are not in this report anymore."""
    try:
        earlier = page_from_json((folder / "page.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, DataError):
        return
    names = [{each.name for section in one.sections for each in section.exhibits} for one in (earlier, page)]
    for name in names[0] - names[1]:
        for ending in (".csv", ".json", ".svg", "-dark.svg", ".png"):
            (folder / f"{name}{ending}").unlink(missing_ok=True)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say which folder cannot be written, and why, in one line.

    Raises:
        DataError: something in it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise DataError(
            f"`output` {str(folder)!r} cannot be written ({error.strerror}: {error.filename}). Give another folder."
        ) from None


def _write(path: Path, content: str | bytes) -> Path:
    with writing(path.parent), atomic_path(path) as part:
        part.write_bytes(_bytes(content))
    return path


def _bytes(content: str | bytes) -> bytes:
    return content.encode("utf-8", "replace") if isinstance(content, str) else content


def _lines(summary: str | Sequence[str]) -> tuple[str, ...]:
    return (summary,) if isinstance(summary, str) else tuple(summary)


def _packaged(name: str) -> str:
    return files("hf_synthlabels.publishing").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _template() -> Any:
    environment = SandboxedEnvironment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # What no HTML may hold: control characters and halves of letters.
        finalize=lambda value: INVISIBLE.sub("", value) if type(value) is str else value,
    )
    environment.globals["cell"] = _cell
    return environment.from_string(_packaged("report.html"))
