"""Encoders without dropout, which draws differently in pieces and in several processes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

NONE = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def without_dropout(encoder: str, folder: Path) -> str:
    """A copy of a BERT's folder."""
    shutil.copytree(encoder, folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | NONE))
    return str(folder)
