"""`hf-synthlabels report`: render a report page from its JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hf_synthlabels.cli.help import show_next
from hf_synthlabels.cli.options import ResultsArgument
from hf_synthlabels.errors import DataError


def report(
    results: ResultsArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for the page (default: the folder of the JSON).")
    ] = None,
) -> None:
    """Render a report from its JSON: HTML, Markdown, and each table and figure as a file.

    Example: hf-synthlabels report results/runs.json
    """
    from hf_synthlabels.publishing import Page, write_report

    content = load_report(results)
    folder = output or results.parent
    if output is None and isinstance(content, Page) and results.name == "page.json":
        # page.json is in the folder of files; the page is one level up.
        folder = results.parent.parent
    print_written(write_report(content, folder), folder)
    show_next("report", results=results, repo=f"user/{folder.resolve().name}")


def load_report(path: Path, option: str = "results", kind: type | None = None) -> Any:
    """Read a report from its JSON file.

    Args:
        path: JSON file.
        option: name of the option or argument, for errors.
        kind: required class of the report (default: any).

    Raises:
        DataError: the file cannot be read, or contains no such report.
    """
    from hf_synthlabels.publishing import read_report

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"`{option}` {str(path)!r} cannot be read: {error}. Give the JSON of a report.") from None
    content = read_report(text)
    if kind is not None and not isinstance(content, kind):
        raise DataError(f"`{option}` {str(path)!r} is a {type(content).__name__}. Give a {kind.__name__} as JSON.")
    return content


def print_written(files: Sequence[Path], folder: Path) -> None:
    """Print the files next to the page, and the number of files in the folder of tables and figures."""
    for file in files:
        if file.parent == folder:
            print(f"written: {file}")
    inside = [file for file in files if file.parent != folder]
    if inside:
        print(f"written: {inside[0].parent}, {len(inside)} files of tables and figures")
