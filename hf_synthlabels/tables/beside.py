"""The provenance file beside a table, `<file>.provenance.json`: a record for each step that added columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.tables.atomic import write_text
from hf_synthlabels.tables.records import embed_records, extract_records


def provenance_path(table: str | Path) -> Path:
    """Where the provenance of a table is stored."""
    place = Path(table)
    return place.with_name(place.name + ".provenance.json")


def read_records(table: str | Path) -> list[dict[str, Any]]:
    """The records beside a table, of which the last is of the newest column; none where there is no such file.

    Raises:
        DataError: the file cannot be read.
    """
    beside = provenance_path(table)
    if not beside.is_file():
        return []
    try:
        content = json.loads(beside.read_text(encoding="utf-8"))
        return [dict(record) for record in (content if isinstance(content, list) else [content])]
    except (OSError, TypeError, ValueError) as error:
        raise DataError(f"`{beside}` cannot be read: {error}. Repair or remove it.") from None


def write_records(table: str | Path, records: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Path:
    """Write a record, or all records of a table, beside it."""
    return write_text(provenance_path(table), json.dumps(records, indent=1, ensure_ascii=False) + "\n")


def with_records(rows: Any, files: Sequence[Path]) -> Any:
    """Rows with the provenance that is beside their files, in their description."""
    known = extract_records(rows.info.description)
    added = [record for file in files for record in read_records(file) if record not in known]
    if added:
        rows.info.description = embed_records([*known, *added], rows.info.description)
    return rows


def label_kinds(table: str | Path) -> dict[str, str]:
    """The kind of label of each label column of a table, as far as its provenance tells."""
    try:
        records = read_records(table)
    except DataError:
        return {}
    return {str(record["column"]): str(record["kind"]) for record in records if {"column", "kind"} <= set(record)}
