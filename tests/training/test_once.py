"""Metrics of several processes: asked once, known to all; see judged_twice.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.chat import LabelServer
from tests.training import judged_twice

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_judge_in_compute_metrics_is_paid_once(tmp_path: Path, processes: int) -> None:
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_SYNTHLABELS_HOME": str(tmp_path / "home"),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONPATH": str(ROOT),
    }
    with LabelServer(lambda _: "score: 4") as server:
        if processes == 1:
            judged_twice.main(server.base_url, str(tmp_path / "out"))
        else:
            command = [sys.executable, *launcher, judged_twice.__file__, server.base_url, str(tmp_path / "out")]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
            assert done.returncode == 0, done.stderr[-3000:]
        assert len(server.requests) == 20
    for process in range(processes):
        plain, student, failing = json.loads((tmp_path / f"out.{process}").read_text())
        assert plain == student == {"eval_judge": 4.0, "eval_n": 10.0}
        first = "ValueError: no judge today"
        others = f"RuntimeError: `compute_metrics` failed in the main process: {first}"
        assert failing == (first if process == 0 else others)
