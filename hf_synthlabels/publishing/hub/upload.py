"""HubUpload: the files of one publication, with their manifest."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from huggingface_hub import get_token

from hf_synthlabels.annotation.provenance import package_version
from hf_synthlabels.annotation.trust.downloaded import MANIFEST
from hf_synthlabels.errors import HubError

Kind = Literal["dataset", "model", "metric", "report"]

REPO_TYPES: dict[Kind, str] = {"dataset": "dataset", "model": "model", "metric": "space", "report": "space"}

SECRET_NAMES = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
MIN_SECRET = 12
MAX_TEXT = 20_000_000
"""Maximum size in bytes of a file that is searched for secrets."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file to upload."""

    path: str
    """Path in the repository."""
    content: bytes | Path

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.content.stat().st_size if isinstance(self.content, Path) else len(self.content)

    @property
    def data(self) -> bytes:
        """The content in memory."""
        return self.content.read_bytes() if isinstance(self.content, Path) else self.content

    @property
    def sha256(self) -> str:
        """Hash of the content."""
        return sha256(self.content) if isinstance(self.content, Path) else hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class HubUpload:
    """All files of one publication."""

    repo: str
    """`user/name`."""
    kind: Kind
    files: tuple[HubFile, ...]

    @property
    def repo_type(self) -> str:
        """Type of the repository on the Hub."""
        return REPO_TYPES[self.kind]

    def with_manifest(self) -> HubUpload:
        """The same files and the manifest that lists them."""
        listed = {file.path: {"size": file.size, "sha256": file.sha256} for file in self._sorted()}
        content = {"kind": self.kind, "package_version": package_version(), "files": listed}
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        return HubUpload(self.repo, self.kind, (*self.files, HubFile(MANIFEST, text.encode())))

    def listing(self, *, private: bool) -> str:
        """List each file with its size, and the visibility of a new repository."""
        files = self.with_manifest()._sorted()
        width = max(len(f"{file.size:,}") for file in files)
        lines = [f"{file.size:>{width},}  {file.path}" for file in files]
        visibility = "private" if private else "public"
        head = f"{self.repo_type} {self.repo}, {visibility} if it is new: {len(files)} files in one commit"
        return "\n".join([head, *lines, f"{sum(file.size for file in files):,} bytes"])

    def check_secrets(self) -> None:
        """Refuse to publish the Hub token, or a secret in an environment variable.

        Raises:
            HubError: a file contains one.
        """
        secrets = {name: value for name, value in os.environ.items() if name.endswith(SECRET_NAMES)}
        secrets["the Hub's token"] = get_token() or ""
        known = {name: value.encode() for name, value in secrets.items() if len(value) >= MIN_SECRET}
        for file in self.files:
            data = b"" if file.size > MAX_TEXT else file.data
            for name, value in known.items():
                if value in data:
                    raise HubError(f"`{file.path}` contains the value of {name}. Remove it; nothing was published.")

    def _sorted(self) -> list[HubFile]:
        return sorted(self.files, key=lambda file: file.path)


def sha256(path: Path) -> str:
    """Hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
