"""Annotating a stream of Arrow tables: each comes out as it went in, with the label columns beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from hf_synthlabels.annotation.annotator import Annotator
from hf_synthlabels.annotation.columns import label_table
from hf_synthlabels.annotation.recipe import Output
from hf_synthlabels.labels import Annotation

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TABLE_ROWS", "annotated_tables", "labelled_tables", "with_results"]

TABLE_ROWS = 1000


def annotated_tables(
    annotator: Annotator,
    tables: Iterable[pa.Table],
    needed: list[str],
    output: Output,
    progress: Callable[[int], None] | None = None,
) -> Iterator[pa.Table]:
    """Annotate tables one after the other, with the next already being asked while the last is completed."""
    for table, labels in labelled_tables(annotator, tables, needed, output, progress):
        for name in labels.column_names:
            table = table.append_column(labels.schema.field(name), labels.column(name))
        yield table


def labelled_tables(
    annotator: Annotator,
    tables: Iterable[pa.Table],
    needed: list[str],
    output: Output,
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Tables with the label columns of their rows, each as soon as its last row is labelled.

    Only so many rows are held as are on the way; labels become Arrow a table at a time, since many small objects that
    live long cost Python more than the labels themselves.

    Args:
        annotator: who labels.
        tables: with all needed columns; empty ones are left out.
        needed: the columns that the annotator reads.
        output: the names of the label columns.
        progress: called with the number of rows that were labelled since the last call.
    """
    tokens_column = None if annotator.form is None else annotator.form.tokens

    def labels(table: pa.Table, done: list[Annotation]) -> pa.Table:
        tokens = None if tokens_column is None else table.column(tokens_column).to_pylist()
        return label_table(done, annotator.schema, output, tokens)

    yield from with_results(tables, needed, annotator.annotate, labels, progress)


Result = TypeVar("Result")


def with_results(
    tables: Iterable[pa.Table],
    needed: list[str],
    work: Callable[[Iterator[dict[str, Any]]], Iterator[Result]],
    columns: Callable[[pa.Table, list[Result]], pa.Table],
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Tables with the columns that their rows' results make, each as soon as its last row has its result.

    Args:
        tables: with all needed columns; empty ones are left out.
        needed: the columns that are read.
        work: from rows to one result for each, in their order.
        columns: from a table and the results of its rows to what is added.
        progress: called with the number of rows that were finished since the last call.
    """
    pending: deque[pa.Table] = deque()

    def rows() -> Iterator[dict[str, Any]]:
        for table in tables:
            if table.num_rows:
                pending.append(table)
                yield from table.select(needed).to_pylist()

    done: list[Result] = []
    for result in work(rows()):
        done.append(result)
        if progress is not None:
            progress(1)
        if len(done) == pending[0].num_rows:
            table = pending.popleft()
            yield table, columns(table, done)
            done = []
