"""HTML page of a report, without scripts or external resources, and its data files."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup

from hf_synthlabels.cards.markdown import INVISIBLE
from hf_synthlabels.errors import DataError
from hf_synthlabels.publishing.report.confusion_figure import is_large
from hf_synthlabels.publishing.report.export_files import csv_text, figure_table, is_upright, json_text
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
from hf_synthlabels.statistics.exhibits import Counts, Section, Table, Value
from hf_synthlabels.tables import atomic_path

FOLDER = "report"
"""Folder of tables and figures, next to the page."""
SHEET_MM = 180
"""Text width of an A4 sheet in portrait format; wider tables are printed in landscape format."""
LETTER_MM, SMALL_MM, GAP_MM = 1.6, 1.3, 2.2
"""Printed widths of a letter, of a small letter, and of the gap between columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """How a column of a table is shown."""

    name: str
    places: int
    right: bool
    n: str
    """The common n of all intervals; empty if they differ."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An exhibit with its label, as the template shows it."""

    name: str
    label: str
    title: str
    note: str
    level: str
    figure: Markup | None
    table: Table
    """Its numbers; without rows if they are too many to be read on a page."""
    columns: tuple[Column, ...]
    downloads: tuple[tuple[str, str, str], ...]
    """Format, file name and URL of each download."""

    @property
    def upright(self) -> bool:
        """Whether its only row is shown as a list of columns and values."""
        return is_upright(self.table)

    @property
    def broad(self) -> bool:
        """Whether it is printed in landscape format."""
        if self.upright:
            return False
        cells = zip(*self.table.rows, strict=True) if self.table.rows else [()] * len(self.columns)
        return sum(map(_width_mm, self.columns, cells)) > SHEET_MM


def write_page(page: Page, folder: Path) -> list[Path]:
    """Write a report: `report.html`, `report.md`, and the folder `report` with the files of every exhibit.

    The folder contains each exhibit as CSV and JSON, each figure as SVG (light and dark) and PNG, an index, and
    page.json with the whole page. Equal inputs give equal bytes. Exhibits of an earlier report are removed.

    Args:
        page: the report.
        folder: output folder; created if it does not exist.

    Returns:
        The written files, `report.html` first.

    Raises:
        DataError: the folder cannot be written.
        MissingExtraError: matplotlib is not installed; the numbers are written nevertheless.
    """
    exhibits = folder / FOLDER
    with writing(folder):
        exhibits.mkdir(parents=True, exist_ok=True)
        _remove_earlier(exhibits, page)
    # Numbers first, so that they are written even if a figure cannot be drawn.
    written = [_write(exhibits / name, content) for name, content in _numbers(page).items()]
    written.insert(0, _write(folder / "report.md", render_markdown(page, figures=FOLDER)))
    drawings = _drawings(page)
    written += [_write(exhibits / name, content) for name, content in _pictures(drawings).items()]
    return [_write(folder / "report.html", _rendered(page, drawings)), *written]


def page_files(page: Page) -> tuple[str, dict[str, bytes]]:
    """Render a page in memory: the HTML, and the other files by name.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    drawings = _drawings(page)
    contents = {**_numbers(page), **_pictures(drawings)}
    return _rendered(page, drawings), {name: _bytes(content) for name, content in contents.items()}


def render_page(page: Page) -> str:
    """Render the HTML page, which is self-contained.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return _rendered(page, _drawings(page))


def _rendered(page: Page, drawings: Mapping[str, SvgFigure]) -> str:
    style = f"{style_rules()}{_packaged('report.css')}"
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    labels = page.labels()
    sections = [
        (section, [_shown(each, labels[each.name], drawings.get(each.name)) for each in section.exhibits])
        for section in page.sections
    ]
    rendered: str = _template().render(page=page, sections=sections, style=Markup(style), digest=digest)
    return rendered


def _shown(exhibit: Any, label: str, drawing: SvgFigure | None) -> Shown:
    table = exhibit if isinstance(exhibit, Table) else figure_table(exhibit)
    if isinstance(exhibit, Counts) and is_large(exhibit):
        table = replace(table, rows=())
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
    """Minimum printed width of a column: words are wrapped, numbers are not."""
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
    estimate = number(value.estimate, column.places)
    small = [interval_words(value, column.places), "" if column.n else f"n = {value.n:,}"]
    lines = Markup("").join(Markup("<small>{}</small>").format(line) for line in small if line)
    is_undefined = estimate == UNDEFINED
    return Markup('<span class="none">{}</span>{}' if is_undefined else "{}{}").format(estimate, lines)


def _data(kind: str, text: str) -> str:
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"


def _numbers(page: Page) -> dict[str, str | bytes]:
    """Files that need no drawing, by name."""
    contents: dict[str, str | bytes] = {}
    for exhibit in page.exhibits:
        contents |= {f"{exhibit.name}.csv": csv_text(exhibit), f"{exhibit.name}.json": json_text(exhibit)}
    return {**contents, "README.md": _listing(page), "page.json": page_to_json(page)}


def _pictures(drawings: Mapping[str, SvgFigure]) -> dict[str, str | bytes]:
    """Every figure in all formats, by file name."""
    contents: dict[str, str | bytes] = {}
    for name, drawing in drawings.items():
        contents |= {f"{name}.svg": drawing.svg, f"{name}-dark.svg": drawing.dark, f"{name}.png": drawing.png}
    return contents


def _drawings(page: Page) -> dict[str, SvgFigure]:
    return {exhibit.name: draw(exhibit) for exhibit in page.exhibits if not isinstance(exhibit, Table)}


def _listing(page: Page) -> str:
    """Index of the files."""
    labels = page.labels()
    rows = []
    for exhibit in page.exhibits:
        formats = ("csv", "json") if isinstance(exhibit, Table) else ("csv", "json", "svg", "png")
        files = ", ".join(f"{exhibit.name}.{ending}" for ending in formats)
        rows.append((labels[exhibit.name], exhibit.title, files))
    table = Table("files", "Files", ("exhibit", "title", "files"), tuple(rows))
    note = "page.json contains the whole report; `hf-synthlabels report page.json` renders it."
    return render_markdown(Page(page.title, (Section("files", "Files", "", (table,), (note,)),)))


def _remove_earlier(folder: Path, page: Page) -> None:
    """Remove files of exhibits that are no longer in the report."""
    try:
        earlier = page_from_json((folder / "page.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, DataError):
        return
    for name in {exhibit.name for exhibit in earlier.exhibits} - {exhibit.name for exhibit in page.exhibits}:
        for ending in (".csv", ".json", ".svg", "-dark.svg", ".png"):
            (folder / f"{name}{ending}").unlink(missing_ok=True)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Translate errors of writing into a folder.

    Raises:
        DataError: a file cannot be written.
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


def _packaged(name: str) -> str:
    return files("hf_synthlabels.publishing").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _template() -> Any:
    environment = SandboxedEnvironment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Characters that are invalid in HTML: control characters and surrogates.
        finalize=lambda value: INVISIBLE.sub("", value) if type(value) is str else value,
    )
    environment.globals["cell"] = _cell
    return environment.from_string(_packaged("report.html"))
