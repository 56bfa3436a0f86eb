"""Joining: labels by row id and a source's rows become one table, in the order of the source."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.engines.ray.job import ROW_ID, TALLY, UNFINISHED_CODES
from hf_synthlabels.errors import StoreError
from hf_synthlabels.labels import STATUSES

if TYPE_CHECKING:
    import pyarrow as pa


def finished_rows(parts: Sequence[pa.Table], column: str) -> set[str]:
    """The ids of the rows that need not be asked again; `column` is that of the labels."""
    return {
        row
        for part in parts
        for row, code in zip(part.column(ROW_ID).to_pylist(), part.column(f"{column}_status").to_pylist(), strict=True)
        if code not in UNFINISHED_CODES
    }


def joined(ids: Sequence[str], parts: Sequence[pa.Table], column: str) -> pa.Table:
    """The label columns of the rows with the given ids, in their order.

    Of a row that was asked several times a finished one counts more than an unfinished one, else the last.

    Args:
        ids: of the rows that are wished.
        parts: label columns behind row ids, the earliest first.
        column: that of the labels.

    Raises:
        StoreError: a row is in none of them.
    """
    import pyarrow as pa

    every = pa.concat_tables([part.replace_schema_metadata(None) for part in parts])
    codes = every.column(f"{column}_status").to_pylist()
    places: dict[str, int] = {}
    for place, row in enumerate(every.column(ROW_ID).to_pylist()):
        known = places.get(row)
        if known is None or codes[place] not in UNFINISHED_CODES or codes[known] in UNFINISHED_CODES:
            places[row] = place
    missing = [row for row in ids if row not in places]
    if missing:
        raise StoreError(f"The labels of {len(missing)} rows are gone, the first is {missing[0]!r}. Run it again.")
    return every.take([places[row] for row in ids]).drop_columns([ROW_ID])


def tally_of(labels: pa.Table, parts: Sequence[pa.Table], column: str) -> RunStats:
    """What the labels of some rows came to and took, over all times that they were asked.

    Args:
        labels: the label columns, each row once.
        parts: the files that they come from.
        column: that of the labels.
    """
    tally = RunStats()
    for part in parts:
        tally.add(json.loads(part.schema.metadata[TALLY]))
    codes = labels.column(f"{column}_status").to_pylist()
    reasons = labels.column(f"{column}_note").to_pylist()
    failed = STATUSES.index("failed")
    # A row that was asked twice is one row.
    tally.rows = labels.num_rows
    tally.statuses = Counter(STATUSES[code] for code in codes)
    tally.failures = Counter(reason for reason, code in zip(reasons, codes, strict=True) if code == failed)
    tally.reasons = Counter()
    for reason, code in zip(reasons, codes, strict=True):
        if STATUSES[code] not in ("labelled", "failed"):
            tally.count_reason(STATUSES[code], reason or "")
    return tally
