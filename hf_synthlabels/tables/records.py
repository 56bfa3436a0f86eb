"""Records of how label columns were made, in a data set's description: `datasets` carries it along."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

FENCE = re.compile(r"```json hf_synthlabels\n(.*?)\n```", re.S)


def embed_records(records: Sequence[Mapping[str, Any]], text: str = "") -> str:
    """A data set's description with the provenance of its label columns in it, instead of any that was there."""
    kept = re.sub(r"\n{3,}", "\n\n", FENCE.sub("", text or "")).strip()
    block = "```json hf_synthlabels\n" + json.dumps(records, indent=1, ensure_ascii=False, sort_keys=True) + "\n```"
    return f"{kept}\n\n{block}".strip()


def extract_records(description: str | None) -> list[dict[str, Any]]:
    """The records in a description, each once; those of data sets that were concatenated follow each other."""
    records: list[dict[str, Any]] = []
    for block in FENCE.findall(description or ""):
        records += [record for record in json.loads(block) if record not in records]
    return records
