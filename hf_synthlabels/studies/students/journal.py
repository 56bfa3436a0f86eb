"""The journal of a study: predictions of every trained student, stored as soon as they are known."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Cell:
    """One trained student: one arm of a study with one seed."""

    predictions: tuple[int, ...]
    """The label code of each test row."""
    steps: int
    train_s: float
    """Seconds of training, loading left out."""


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


class Journal:
    """Cells in a folder, one file each, so that an interrupted study redoes only the cell that was being trained."""

    def __init__(self, folder: Path | None) -> None:
        self._files = CellFiles(folder)

    def get(self, key: str) -> Cell | None:
        """The cell, if it has been trained before and its file is whole."""
        content = self._files.read(key)
        if content is None:
            return None
        try:
            return Cell(tuple(content["predictions"]), content["steps"], content["train_s"])
        except (KeyError, TypeError):
            return None

    def put(self, key: str, cell: Cell) -> None:
        """Keep a cell."""
        self._files.write(key, asdict(cell))


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
