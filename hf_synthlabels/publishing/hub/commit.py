"""Push: publish files on the Hub in one commit, which arrives completely or not at all."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils._validators import validate_repo_id

from hf_synthlabels.annotation.provenance import package_version
from hf_synthlabels.annotation.trust.downloaded import MANIFEST
from hf_synthlabels.clients.retry import backoff_s
from hf_synthlabels.errors import ConfigError, HubError
from hf_synthlabels.publishing.hub.hub_errors import NO_TOKEN, is_transient, retry_after, translate_errors
from hf_synthlabels.publishing.hub.upload import HubFile, HubUpload, Kind, sha256

SDKS: dict[Kind, str] = {"metric": "gradio", "report": "static"}

INITIAL_FILES = frozenset({".gitattributes"})
"""Files that the Hub puts into a new repository."""

CARD = "README.md"
KEPT_CARD = "annotation/README.md"
"""Path of the generated card if the repository's own card stays."""

SHARD = re.compile(r"data/(.+)-\d{5}-of-\d{5}(?:-[0-9a-f]+)?\.parquet")
"""A data file as `datasets` names it, with its split."""

MAX_ATTEMPTS = 4
MAX_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class PushResult:
    """Result of a push."""

    repo: str
    repo_type: str
    revision: str
    """Commit with all files."""
    created: bool
    """Whether the repository is new."""
    changed: bool
    """Whether files differed; otherwise there is no new commit."""
    private: bool

    @property
    def url(self) -> str:
        """Address of the repository's page."""
        prefix = "" if self.repo_type == "model" else f"{self.repo_type}s/"
        return f"{_endpoint()}/{prefix}{self.repo}"

    def __str__(self) -> str:
        action = "created" if self.created else "changed" if self.changed else "unchanged"
        visibility = "private" if self.private else "public"
        return f"{action}: {self.url} ({visibility})\nrevision {self.revision}"


def push(upload: HubUpload, *, private: bool = True, replace: bool = False, keep_card: bool = False) -> PushResult:
    """Publish files in one commit, and create the repository if it does not exist.

    The commit also removes files of an earlier push that this one lacks. Without differences there is no commit.
    After a failure the repository is unchanged, or new and empty; a second run does not send uploaded files again.

    Args:
        upload: files to publish.
        private: whether a new repository is visible to its owner only.
        replace: write into a repository that this package did not fill, and overwrite an edited card.
        keep_card: keep the README.md on the Hub, and write the generated card to `annotation/README.md`.

    Raises:
        HubError: the token or a permission is missing, the repository has other contents, its card was edited, the
            Hub cannot be reached or refuses, or a file contains a secret of this environment.
        ConfigError: the repository name is invalid.
    """
    checked_repo(upload.repo)
    upload.check_secrets()
    if get_token() is None:
        raise HubError(f"`{upload.repo}` cannot be published: {NO_TOKEN}")
    with translate_errors(upload.repo, "cannot be published"):
        api = hub_api()
        created = _create_repo(api, upload, private=private)
        for attempt in range(MAX_ATTEMPTS):
            try:
                return _commit(api, upload, created=created, replace=replace, keep_card=keep_card)
            except (HfHubHTTPError, httpx2.TransportError) as error:
                wait_s = backoff_s(attempt + 1, retry_after(error))
                # The client retries all requests but the commit.
                is_last = attempt + 1 == MAX_ATTEMPTS or wait_s > MAX_WAIT_S
                if is_last or not _is_commit(error) or not is_transient(error):
                    raise
                time.sleep(wait_s)
    raise AssertionError("the last attempt returns or raises")


def _create_repo(api: HfApi, upload: HubUpload, *, private: bool) -> bool:
    """Create the repository unless it exists; return whether it is new."""
    try:
        api.repo_info(upload.repo, repo_type=upload.repo_type)
    except RepositoryNotFoundError:
        sdk = SDKS.get(upload.kind)
        api.create_repo(upload.repo, repo_type=upload.repo_type, private=private, exist_ok=True, space_sdk=sdk)
        return True
    return False


