"""Students of several kinds say the same in one process and in two; see tasks_proof.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_models import tiny_model

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("tasks_proof.py")


def run(folder: Path, encoder: str, writer: str, processes: int) -> list[Any]:
    launcher = [] if processes == 1 else ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    if launcher:
        launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(ROOT)}
    out = folder / f"of_{processes}"
    done = subprocess.run(
        [sys.executable, *launcher, str(SCRIPT), encoder, writer, str(out)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(Path(f"{out}.{rank}").read_text()) for rank in range(processes)]


@pytest.mark.slow
def test_every_process_predicts_all_rows_in_their_order(encoder: str, tmp_path: Path) -> None:
    writer = tiny_model(tmp_path / "writer")
    (alone,) = run(tmp_path, encoder, writer, 1)
    for found in run(tmp_path, encoder, writer, 2):
        for kind, expected in alone.items():
            assert found[kind]["labels"] == expected["labels"], kind
            assert found[kind]["metrics"] == pytest.approx(expected["metrics"], rel=1e-5), kind
    assert len(set(alone["texts"]["labels"])) > 1
