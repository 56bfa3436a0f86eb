"""Provenance records of label columns, in a dataset's description and in a file next to a table."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.tables.atomic import write_text

FENCE = re.compile(r"```json hf_synthlabels\n(.*?)\n```", re.S)


def embed_records(records: Sequence[Mapping[str, Any]], description: str = "") -> str:
    """Return a description with these records, replacing any it has."""
    text = re.sub(r"\n{3,}", "\n\n", FENCE.sub("", description or "")).strip()
    block = "```json hf_synthlabels\n" + json.dumps(records, indent=1, ensure_ascii=False, sort_keys=True) + "\n```"
    return f"{text}\n\n{block}".strip()


def extract_records(description: str | None) -> list[dict[str, Any]]:
    """Return the distinct records in a description; a concatenated dataset has those of all its parts."""
    records: list[dict[str, Any]] = []
    for block in FENCE.findall(description or ""):
        records += [record for record in json.loads(block) if record not in records]
    return records


def provenance_path(table: str | Path) -> Path:
    """Return the path of a table's provenance file, `<file>.provenance.json`."""
    path = Path(table)
    return path.with_name(path.name + ".provenance.json")


def read_records(table: str | Path) -> list[dict[str, Any]]:
    """Read the records next to a table, oldest first; empty without a provenance file.

    Raises:
        DataError: The file cannot be read.
    """
    path = provenance_path(table)
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [dict(record) for record in (content if isinstance(content, list) else [content])]
    except (OSError, TypeError, ValueError) as error:
        raise DataError(f"`{path}` cannot be read: {error}. Repair or remove it.") from None


def write_records(table: str | Path, records: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Path:
    """Write one or all records of a table to its provenance file."""
    return write_text(provenance_path(table), json.dumps(records, indent=1, ensure_ascii=False) + "\n")


def with_records(rows: Any, files: Sequence[Path]) -> Any:
    """Add the records next to the files to the description of their rows."""
    known = extract_records(rows.info.description)
    added = [record for file in files for record in read_records(file) if record not in known]
    if added:
        rows.info.description = embed_records([*known, *added], rows.info.description)
    return rows


def label_kinds(table: str | Path) -> dict[str, str]:
    """Return the recorded kind of each label column of a table."""
    try:
        records = read_records(table)
    except DataError:
        return {}
    return {str(record["column"]): str(record["kind"]) for record in records if {"column", "kind"} <= set(record)}
