"""The journal of a study: what every trained student answered, kept as soon as it is known."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["Cell", "Journal", "cell_key"]


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


class Journal:
    """Cells in a folder, one file each, so that an interrupted study redoes only the cell that was being trained."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder / "cells"

    def get(self, key: str) -> Cell | None:
        """The cell, if it has been trained before and its file is whole."""
        if self._folder is None:
            return None
        try:
            content = json.loads((self._folder / f"{key}.json").read_text(encoding="utf-8"))
            return Cell(tuple(content["predictions"]), content["steps"], content["train_s"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, key: str, cell: Cell) -> None:
        """Keep a cell; a reader never sees half a file."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        scratch = self._folder / f".{key}.{os.getpid()}"
        scratch.write_text(json.dumps(asdict(cell)), encoding="utf-8")
        scratch.replace(self._folder / f"{key}.json")
