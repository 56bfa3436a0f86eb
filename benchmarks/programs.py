"""Measured programs: each runs in its own process against its own server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving import ROOT, Served

__all__ = ["BARE_LOOP", "THIS_PACKAGE", "Measurement", "Program", "ProgramError", "measure"]

MAX_RUN_S = 600.0


class ProgramError(Exception):
    """A measured program ended without a measurement."""


@dataclass(frozen=True, slots=True)
class Program:
    """A script that labels the rows of the benchmark, and the Python that runs it."""

    name: str
    script: str
    """Its file among the peers."""
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)


BARE_LOOP = Program("bare aiohttp loop", "bare_loop.py")
THIS_PACKAGE = Program("hf_synthlabels", "this_package.py")
BARE_CODEBOOK = Program("bare aiohttp loop, 8 variables", "bare_loop_codebook.py")
"""Sends the bodies that the package sends for its codebook."""
CODEBOOK = Program("hf_synthlabels, 8 variables", "this_package_codebook.py")


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run took, by its own account and by the server's."""

    rows: int
    seconds: float
    cpu_s: float
    """Processor time of the program, user and system, without that of the server."""
    peak_bytes: int
    """Largest resident memory of the program."""
    disk_bytes: int
    """All that it left on disk."""
    right: int
    """Rows whose label is that of the server."""
    requests: int
    billed: int
    peak_in_flight: int

    @property
    def rows_per_s(self) -> float:
        """Throughput, from the first row to the last label; imports are not in it."""
        return self.rows / self.seconds

    @property
    def cpu_ms_per_row(self) -> float:
        """Processor time for each row."""
        return 1000 * self.cpu_s / self.rows


def measure(
    program: Program, server: Served, *, rows: int, in_flight: int, folder: Path, streamed: bool = False
) -> Measurement:
    """Run a program once.

    Args:
        program: what is run.
        server: who answers; the most that was ever in flight there counts as this program's.
        rows: how many are labeled.
        in_flight: number of concurrent requests.
        folder: where the program keeps what it keeps; the same folder again is a rerun.
        streamed: rows are not held in memory.

    Raises:
        ProgramError: it failed, or took longer than ten minutes.
    """
    command = [program.python, str(ROOT / "benchmarks" / "peers" / program.script)]
    command += [f"--base-url={server.base_url}", f"--rows={rows}", f"--in-flight={in_flight}"]
    command += [f"--folder={folder}", *(["--streamed"] if streamed else [])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENAI_API_KEY": "none", **program.environment}
    before = server.stats()
    try:
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=MAX_RUN_S)
    except subprocess.TimeoutExpired as error:
        raise ProgramError(f"{program.name}: not finished after {MAX_RUN_S:g} s") from error
    after = server.stats()
    found = run.stdout.rpartition("MEASURED ")[2]
    if run.returncode != 0 or not found.startswith("{"):
        raise ProgramError(f"{program.name}: {(run.stderr or run.stdout).strip()[-600:]}")
    return Measurement(
        rows=rows,
        disk_bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        **json.loads(found.splitlines()[0]),
        requests=after["requests"] - before["requests"],
        billed=after["billed"] - before["billed"],
        peak_in_flight=after["peak_in_flight"],
    )