def _commit(api: HfApi, content: HubUpload, *, created: bool, replace: bool, keep_card: bool) -> PushResult:
    """Compare with the repository, and commit the differences."""
    info: Any = api.repo_info(content.repo, repo_type=content.repo_type)
    existing = {sibling.rfilename for sibling in info.siblings or ()}
    manifest = read_manifest(api, content.repo, content.repo_type, info.sha) if MANIFEST in existing else None
    kind = None if manifest is None else manifest["kind"]
    if not (replace or keep_card) and kind != content.kind and not existing <= INITIAL_FILES:
        others = f"a {kind}" if kind else f"files of another origin ({', '.join(sorted(existing)[:3])})"
        raise HubError(
            f"`{content.repo}` already contains {others}. Choose another name, add `--replace` to overwrite it, or "
            "`--keep-card` to keep its README.md."
        )
    published = {} if manifest is None else manifest["files"]
    upload = content
    if CARD in existing and not replace and _keeps_card(api, content, info.sha, manifest, keep_card=keep_card):
        files = (HubFile(KEPT_CARD, file.content) if file.path == CARD else file for file in content.files)
        upload = HubUpload(content.repo, content.kind, tuple(files))
    _check_shards(content, existing, set(published))
    upload = upload.with_manifest()
    paths = {file.path for file in upload.files}
    obsolete = (published.keys() & existing) - paths - ({CARD} if KEPT_CARD in paths else set())
    commit = api.create_commit(
        upload.repo,
        repo_type=upload.repo_type,
        operations=[
            *(CommitOperationAdd(file.path, cast("bytes | str | Path", file.content)) for file in upload.files),
            *(CommitOperationDelete(path, is_folder=False) for path in sorted(obsolete)),
        ],
        commit_message=f"Publish a {upload.kind} with hf-synthlabels {package_version()}",
        parent_commit=info.sha,
    )
    changed = created or commit.oid != info.sha
    return PushResult(upload.repo, upload.repo_type, commit.oid, created, changed, bool(info.private))


def _keeps_card(
    api: HfApi, upload: HubUpload, revision: str, manifest: dict[str, Any] | None, *, keep_card: bool
) -> bool:
    """Whether the card on the Hub stays: on request, or because an earlier push kept it.

    Raises:
        HubError: the card was edited on the Hub, and no option says what to do with it.
    """
    generated = None if manifest is None else manifest["files"].get(CARD)
    if not keep_card and generated is not None:
        path = api.hf_hub_download(upload.repo, CARD, repo_type=upload.repo_type, revision=revision)
        if sha256(Path(path)) != generated["sha256"]:
            raise HubError(
                f"`{upload.repo}` has a `{CARD}` that was edited on the Hub: keep it with `--keep-card`, or overwrite "
                "it with `--replace`."
            )
    return keep_card or (generated is None and manifest is not None)


def _check_shards(upload: HubUpload, existing: set[str], published: set[str]) -> None:
    """Refuse to add data files to others of the same split, which would be loaded together with them.

    Raises:
        HubError: there are such files.
    """
    paths = {file.path for file in upload.files}
    splits = {match[1] for path in paths if (match := SHARD.fullmatch(path))}
    others = [path for path in existing - paths - published if (match := SHARD.fullmatch(path)) and match[1] in splits]
    if others:
        raise HubError(
            f"`{upload.repo}` has {len(others)} other data files of the same splits, such as `{min(others)}`; "
            "`load_dataset` would load both. Delete them first, or choose another name."
        )


def read_manifest(api: HfApi, repo: str, repo_type: str, revision: str) -> dict[str, Any]:
    """Read the manifest of a repository.

    Raises:
        HubError: it is damaged.
    """
    path = api.hf_hub_download(repo, MANIFEST, repo_type=repo_type, revision=revision)
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if set(map(type, (content["kind"], content["files"]))) != {str, dict}:
            raise TypeError("not a manifest")
    except (ValueError, KeyError, TypeError):
        raise HubError(f"`{repo}` has a damaged `{MANIFEST}`. Publish it again with `--replace`.") from None
    return cast(dict[str, Any], content)


def checked_repo(repo: str) -> str:
    """Return a repository name after checking its form.

    Raises:
        ConfigError: it is not `user/name`.
    """
    try:
        validate_repo_id(repo)
        is_valid = repo.count("/") == 1
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ConfigError(f"`repo` is {repo!r}: give `user/name`, of letters, digits, '-', '_' and '.'.")
    return repo


def hub_api() -> HfApi:
    """Client of the Hub at HF_ENDPOINT."""
    return HfApi(endpoint=_endpoint(), library_name="hf-synthlabels", library_version=package_version())


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", constants.ENDPOINT).rstrip("/")


def _is_commit(error: HfHubHTTPError | httpx2.TransportError) -> bool:
    request = error.response.request if isinstance(error, HfHubHTTPError) else error.request
    return "/commit/" in str(request.url)
