"""Spaces: a metric for `evaluate.load`, and the page of a report."""

from __future__ import annotations

import json
from pathlib import Path

from huggingface_hub import SpaceCardData

from hf_synthlabels.errors import DataError
from hf_synthlabels.judging import Audit, JudgeSummary
from hf_synthlabels.publishing.hub.commit import checked_repo
from hf_synthlabels.publishing.hub.upload import HubFile, HubUpload
from hf_synthlabels.publishing.report import Page, Report, render_markdown, report_page
from hf_synthlabels.publishing.report.page import FOLDER, page_files
from hf_synthlabels.studies import StudyRuns

SKIPPED = ("__pycache__", ".")


def metric_upload(folder: Path, repo: str) -> HubUpload:
    """Collect the files of a metric: module, page, card and requirements.

    Args:
        folder: folder of the metric, with `<name>.py`, `app.py`, `README.md` and `requirements.txt`.
        repo: `user/<name>`; `evaluate` finds the module by the name of the Space.

    Raises:
        DataError: a file is missing, or the names differ.
        ConfigError: the repository name is invalid.
    """
    checked_repo(repo)
    if not folder.is_dir():
        raise DataError(f"`metric` {str(folder)!r} is not a folder: give one, or a packaged metric.")
    name = folder.resolve().name
    if repo.rpartition("/")[2] != name:
        raise DataError(f"`repo` is {repo!r}, but the Space must have the name of the module: end it in /{name}.")
    for required in (f"{name}.py", "app.py", "README.md", "requirements.txt"):
        if not (folder / required).is_file():
            raise DataError(f"`metric` {name!r} has no {required}, which its Space needs.")
    files = [
        HubFile(path.relative_to(folder).as_posix(), path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(SKIPPED) for part in path.relative_to(folder).parts)
    ]
    return HubUpload(repo, "metric", tuple(files))


def report_upload(report: Report, repo: str, *, license: str) -> HubUpload:
    """Collect the files of a report: page, card, numbers, and the folder with tables and figures.

    `read_report` reads `report.json`. A study has none, because its runs contain texts and labels of rows.

    Raises:
        MissingExtraError: matplotlib, which draws the figures, is not installed.
        ConfigError: the repository name is invalid.
    """
    checked_repo(repo)
    page = report_page(report)
    html, exhibits = page_files(page)
    metadata = SpaceCardData(
        title=page.title[:60].strip() or repo.rpartition("/")[2],
        emoji="📊",
        colorFrom="blue",
        colorTo="green",
        sdk="static",
        license=license,
        pinned=False,
        tags=["hf-synthlabels"],
    )
    body = render_markdown(page, figures=FOLDER)
    card = f"---\n{metadata.to_yaml()}\n---\n\n{body}"
    numbers = _numbers(report)
    return HubUpload(
        repo,
        "report",
        (
            HubFile("README.md", card.encode("utf-8", "replace")),
            HubFile("index.html", html.encode("utf-8", "replace")),
            *(() if numbers is None else (HubFile("report.json", numbers.encode("utf-8", "replace")),)),
            *(HubFile(f"{FOLDER}/{name}", content) for name, content in sorted(exhibits.items())),
        ),
    )


def _numbers(report: Report) -> str | None:
    """JSON of a report; None if it has none, or would contain single rows."""
    match report:
        case StudyRuns() | Page() | JudgeSummary():
            return None
        case Audit():
            return json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n"
        case _:
            return report.to_json()
