"""Pull: download one revision from the Hub, and verify every file."""

from __future__ import annotations

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
from hf_synthlabels.publishing.hub.hub_errors import translate_errors
from hf_synthlabels.publishing.hub.upload import sha256

REPO_TYPES = ("dataset", "model", "space")
MAX_LISTED = 5


@dataclass(frozen=True, slots=True)
class PullResult:
    """A downloaded revision."""

    repo: str
    repo_type: str
    kind: str | None
    """Kind of the publication; None if another program published it, so that nothing could be verified."""
    revision: str
    folder: Path
    files: int
    """Number of files verified against the published manifest."""

    def __str__(self) -> str:
        check = f"{self.files:,} files verified" if self.kind else "not verified, published by another program"
        return f"{self.repo_type} {self.repo}: {check}\nrevision {self.revision}\nwritten: {self.folder}"


def pull(repo: str, folder: Path, *, repo_type: str | None = None, revision: str | None = None) -> PullResult:
    """Download one revision of a repository into a folder; an interrupted download resumes.

    Files of a revision that was downloaded there before are removed if this one lacks them and they are unchanged.
    The folder can then be read by `load_dataset`, `from_pretrained` or `evaluate.load`.

    Args:
        repo: `user/name`.
        folder: folder for the files.
        repo_type: `dataset`, `model` or `space` (default: the one that exists).
        revision: commit, branch or tag (default: latest).

    Raises:
        HubError: the repository does not exist, a file is missing or damaged, or the Hub cannot be reached.
        ConfigError: the repository name is invalid, or matches several repositories.
    """
    checked_repo(repo)
    if repo_type is not None and repo_type not in REPO_TYPES:
        raise ConfigError(f"`type` is {repo_type!r}: give one of {', '.join(REPO_TYPES)}.")
    with translate_errors(repo, "cannot be downloaded"):
        api = hub_api()
        kind, info = _find(api, repo, repo_type, revision)
        listed = any(sibling.rfilename == MANIFEST for sibling in info.siblings or ())
        manifest = read_manifest(api, repo, kind, info.sha) if listed else None
        earlier = _earlier_files(folder)
        mark_pulled(folder, f"{kind} {repo}, revision {info.sha}")
        api.snapshot_download(repo, repo_type=kind, revision=info.sha, local_dir=folder)
        # Again, because the repository may contain a file of this name.
        mark_pulled(folder, f"{kind} {repo}, revision {info.sha}")
    if manifest is None:
        return PullResult(repo, kind, None, info.sha, folder, 0)
    _verify(repo, folder, manifest["files"])
    _remove_obsolete(folder, earlier, manifest["files"])
    return PullResult(repo, kind, str(manifest["kind"]), info.sha, folder, len(manifest["files"]))


def _find(api: HfApi, repo: str, repo_type: str | None, revision: str | None) -> tuple[str, Any]:
    """Find the repository with this name and type; the type may be omitted if only one exists."""
    matches = []
    for kind in REPO_TYPES if repo_type is None else (repo_type,):
        try:
            matches.append((kind, api.repo_info(repo, repo_type=kind, revision=revision)))
        except RevisionNotFoundError:
            raise HubError(f"`{repo}` has no revision {revision!r}.") from None
        except RepositoryNotFoundError:
            if repo_type is not None:
                raise
    if not matches:
        raise HubError(
            f"`{repo}` cannot be downloaded: no data set, model or space has this name, or the token cannot see it. "
            "Check the name; for a private repository run `hf auth login` or set HF_TOKEN."
        )
    if len(matches) > 1:
        kinds = ", ".join(kind for kind, _ in matches)
        raise ConfigError(f"`repo` {repo!r} is ambiguous: {kinds}. Choose one with `--type`.")
    return matches[0]


def _verify(repo: str, folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare every file with the manifest.

    Raises:
        HubError: a file is missing or differs.
    """
    wrong = []
    for name, entry in sorted(files.items()):
        path = folder / name
        if not _is_inside(name):
            wrong.append(f"{name} is outside the repository")
        elif not path.is_file():
            wrong.append(f"{name} is missing")
        elif path.stat().st_size != entry.get("size") or sha256(path) != entry.get("sha256"):
            wrong.append(f"{name} was changed")
    if wrong:
        more = f" and {len(wrong) - MAX_LISTED} more" if len(wrong) > MAX_LISTED else ""
        raise HubError(
            f"`{repo}` differs from what was published: {', '.join(wrong[:MAX_LISTED])}{more}. Pull another revision, "
            "or ask the publisher to push it again; the downloaded files are in the folder."
        )


def _earlier_files(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """Manifest entries of the revision that was downloaded into the folder before."""
    try:
        return dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"])
    except (OSError, KeyError, TypeError, ValueError):
        return {}


def _remove_obsolete(folder: Path, earlier: Mapping[str, Mapping[str, Any]], current: Mapping[str, Any]) -> None:
    """Remove unchanged files of an earlier revision, which would be loaded with the current ones."""
    for name in earlier.keys() - current.keys():
        path = folder / name
        if _is_inside(name) and path.is_file() and sha256(path) == earlier[name].get("sha256"):
            path.unlink()


def _is_inside(name: str) -> bool:
    return not Path(name).is_absolute() and ".." not in Path(name).parts
