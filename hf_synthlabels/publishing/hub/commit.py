"""The Hub: what is published is one commit that is there as a whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils._validators import validate_repo_id

from hf_synthlabels.annotation.provenance import package_version
from hf_synthlabels.annotation.trust.downloaded import MANIFEST
from hf_synthlabels.clients.retry import backoff_s
from hf_synthlabels.errors import ConfigError, HubError
from hf_synthlabels.publishing.hub.hub_errors import NO_TOKEN, passes, retry_after, told

Kind = Literal["dataset", "model", "metric", "report"]

REPO_TYPES: dict[Kind, str] = {"dataset": "dataset", "model": "model", "metric": "space", "report": "space"}
SDKS: dict[Kind, str] = {"metric": "gradio", "report": "static"}

FRESH = frozenset({".gitattributes"})
"""What the Hub puts into a repository that it makes."""

CARD = "README.md"
KEPT_CARD = "annotation/README.md"
"""Where the generated card goes if the repository's own one stays."""

SHARD = re.compile(r"data/(.+)-\d{5}-of-\d{5}(?:-[0-9a-f]+)?\.parquet")
"""A data file as `datasets` names it, with its split."""

ATTEMPTS = 4
MAX_WAIT_S = 60.0

SECRET_NAMES = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
MIN_SECRET = 12
MAX_TEXT = 20_000_000
"""Bytes of a file that is searched for secrets."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file to be published."""

    path: str
    """In the repository."""
    content: bytes | Path

    @property
    def size(self) -> int:
        """In bytes."""
        return self.content.stat().st_size if isinstance(self.content, Path) else len(self.content)

    @property
    def sha256(self) -> str:
        """Of the content."""
        if isinstance(self.content, bytes):
            return hashlib.sha256(self.content).hexdigest()
        with self.content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class HubUpload:
    """All files of one publication."""

    repo: str
    """`user/name`."""
    kind: Kind
    files: tuple[HubFile, ...]

    @property
    def repo_type(self) -> str:
        """What the Hub calls such a repository."""
        return REPO_TYPES[self.kind]

    def with_manifest(self) -> HubUpload:
        """The same files with a list of them."""
        listed = {file.path: {"size": file.size, "sha256": file.sha256} for file in sorted(self.files, key=_path)}
        content = {"kind": self.kind, "package_version": package_version(), "files": listed}
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        return HubUpload(self.repo, self.kind, (*self.files, HubFile(MANIFEST, text.encode())))

    def listing(self, *, private: bool) -> str:
        """What would be published: each file with its size, and who could see it."""
        files = sorted(self.with_manifest().files, key=_path)
        width = max(len(f"{file.size:,}") for file in files)
        lines = [f"{file.size:>{width},}  {file.path}" for file in files]
        seen = "private" if private else "public"
        head = f"{self.repo_type} {self.repo}, {seen} if it is made now: {len(files)} files in one commit"
        return "\n".join([head, *lines, f"{sum(file.size for file in files):,} bytes"])


@dataclass(frozen=True, slots=True)
class PushResult:
    """Result of a push."""

    repo: str
    repo_type: str
    revision: str
    """The commit that has all of it."""
    created: bool
    """Whether the repository was made now."""
    changed: bool
    """Whether there was anything new; if not, no commit was made."""
    private: bool

    @property
    def url(self) -> str:
        """Where people see it."""
        prefix = "" if self.repo_type == "model" else f"{self.repo_type}s/"
        return f"{_endpoint()}/{prefix}{self.repo}"

    def __str__(self) -> str:
        what = "made" if self.created else "changed" if self.changed else "unchanged"
        seen = "private" if self.private else "public"
        return f"{what}: {self.url} ({seen})\nrevision {self.revision}"


