"""From the Hub: all files of one revision, and each of them looked at before anybody trusts them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from hf_synthlabels.annotation.trust.downloaded import MANIFEST, mark_pulled
from hf_synthlabels.errors import ConfigError, HubError
from hf_synthlabels.publishing.hub.commit import checked_repo, hub_api, read_manifest
from hf_synthlabels.publishing.hub.hub_errors import told

REPO_TYPES = ("dataset", "model", "space")
SHOWN = 5


@dataclass(frozen=True, slots=True)
class PullResult:
    """What came from the Hub."""

    repo: str
    repo_type: str
    kind: str | None
    """What it was published as; None where another program published it, and nothing could be checked."""
    revision: str
    folder: Path
    files: int
    """How many were checked against the list that was published with them."""

    def __str__(self) -> str:
        checked = (
            f"{self.files:,} files as they were published" if self.kind else "not published by this package: unchecked"
        )
        return f"{self.repo_type} {self.repo}: {checked}\nrevision {self.revision}\nwritten: {self.folder}"


def pull(repo: str, folder: Path, *, repo_type: str | None = None, revision: str | None = None) -> PullResult:
    """Fetch a repository into a folder, all of it from one revision; stopped, it goes on where it was.

    What an earlier revision brought into the folder and this one has not is removed, unless it was changed there.

    A data set can then be read by `load_dataset(folder)`, a model by `from_pretrained(folder)`, a metric by
    `evaluate.load`.

    Args:
        repo: `user/name`.
        folder: for its files.
        repo_type: `dataset`, `model` or `space`; by default the one that there is.
        revision: a commit, a branch or a tag; by default the newest.

    Raises:
        HubError: it is not there, a file of it is missing or damaged, or the Hub cannot be reached.
        ConfigError: the name is not a repository name, or matches several repositories.
    """
    checked_repo(repo)
    if repo_type is not None and repo_type not in REPO_TYPES:
        raise ConfigError(f"`type` is {repo_type!r}: give one of {', '.join(REPO_TYPES)}.")
    with told(repo, "cannot be fetched"):
        api = hub_api()
        kind, info = _found(api, repo, repo_type, revision)
        listed = any(sibling.rfilename == MANIFEST for sibling in info.siblings or ())
        manifest = read_manifest(api, repo, kind, info.sha) if listed else None
        before = _listed_before(folder)
        mark_pulled(folder, f"{kind} {repo}, revision {info.sha}")
        api.snapshot_download(repo, repo_type=kind, revision=info.sha, local_dir=folder)
        # Again: the repository may have a file of this name.
        mark_pulled(folder, f"{kind} {repo}, revision {info.sha}")
    if manifest is None:
        return PullResult(repo, kind, None, info.sha, folder, 0)
    _check(repo, folder, manifest["files"])
    _clear(folder, before, manifest["files"])
    return PullResult(repo, kind, str(manifest["kind"]), info.sha, folder, len(manifest["files"]))


def _found(api: HfApi, repo: str, repo_type: str | None, revision: str | None) -> tuple[str, Any]:
    """Find the repository with this name and type; the type may be omitted if only one exists."""
    found = []
    for kind in REPO_TYPES if repo_type is None else (repo_type,):
        try:
            found.append((kind, api.repo_info(repo, repo_type=kind, revision=revision)))
        except RevisionNotFoundError:
            raise HubError(f"`{repo}` has no revision {revision!r}.") from None
        except RepositoryNotFoundError:
            if repo_type is not None:
                raise
    if not found:
        raise HubError(
            f"`{repo}` cannot be fetched: there is no data set, model or space of that name, or the token may not see "
            "it. Look at the name; for what is private run `hf auth login` or set HF_TOKEN."
        )
    if len(found) > 1:
        kinds = ", ".join(kind for kind, _ in found)
        raise ConfigError(f"`repo` {repo!r} is the name of several: {kinds}. Say which with `type`.")
    return found[0]


def _check(repo: str, folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Every file that was published is there and is what it was.

    Raises:
        HubError: one is not.
    """
    wrong = []
    for name, facts in sorted(files.items()):
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            wrong.append(f"{name} would lie elsewhere")
        elif not path.is_file():
            wrong.append(f"{name} is missing")
        elif path.stat().st_size != facts.get("size") or _sha256(path) != facts.get("sha256"):
            wrong.append(f"{name} was changed")
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise HubError(
            f"`{repo}` is not as it was published: {', '.join(wrong[:SHOWN])}{more}. Take another revision, or have it "
            "published again; what was fetched lies in the folder."
        )


def _listed_before(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """The files of the revision that was fetched into the folder before, if one was."""
    try:
        return dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"])
    except (OSError, KeyError, TypeError, ValueError):
        return {}


def _clear(folder: Path, before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Any]) -> None:
    """Remove what only the earlier revision had: its data would be read with those of this one."""
    for name in before.keys() - now.keys():
        path = folder / name
        inside = not Path(name).is_absolute() and ".." not in Path(name).parts
        # Files that were changed locally are kept.
        if inside and path.is_file() and _sha256(path) == before[name].get("sha256"):
            path.unlink()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
