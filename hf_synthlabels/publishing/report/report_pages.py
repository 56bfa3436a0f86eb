"""Any report as a page: from the value that was computed, or from the JSON that was kept of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from hf_synthlabels.errors import DataError, SynthLabelsError
from hf_synthlabels.judging import Audit, JudgeSummary
from hf_synthlabels.publishing.report.adapters.codebook_page import codebook_page
from hf_synthlabels.publishing.report.adapters.grid_page import grid_page
from hf_synthlabels.publishing.report.adapters.judging_page import audit_from_dict, audit_page, judge_page
from hf_synthlabels.publishing.report.adapters.runs_page import runs_page
from hf_synthlabels.publishing.report.adapters.specification_page import specification_page
from hf_synthlabels.publishing.report.adapters.validation_page import validation_page
from hf_synthlabels.publishing.report.page import write_page, writing
from hf_synthlabels.publishing.report.page_values import Page, page_from_json
from hf_synthlabels.statistics import ValidationReport
from hf_synthlabels.statistics.robustness.curve_report import SpecificationReport
from hf_synthlabels.statistics.validation.codebook_report import CodebookReport
from hf_synthlabels.studies import StudyRuns
from hf_synthlabels.studies.runs import parse_runs

if TYPE_CHECKING:
    from hf_synthlabels.training.search.report import GridReport
from hf_synthlabels.tables import write_text

Report: TypeAlias = (
    "StudyRuns | ValidationReport | CodebookReport | GridReport | Audit | JudgeSummary | SpecificationReport | Page"
)
"""Results that can be rendered as a page."""


def report_page(report: Report) -> Page:
    """Build the page of a report."""
    match report:
        case Page():
            return report
        case StudyRuns():
            return runs_page(report)
        case ValidationReport():
            return validation_page(report)
        case CodebookReport():
            return codebook_page(report)
        case Audit():
            return audit_page(report)
        case JudgeSummary():
            return judge_page(report)
        case SpecificationReport():
            return specification_page(report)
        case _:
            # Importing the class would load torch.
            return grid_page(report)


def read_report(text: str) -> Report:
    """Read a report from its JSON; the kind is determined by its fields.

    Raises:
        DataError: the text is not a report, or a part is missing.
    """
    try:
        values = json.loads(text)
    except ValueError as error:
        raise DataError(f"`results` is not JSON ({error}). Give the JSON of a report.") from None
    if not isinstance(values, Mapping):
        raise DataError(f"`results` is a JSON {type(values).__name__}. Give the JSON of a report.")
    read = next((reader for fields, reader in KINDS.items() if fields <= values.keys()), None)
    if read is None:
        raise DataError(
            f"`results` has the fields {', '.join(map(str, list(values)[:6]))}, which no report has. Give the "
            "runs.json of `study`, what `validate -o`, `train --grid` or an audit's `to_dict` wrote, or a page.json."
        )
    try:
        return read(text, values)
    except SynthLabelsError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"`results` is a report with a missing or changed part ({type(error).__name__}: {error}). Compute it again."
        ) from None


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write the page of a report into a folder, see `write_page`; of a validation also its numbers as `report.json`.

    Returns:
        The written files, `report.html` first.

    Raises:
        DataError: the folder cannot be written.
        MissingExtraError: matplotlib is not installed; the numbers are written nevertheless.
    """
    numbers: list[Path] = []
    if isinstance(report, ValidationReport | CodebookReport):
        # Numbers first, so that they are written even if a figure cannot be drawn.
        with writing(folder):
            numbers = [write_text(folder / "report.json", report.to_json())]
    return [*write_page(report_page(report), folder), *numbers]


def _read_grid(text: str) -> GridReport:
    from hf_synthlabels.training.search.report import GridReport

    return GridReport.from_json(text)


KINDS: Mapping[frozenset[str], Callable[[str, Mapping[str, Any]], Report]] = {
    frozenset({"title", "sections"}): lambda text, _: page_from_json(text),
    frozenset({"tasks", "margin", "resamples"}): lambda _, values: parse_runs(values),
    frozenset({"cells", "schedule"}): lambda text, _: _read_grid(text),
    frozenset({"curves", "agreement"}): lambda _, values: SpecificationReport.from_dict(values),
    frozenset({"comparisons", "verdicts"}): lambda _, values: audit_from_dict(values),
    frozenset({"variables", "joint"}): lambda _, values: CodebookReport.from_dict(values),
    frozenset({"scores", "n_human"}): lambda text, _: ValidationReport.from_json(text),
}
"""Characteristic fields of each kind of report, and its reader."""
