"""The journal of a study: predictions of every trained student, stored as soon as they are known."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any


def cell_key(content: Mapping[str, Any]) -> str:
    """A hash of all that can change what a student answers: configuration, rows, labels, seed, versions."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:20]


class CellFiles:
    """Contents in a folder, one file for each key; any number of processes may write side by side."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder / "cells"

    def read(self, key: str) -> dict[str, Any] | None:
        """What was kept under a key, if its file is there and whole."""
        if self._folder is None:
            return None
        try:
            content = json.loads((self._folder / f"{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    def keys(self) -> set[str]:
        """All keys under which something was kept."""
        if self._folder is None or not self._folder.is_dir():
            return set()
        return {path.stem for path in self._folder.glob("*.json") if not path.name.startswith(".")}

    def write(self, key: str, content: Mapping[str, Any]) -> None:
        """Keep a content; a reader never sees half a file, and after a power cut it is there or not."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        scratch = self._folder / f".{key}.{os.getpid()}"
        with scratch.open("w", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self._folder / f"{key}.json")


def study_environment(seconds: float) -> dict[str, Any]:
    """Machine, versions, date and minutes, for a report."""
    packages = ("hf-synthlabels", "datasets", "torch", "transformers")
    return {
        "minutes": round(seconds / 60, 2),
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {package: metadata.version(package) for package in packages},
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