def push(upload: HubUpload, *, private: bool = True, replace: bool = False, keep_card: bool = False) -> PushResult:
    """Publish a upload in one commit; the repository is made where there is none.

    Files that an earlier upload brought and this one has not are removed in the same commit. Where nothing differs
    there is no commit. After a failure the repository is as it was before, or new and empty; run again, what was
    uploaded is not sent twice. A README.md that a human wrote or edited on the Hub is never overwritten unasked.

    Args:
        upload: what to publish.
        private: whether a repository that is made now is seen by its owner only.
        replace: whether to write into a repository that this package did not fill, and over an edited card.
        keep_card: keep a README.md on the Hub, and write the generated card to `annotation/README.md`.

    Raises:
        HubError: there is no token or permission, the name is taken by something else, the card on the Hub was edited,
            the Hub cannot be reached or refuses, or a file holds a secret of this environment.
        ConfigError: the name is not a repository name.
    """
    checked_repo(upload.repo)
    whole = upload.with_manifest()
    _check_secrets(whole)
    if get_token() is None:
        raise HubError(f"`{upload.repo}` cannot be published: {NO_TOKEN}")
    with told(upload.repo, "cannot be published"):
        api = hub_api()
        created = _made(api, whole, private=private)
        for attempt in range(ATTEMPTS):
            try:
                return _commit(api, upload, created=created, replace=replace, keep_card=keep_card)
            except (HfHubHTTPError, httpx2.TransportError) as error:
                wait = backoff_s(attempt + 1, retry_after(error))
                # The client has tried the other requests several times; the commit it tries once.
                if attempt + 1 == ATTEMPTS or not _at_commit(error) or not passes(error) or wait > MAX_WAIT_S:
                    raise
                time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def _made(api: HfApi, upload: HubUpload, *, private: bool) -> bool:
    """See to it that the repository is there; whether it was made now."""
    try:
        api.repo_info(upload.repo, repo_type=upload.repo_type)
    except RepositoryNotFoundError:
        sdk = SDKS.get(upload.kind)
        more: dict[str, Any] = {} if sdk is None else {"space_sdk": sdk}
        api.create_repo(upload.repo, repo_type=upload.repo_type, private=private, exist_ok=True, **more)
        return True
    return False


def _commit(api: HfApi, content: HubUpload, *, created: bool, replace: bool, keep_card: bool) -> PushResult:
    """Compare with the repository, and commit the differences."""
    info: Any = api.repo_info(content.repo, repo_type=content.repo_type)
    there = {sibling.rfilename for sibling in info.siblings or ()}
    before = read_manifest(api, content.repo, content.repo_type, info.sha) if MANIFEST in there else None
    kind = None if before is None else before["kind"]
    if not (replace or keep_card) and kind != content.kind and not there <= FRESH:
        held = f"a {kind}" if kind else f"files that this package did not put there ({', '.join(sorted(there)[:3])})"
        raise HubError(
            f"`{content.repo}` is taken: there is {held}. Choose another name, write into it with `--replace`, or with "
            "`--keep-card` if its README.md is to stay."
        )
    upload = _beside_card(api, content, info, there, before, replace=replace, keep_card=keep_card).with_manifest()
    _check_data(content, there, before)
    new = {file.path for file in upload.files}
    kept = {CARD} if KEPT_CARD in new else set()
    gone = () if before is None else sorted((before["files"].keys() & there) - new - kept)
    done = api.create_commit(
        upload.repo,
        repo_type=upload.repo_type,
        operations=[
            *(CommitOperationAdd(file.path, _content(file)) for file in upload.files),
            *(CommitOperationDelete(path, is_folder=False) for path in gone),
        ],
        commit_message=f"Publish a {upload.kind} with hf-synthlabels {package_version()}",
        parent_commit=info.sha,
    )
    return PushResult(
        upload.repo, upload.repo_type, done.oid, created, created or done.oid != info.sha, bool(info.private)
    )


