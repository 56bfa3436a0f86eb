"""Programs of tests that run on one or several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TORCHRUN = ("-m", "torch.distributed.run", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0")


def start(folder: Path, *arguments: str, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, without network and with one thread."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    environment |= {"PYTHONPATH": str(ROOT), "HF_DATASETS_CACHE": str(folder / "cache")}
    environment |= {"HF_SYNTHLABELS_HOME": str(folder / "home")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def launch(folder: Path, processes: int, script: str, *arguments: str) -> None:
    """Run a script of this folder on so many processes; an error is that of the script."""
    launcher = () if processes == 1 else (*TORCHRUN, "--nproc-per-node", str(processes))
    done = start(folder, *launcher, str(Path(__file__).with_name(script)), *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
