"""Two processes that are interrupted and resumed; see resume_proof.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import Dataset

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("resume_proof.py")


@pytest.mark.slow
def test_two_processes_resume_bit_for_bit(encoder: str, toy: Callable[..., Dataset], tmp_path: Path) -> None:
    # 80 rows in updates of 8 x 2 x 2 are 3 updates per epoch, the last of them half full.
    toy(80).save_to_disk(tmp_path / "rows")
    out = tmp_path / "report.json"
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, *launcher, str(SCRIPT), encoder, str(tmp_path / "rows"), str(out)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = {"interrupted": True, "left": ["checkpoint-4"], "same": True}
    assert json.loads(out.read_text()) == [report, report]
