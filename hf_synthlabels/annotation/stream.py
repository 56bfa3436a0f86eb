"""Annotating a stream of Arrow tables: each comes out as it went in, with the label columns beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from hf_synthlabels.annotation.annotator import Annotator
from hf_synthlabels.annotation.columns import label_table
from hf_synthlabels.annotation.recipe import Output

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TABLE_ROWS", "annotated_tables"]

TABLE_ROWS = 1000


def annotated_tables(
    annotator: Annotator, tables: Iterable[pa.Table], needed: list[str], output: Output
) -> Iterator[pa.Table]:
    """Annotate tables one after the other, with the next already being asked while the last is completed."""
    pending: deque[pa.Table] = deque()
    tokens_column = None if annotator.form is None else annotator.form.tokens

    def rows() -> Iterator[dict[str, Any]]:
        for table in tables:
            if table.num_rows:
                pending.append(table)
                yield from table.select(needed).to_pylist()

    done = []
    for annotation in annotator.annotate(rows()):
        done.append(annotation)
        if len(done) == pending[0].num_rows:
            table = pending.popleft()
            tokens = None if tokens_column is None else table.column(tokens_column).to_pylist()
            yield _joined(table, label_table(done, annotator.schema, output, tokens))
            done = []


def _joined(left: pa.Table, right: pa.Table) -> pa.Table:
    for name in right.column_names:
        left = left.append_column(right.schema.field(name), right.column(name))
    return left