def _beside_card(
    api: HfApi,
    upload: HubUpload,
    info: Any,
    there: set[str],
    before: dict[str, Any] | None,
    *,
    replace: bool,
    keep_card: bool,
) -> HubUpload:
    """The upload with its card at another place where the one on the Hub is to stay.

    Raises:
        HubError: the card on the Hub was edited, and nothing says what to do with it.
    """
    if CARD not in there or replace:
        return upload
    ours = {} if before is None else before["files"].get(CARD)
    if not keep_card and ours:
        path = api.hf_hub_download(upload.repo, CARD, repo_type=upload.repo_type, revision=info.sha)
        if hashlib.sha256(Path(path).read_bytes()).hexdigest() != ours["sha256"]:
            raise HubError(
                f"`{upload.repo}` has a `{CARD}` that was edited on the Hub: keep it with `--keep-card`, or overwrite "
                "it with `--replace`."
            )
    if not keep_card and (ours or before is None):
        return upload
    # Once kept, a card that is not ours stays without being asked for again.
    files = (HubFile(KEPT_CARD, file.content) if file.path == CARD else file for file in upload.files)
    return HubUpload(upload.repo, upload.kind, tuple(files))


def _check_data(upload: HubUpload, there: set[str], before: dict[str, Any] | None) -> None:
    """Refuse to add data files to others of the same split, which would be loaded together with them.

    Raises:
        HubError: there are such files.
    """
    new = {file.path for file in upload.files}
    splits = {match[1] for path in new if (match := SHARD.fullmatch(path))}
    known = set() if before is None else set(before["files"])
    others = sorted(path for path in there - new - known if (match := SHARD.fullmatch(path)) and match[1] in splits)
    if others:
        raise HubError(
            f"`{upload.repo}` has {len(others)} other data files of the same splits, such as `{others[0]}`, whose rows "
            "would be loaded twice. Delete them there first, or choose another name."
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
            raise TypeError("no such list")
    except (ValueError, KeyError, TypeError):
        raise HubError(f"`{repo}` has a `{MANIFEST}` that cannot be read. Publish it again with `replace`.") from None
    return cast(dict[str, Any], content)


def checked_repo(repo: str) -> str:
    """The name of a repository with its owner.

    Raises:
        ConfigError: it is not a repository name.
    """
    try:
        validate_repo_id(repo)
    except ValueError:
        repo_is_name = False
    else:
        repo_is_name = repo.count("/") == 1
    if not repo_is_name:
        raise ConfigError(f"`repo` is {repo!r}: give `user/name`, of letters, digits, '-', '_' and '.'.")
    return repo


def hub_api() -> HfApi:
    """The client, at the Hub that HF_ENDPOINT names."""
    return HfApi(endpoint=_endpoint(), library_name="hf-synthlabels", library_version=package_version())


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", constants.ENDPOINT).rstrip("/")


def _content(file: HubFile) -> bytes | str:
    return str(file.content) if isinstance(file.content, Path) else file.content


def _path(file: HubFile) -> str:
    return file.path


def _at_commit(error: HfHubHTTPError | httpx2.TransportError) -> bool:
    """Whether it was the commit itself that failed, which the client does not try again."""
    request = error.response.request if isinstance(error, HfHubHTTPError) else error.request
    return "/commit/" in str(request.url)


def _check_secrets(upload: HubUpload) -> None:
    """Refuse to publish secrets of this environment, in the card or in other files."""
    secrets = {name: value for name, value in os.environ.items() if name.endswith(SECRET_NAMES)}
    secrets["the Hub's token"] = get_token() or ""
    known = {name: value.encode() for name, value in secrets.items() if len(value) >= MIN_SECRET}
    for file in upload.files:
        for name in _found(file, known.items()):
            raise HubError(f"`{file.path}` holds the value of {name}. Remove it there: nothing was published.")


def _found(file: HubFile, known: Iterable[tuple[str, bytes]]) -> list[str]:
    if file.size > MAX_TEXT:
        return []
    data = file.content.read_bytes() if isinstance(file.content, Path) else file.content
    return [name for name, value in known if value in data]
