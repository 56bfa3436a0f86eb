"""Human rows after LLM ones on two processes: the model is wrapped a second time, and must learn as on one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoConfig, AutoModel, AutoTokenizer, set_seed

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("after_proof.py")


def run(encoder: Path, folder: Path, processes: int) -> dict[str, Any]:
    folder.mkdir()
    launcher: list[str] = []
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
        launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, *launcher, str(SCRIPT), str(encoder), str(folder / "out.json"), str(8 // processes)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report: dict[str, Any] = json.loads((folder / "out.json").read_text())
    return report


@pytest.mark.slow
def test_two_processes_learn_as_one(encoder: str, tmp_path: Path) -> None:
    # Without dropout, which processes draw each by themselves.
    still = tmp_path / "encoder"
    AutoTokenizer.from_pretrained(encoder).save_pretrained(still)
    settings = AutoConfig.from_pretrained(encoder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    set_seed(0)
    AutoModel.from_pretrained(encoder, config=settings).save_pretrained(still)
    one, two = (run(still, tmp_path / str(processes), processes) for processes in (1, 2))
    # 64 rows in batches of 8 twice, then 32 rows ten times.
    assert (one["train_steps"], one["human_train_steps"]) == (two["train_steps"], two["human_train_steps"]) == (16, 40)
    np.testing.assert_allclose(one["film"], two["film"], atol=1e-5)
    # The human rows came last, and most of them are films.
    assert np.mean(one["film"]) > 0.6
