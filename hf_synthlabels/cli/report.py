"""The command line of reports: `hf-synthlabels report ...`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hf_synthlabels.errors import DataError

if TYPE_CHECKING:
    from hf_synthlabels.publishing import Report


def report(
    results: Annotated[Path, typer.Argument(help="The JSON of a study, a validation, a grid, an audit, or page.json.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The folder; that of the JSON.")] = None,
) -> None:
    """Make the page of any report anew from its JSON: HTML, Markdown, and every table and figure as files.

    Example: hf-synthlabels report results/report.json
    """
    from hf_synthlabels.publishing import Page, write_report

    found = opened(results)
    folder = output or results.parent
    if output is None and isinstance(found, Page) and results.name == "page.json":
        # It lies in the folder of files, beside which the page stands.
        folder = results.parent.parent
    tell_written(write_report(found, folder), folder)


def opened(results: Path) -> Report:
    """The report that a file holds.

    Raises:
        DataError: it can not be read, or is no report.
    """
    from hf_synthlabels.publishing import read_report

    try:
        text = results.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"`results` {str(results)!r} can not be read: {error}. Give the JSON of a report, such as report.json."
        ) from None
    return read_report(text)


def tell_written(files: Sequence[Path], folder: Path) -> None:
    """Say what was written: each file beside the page, and how many lie in the folder of tables and figures."""
    for file in files:
        if file.parent == folder:
            print(f"written: {file}")
    inside = [file for file in files if file.parent != folder]
    if inside:
        print(f"written: {inside[0].parent}, {len(inside)} files of tables and figures")
