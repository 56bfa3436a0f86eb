"""Start the benchmark server as a separate process, and read its counters."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.service import Options

__all__ = ["ROOT", "Served", "serving"]

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs."""

    base_url: str

    def stats(self) -> dict[str, Any]:
        """What it has counted so far."""
        return self._get("/stats")

    def wait_billed(self, count: int, timeout_s: float = 60.0) -> dict[str, Any]:
        """Wait until so many answers have been billed.

        Raises:
            TimeoutError: they were not in time.
        """
        return self._get(f"/wait?billed={count}", timeout_s)

    def _get(self, path: str, timeout_s: float = 30.0) -> dict[str, Any]:
        with urllib.request.urlopen(self.base_url.removesuffix("/v1") + path, timeout=timeout_s) as reply:
            counted: dict[str, Any] = json.load(reply)
        return counted


@contextmanager
def serving(options: Options) -> Iterator[Served]:
    """A server on a free port of 127.0.0.1, stopped at the end."""
    command = [sys.executable, "-m", "benchmarks.server", "--until-closed", *options.arguments()]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Served(json.loads(process.stdout.readline())["base_url"])
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(10)
