"""Folders of this machine: where the response store, journals and confirmations are kept."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["home", "store_path"]


def home() -> Path:
    """The folder of the response store and of journals: `HF_SYNTHLABELS_HOME`, else `~/.cache/hf_synthlabels`."""
    return Path(os.environ.get("HF_SYNTHLABELS_HOME") or Path.home() / ".cache" / "hf_synthlabels")


def store_path() -> Path:
    """The file of the response store."""
    return home() / "responses.sqlite"
