"""Folders of this machine: where the response store, journals and confirmations are kept."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The folder of the response store: `HF_SYNTHLABELS_HOME`, else `hf_synthlabels` in the folder of Hugging Face.

    That folder is `HF_HOME`, else `huggingface` in `XDG_CACHE_HOME` or `~/.cache`, as for all of its libraries.
    Empty variables count as unset, as the base directory specification says.
    """
    if own := os.environ.get("HF_SYNTHLABELS_HOME"):
        return _expanded(own)
    if hub := os.environ.get("HF_HOME"):
        return _expanded(hub) / "hf_synthlabels"
    return _expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface" / "hf_synthlabels"


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(os.path.expanduser(path)))


def store_path() -> Path:
    """The file of the response store."""
    return home() / "responses.sqlite"
