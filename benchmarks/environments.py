"""Environments of the peers: each has its own venv, because their dependencies conflict."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.programs import Program

__all__ = ["PEERS", "installed", "peer", "set_up", "version_of"]

PEERS = {
    "curator": ("with_curator.py", ["bespokelabs-curator==0.1.31"]),
    "distilabel": ("with_distilabel.py", ["distilabel[openai]==1.5.3", "datasets<4"]),
    "data-designer": ("with_data_designer.py", ["data-designer"]),
}
"""Script and requirements of each peer."""

PACKAGES = {"curator": "bespokelabs-curator", "distilabel": "distilabel", "data-designer": "data-designer"}

ENVIRONMENT = {
    # What they would fetch or report over the network.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "TELEMETRY_ENABLED": "false",
    "NEMO_TELEMETRY_ENABLED": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
}


def folder() -> Path:
    """Where the environments stand: `HF_SYNTHLABELS_PEERS`, else in the user's cache."""
    return Path(os.environ.get("HF_SYNTHLABELS_PEERS") or Path.home() / ".cache" / "hf_synthlabels" / "peers")


def python_of(name: str) -> Path:
    """The Python of a peer's environment."""
    return folder() / name / "bin" / "python"


def installed() -> list[str]:
    """The peers whose environment is there."""
    return [name for name in PEERS if python_of(name).exists()]


def peer(name: str) -> Program:
    """A peer as a program that can be measured."""
    return Program(name, PEERS[name][0], str(python_of(name)), ENVIRONMENT)


def version_of(name: str) -> str:
    """The version of a peer that is installed."""
    code = f"from importlib.metadata import version; print(version({PACKAGES[name]!r}))"
    run = subprocess.run([str(python_of(name)), "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return run.stdout.strip()


def set_up(names: Sequence[str]) -> None:
    """Install peers, each in its own environment; this needs the package index and a few gigabytes."""
    for name in (name for name in names if name in PEERS):
        if not python_of(name).exists():
            print(f"setting up {name}", flush=True)
            subprocess.run([sys.executable, "-m", "venv", str(folder() / name)], check=True)
        pip = [str(python_of(name)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PEERS[name][1]], check=True)
