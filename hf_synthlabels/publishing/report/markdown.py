"""Reports as Markdown, with the numbers of every figure as a table."""

from __future__ import annotations

from hf_synthlabels.cards.markdown import Markdown, plain, table
from hf_synthlabels.publishing.report.confusion_figure import is_large
from hf_synthlabels.publishing.report.export_files import alt_text, figure_table, is_upright
from hf_synthlabels.publishing.report.formatting import are_numbers, decimals, level_words, value_words
from hf_synthlabels.publishing.report.page_values import Page
from hf_synthlabels.statistics.exhibits import Counts, Exhibit, Table


def render_markdown(page: Page, *, figures: str | None = None, level: int = 2) -> str:
    """Render a page as Markdown; texts are escaped.

    Args:
        page: the report; without a heading if its title is empty.
        figures: folder of the figures as SVG, relative to the text; None to show only their numbers.
        level: heading level of sections.
    """
    parts: list[str] = [f"{'#' * max(1, level - 1)} {plain(page.title)}"] if page.title else []
    parts += [plain(line) for line in page.summary if line]
    labels = page.labels()
    for section in page.sections:
        parts += [f"{'#' * level} {plain(section.title)}", *([plain(section.answer)] if section.answer else [])]
        for exhibit in section.exhibits:
            parts += _exhibit(exhibit, labels[exhibit.name], figures)
        if section.notes:
            parts.append("\n".join(f"- {plain(note)}" for note in section.notes))
    if page.facts:
        parts.append(f"{'#' * level} Methods and provenance")
        parts.append(table(("item", "value"), list(page.facts.items())))
    return "\n\n".join(parts) + "\n"


def _exhibit(exhibit: Exhibit, label: str, figures: str | None) -> list[str]:
    parts = [f"**{label}.** {plain(exhibit.title)}"]
    if isinstance(exhibit, Table):
        numbers = exhibit
    else:
        numbers = figure_table(exhibit)
        if figures is not None:
            parts.append(f"![{plain(alt_text(exhibit))}]({figures}/{exhibit.name}.svg)")
    # A table of so many columns cannot be read; the CSV file has the numbers.
    if not (isinstance(exhibit, Counts) and is_large(exhibit)):
        parts.append(_table(numbers) if numbers.rows else Markdown("No numbers."))
    note = " ".join(filter(None, (exhibit.note, level_words(value for row in numbers.rows for value in row))))
    return [*parts, plain(note)] if note else parts


def _table(numbers: Table) -> Markdown:
    places = [decimals(row[place] for row in numbers.rows) for place in range(len(numbers.columns))]
    right = [place for place in range(1, len(numbers.columns)) if are_numbers(row[place] for row in numbers.rows)]
    if is_upright(numbers):
        (row,) = numbers.rows
        return table(
            (numbers.columns[0], value_words(row[0], places[0])),
            [
                (name, value_words(value, digits))
                for name, value, digits in list(zip(numbers.columns, row, places, strict=True))[1:]
            ],
        )
    rows = [[value_words(value, digits) for value, digits in zip(row, places, strict=True)] for row in numbers.rows]
    return table(numbers.columns, rows, right)
