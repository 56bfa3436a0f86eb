"""Reports as Markdown: the same words and numbers as the page, with every figure as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hf_synthlabels.cards.markdown import Markdown, plain, table
from hf_synthlabels.publishing.report.export_files import figure_table
from hf_synthlabels.publishing.report.formatting import are_numbers, decimals, level_words, value_words
from hf_synthlabels.statistics.exhibits import Exhibit, Section, Table


def render_markdown(
    sections: Sequence[Section],
    *,
    title: str = "",
    summary: str | Sequence[str] = (),
    facts: Mapping[str, str] | None = None,
    figures: str | None = None,
    level: int = 2,
) -> str:
    """Sections as Markdown; texts are escaped, so that nothing in them is markup.

    Args:
        sections: in their order.
        title: a heading above all; none if empty.
        summary: what stands below it.
        facts: a table at the end: how it was made.
        figures: the folder of the figures' SVG files, relative to the text, which then shows them; without it only
            their numbers stand there.
        level: of the sections' headings.
    """
    parts: list[str] = [f"{'#' * max(1, level - 1)} {plain(title)}"] if title else []
    parts += [plain(line) for line in ((summary,) if isinstance(summary, str) else summary) if line]
    counts = {"Table": 0, "Figure": 0}
    for section in sections:
        parts += [f"{'#' * level} {plain(section.title)}", *([plain(section.answer)] if section.answer else [])]
        for exhibit in section.exhibits:
            word = "Table" if isinstance(exhibit, Table) else "Figure"
            counts[word] += 1
            parts += _exhibit(exhibit, f"{word} {counts[word]}", figures)
        if section.notes:
            parts.append("\n".join(f"- {plain(note)}" for note in section.notes))
    if facts:
        parts.append(f"{'#' * level} How it was made")
        parts.append(table(("what", "recorded"), list(facts.items())))
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
    said = [exhibit.note, level_words(value for row in numbers.rows for value in row)]
    return [*parts, *([plain(" ".join(filter(None, said)))] if any(said) else [])]


def _table(numbers: Table) -> Markdown:
    places = [decimals(row[place] for row in numbers.rows) for place in range(len(numbers.columns))]
    right = [place for place in range(1, len(numbers.columns)) if are_numbers(row[place] for row in numbers.rows)]
    rows = [[value_words(value, digits) for value, digits in zip(row, places, strict=True)] for row in numbers.rows]
    return table(numbers.columns, rows, right)
