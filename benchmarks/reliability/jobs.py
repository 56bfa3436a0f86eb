"""A recipe in a folder, run by the command line in its own process, with the store and caches next to it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.answers import LABELS, label_of, text_of

__all__ = ["MAX_RUN_S", "Ended", "Job"]

MAX_RUN_S = 120.0

PROGRAM = "from hf_synthlabels.cli.main import main; main()"


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that is over."""

    status: int
    output: str
    errors: str

    @property
    def seen(self) -> str:
        """What tells the user how it went: the rows by status, or the error."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        if self.status == 0 and lines:
            return next((line for line in lines if "rows" in line), lines[-1])
        # Progress bars overwrite their line.
        said = [line.strip() for line in self.errors.replace("\r", "\n").splitlines() if line.strip()]
        return said[-1] if said else "nothing"


@dataclass(frozen=True, slots=True)
class Job:
    """A recipe with its rows, its store and its output in one folder."""

    folder: Path
    base_url: str
    rows: int
    annotator: Mapping[str, Any] = field(default_factory=dict)
    home: Path | None = None
    """Where the store is kept, when it is not in the folder."""

    @property
    def store(self) -> Path:
        """The file of the response store."""
        return (self.home or self.folder / "home") / "responses.sqlite"

    def write(self) -> None:
        """Put recipe and rows into the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps({"text": text_of(number)}) + "\n" for number in range(self.rows))
        (self.folder / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
        recipe = {
            "name": "reliability",
            "source": {"path": "json", "data_files": "rows.jsonl"},
            "task": {
                "kind": "text-classification",
                "text": "text",
                "instructions": "Which topic is the text about?",
                "labels": list(LABELS),
            },
            "annotator": {
                "client": "openai",
                "model": "bench-1",
                "base_url": self.base_url,
                "api_key_env": None,
                "response_format": "json_schema",
                "max_in_flight": 64,
                **self.annotator,
            },
        }
        (self.folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")

    def start(
        self,
        *options: str,
        output: str = "labeled.jsonl",
        cache: str = "datasets",
        environment: Mapping[str, str] | None = None,
        file_bytes: int | None = None,
    ) -> subprocess.Popen[str]:
        """Begin to annotate.

        Args:
            *options: of the command line.
            output: the file that is written.
            cache: the folder of `datasets`; in another one nothing is known of earlier runs but by the store.
            environment: added to that of this process.
            file_bytes: no file may grow beyond it.
        """
        command = ["annotate", "recipe.yaml", "-o", output, *options]
        return self._program(command, cache, environment or {}, file_bytes)

    def run(self, *options: str, **settings: Any) -> Ended:
        """Annotate to the end."""
        return self.end(self.start(*options, **settings))

    def tool(self, *words: str) -> Ended:
        """Run another verb of the command line."""
        return self.end(self._program(list(words), "datasets", {}, None))

    def end(self, process: subprocess.Popen[str]) -> Ended:
        """Wait for a process; one that does not end by itself is killed, and its status says so."""
        try:
            output, errors = process.communicate(timeout=MAX_RUN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
            errors += f"\nnot finished after {MAX_RUN_S:g} s"
        return Ended(process.returncode, output, errors)

    def kill(self, process: subprocess.Popen[str], number: int = signal.SIGKILL) -> Ended:
        """Send a signal and wait."""
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)
        return self.end(process)

    def labeled(self, output: str = "labeled.jsonl") -> list[dict[str, Any]]:
        """The rows that were written; none when there is no file."""
        file = self.folder / output
        if not file.exists():
            return []
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

    def mislabeled(self, output: str = "labeled.jsonl") -> int:
        """Rows with a label that is not that of the server."""
        labels = [row["llm_label"] for row in self.labeled(output)]
        return sum(label is not None and label != label_of(b"%07d" % number) for number, label in enumerate(labels))

    def unsettled(self) -> int:
        """Requests that the ledger says may have been billed and lost: reserved, and never settled."""
        with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute(
                "SELECT coalesce(sum(max(0, granted_requests - requests - uncertain_requests) + uncertain_requests), 0)"
                " FROM runs"
            ).fetchone()
        return int(found)

    def _program(
        self, words: list[str], cache: str, environment: Mapping[str, str], file_bytes: int | None
    ) -> subprocess.Popen[str]:
        def limited() -> None:
            import resource

            assert file_bytes is not None
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words],
            cwd=self.folder,
            env={
                **os.environ,
                "HF_SYNTHLABELS_HOME": str(self.store.parent),
                "HF_DATASETS_CACHE": str(self.folder / cache),
                "HF_HUB_OFFLINE": "1",
                "OMP_NUM_THREADS": "1",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limited if file_bytes is not None else None,
        )
