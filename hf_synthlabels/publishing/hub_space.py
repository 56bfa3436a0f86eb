"""What becomes a Space: a metric that `evaluate.load` finds there, and the page of a study."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import SpaceCardData

from hf_synthlabels.cards import study_card
from hf_synthlabels.errors import DataError
from hf_synthlabels.publishing.hub import HubFile, Parcel, checked_repo
from hf_synthlabels.publishing.report import page_of, render_page
from hf_synthlabels.studies import StudyReport

__all__ = ["metric_parcel", "report_parcel"]

SKIPPED = ("__pycache__", ".")


def metric_parcel(folder: Path, repo: str) -> Parcel:
    """All that is published of a metric: its module, its page, its card, what it needs.

    Args:
        folder: of the metric, with `<name>.py`, `app.py`, `README.md` and `requirements.txt`.
        repo: `user/<name>`, since `evaluate` looks for the module by the name of the Space.

    Raises:
        DataError: a file is missing, or the names differ.
        ConfigError: the name of the repository is none.
    """
    checked_repo(repo)
    if not folder.is_dir():
        raise DataError(f"`metric` {str(folder)!r} is no folder. Give one, or the name of a metric of this package.")
    wanted, name = folder.resolve().name, repo.rpartition("/")[2]
    if name != wanted:
        raise DataError(
            f"`repo` is {repo!r}, but `evaluate` looks in a Space for the module of its name: end it in /{wanted}."
        )
    for needed in (f"{wanted}.py", "app.py", "README.md", "requirements.txt"):
        if not (folder / needed).is_file():
            raise DataError(f"`metric` {wanted!r} has no {needed}, which its Space needs.")
    files = [
        HubFile(path.relative_to(folder).as_posix(), path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(SKIPPED) for part in path.relative_to(folder).parts)
    ]
    return Parcel(repo, "metric", tuple(files))


def report_parcel(report: StudyReport, repo: str, *, licence: str) -> Parcel:
    """All that is published of a study: its page, its numbers, its card.

    Raises:
        MissingExtraError: matplotlib, which draws the figures, is not installed.
        ConfigError: the name of the repository is none.
    """
    checked_repo(repo)
    metadata = SpaceCardData(
        title=report.name[:60],
        emoji="📊",
        colorFrom="blue",
        colorTo="green",
        sdk="static",
        license=licence,
        pinned=False,
        tags=["hf-synthlabels"],
    )
    card = f"---\n{metadata.to_yaml()}\n---\n\n{study_card(report)}"
    files = (
        HubFile("README.md", card.encode()),
        HubFile("index.html", render_page(page_of(report)).encode()),
        HubFile("report.json", report.to_json().encode()),
    )
    return Parcel(repo, "report", files)
