"""Reports as Markdown, with the numbers of every figure as a table."""

from __future__ import annotations

from hf_synthlabels.cards.markdown import Markdown, plain, table
from hf_synthlabels.publishing.report.export_files import figure_table
from hf_synthlabels.publishing.report.formatting import are_numbers, decimals, level_words, value_words
from hf_synthlabels.publishing.report.page_values import Page
from hf_synthlabels.statistics.exhibits import Exhibit, Table


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
            parts.append(f"![{plain(exhibit.title)}]({figures}/{exhibit.name}.svg)")
    parts.append(_table(numbers) if numbers.rows else Markdown("No numbers."))
    note = " ".join(filter(None, (exhibit.note, level_words(value for row in numbers.rows for value in row))))
    return [*parts, plain(note)] if note else parts


def _table(numbers: Table) -> Markdown:
    places = [decimals(row[place] for row in numbers.rows) for place in range(len(numbers.columns))]
    right = [place for place in range(1, len(numbers.columns)) if are_numbers(row[place] for row in numbers.rows)]
    rows = [[value_words(value, digits) for value, digits in zip(row, places, strict=True)] for row in numbers.rows]
    return table(numbers.columns, rows, right)
