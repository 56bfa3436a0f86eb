"""The journal of a grid: what every finished run said, one file each, so that a killed grid redoes only what ran."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hf_synthlabels.training.search.grid_run import Reading, RunResult


class RunJournal:
    """Results by the hash of their run, in a folder; any number of processes may write side by side."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "runs"

    def get(self, key: str) -> RunResult | None:
        """The result, if the run has finished before and its file is whole."""
        try:
            return read_result(json.loads((self._folder / f"{key}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, result: RunResult) -> None:
        """Keep a result; a reader never sees half a file, and after a power cut it is there or not."""
        self._folder.mkdir(parents=True, exist_ok=True)
        scratch = self._folder / f".{result.key}.{os.getpid()}"
        with scratch.open("w", encoding="utf-8") as file:
            json.dump(asdict(result), file)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self._folder / f"{result.key}.json")


def read_result(content: dict[str, Any]) -> RunResult:
    """A result from its JSON.

    Raises:
        KeyError: it lacks a field.
        TypeError: a field has another type.
    """
    readings = tuple(
        Reading(one["epochs"], one["steps"], tuple(one["validation"]), tuple(one["test"]))
        for one in content["readings"]
    )
    return RunResult(**{**content, "readings": readings})
