"""Annotates a stream of Arrow tables: each is returned with its label columns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

from hf_synthlabels.annotation.run.row_annotator import AnnotationColumns, RowAnnotator
from hf_synthlabels.annotation.run.run_stats import BREAKER_ROWS
from hf_synthlabels.clients import ChatClient
from hf_synthlabels.clients.config import ClientConfig

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

TABLE_ROWS = 1000

MAX_TABLES_TOGETHER = 256
"""Tables of a stream whose rows are in flight together, after a reader has shown to want them all."""


def annotated_tables(
    annotator: RowAnnotator,
    tables: Iterable[pa.Table],
    needed: list[str],
    columns: AnnotationColumns,
    progress: Callable[[int], None] | None = None,
) -> Iterator[pa.Table]:
    """Annotate tables one after the other, with the next already being asked while the last is completed."""
    for table, labels in labelled_tables(annotator, tables, needed, columns, progress):
        for name in labels.column_names:
            table = table.append_column(labels.schema.field(name), labels.column(name))
        yield table


def first_rows(config: ClientConfig, client: ChatClient | None = None) -> int:
    """Rows of the first table of a stream: as few as keep a paid annotator busy; others are free, or answer late."""
    paid = client is not None or (config.kind in ("openai", "transformers") and not config.batch)
    return min(TABLE_ROWS, config.max_in_flight) if paid else TABLE_ROWS


def selected_shards(rows: datasets.IterableDataset, places: list[int]) -> datasets.IterableDataset:
    """Some shards of a stream, in their order."""
    count = rows.num_shards
    if len(places) == count:
        return rows
    from datasets import concatenate_datasets

    parts = [rows.shard(num_shards=count, index=place) for place in places]
    return concatenate_datasets(parts) if len(parts) > 1 else parts[0]


def looked_at_tables(
    annotator: RowAnnotator,
    rows: datasets.IterableDataset,
    needed: list[str],
    columns: AnnotationColumns,
    *,
    first: int,
    progress: Callable[[int], None] | None = None,
) -> Iterator[pa.Table]:
    """Annotate a stream for a reader who may stop at any row, so that little is paid for that is not looked at.

    The first table comes when `first` rows are labeled. Then twice as many rows are labeled at a time, and so on, so
    that a reader of everything soon has full throughput.

    Args:
        annotator: labels the rows.
        rows: with all needed columns.
        needed: the columns that the annotator reads.
        columns: the label columns.
        first: rows of the first table, and of every later one.
        progress: called with the number of rows that were labeled since the last call.
    """
    tables = rows.with_format("arrow").iter(batch_size=first)
    # Fewer rows would be too few to tell that all of them fail.
    together = -(-BREAKER_ROWS // first)
    for table in tables:
        turn = chain([table], islice(tables, together - 1))
        yield from annotated_tables(annotator, turn, needed, columns, progress)
        together = min(2 * together, MAX_TABLES_TOGETHER)


def labelled_tables(
    annotator: RowAnnotator,
    tables: Iterable[pa.Table],
    needed: list[str],
    columns: AnnotationColumns,
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Tables with the label columns of their rows, each as soon as its last row is labeled.

    Only rows in flight are held; labels become Arrow a table at a time, since many small objects that
    live long cost Python more than the labels themselves.

    Args:
        annotator: who labels.
        tables: with all needed columns; empty ones are left out.
        needed: the columns that the annotator reads.
        columns: the label columns.
        progress: called with the number of rows that were labeled since the last call.
    """
    tokens_column = annotator.form.tokens

    def labels(table: pa.Table, done: list[Any]) -> pa.Table:
        tokens = None if tokens_column is None else table.column(tokens_column).to_pylist()
        return columns.table(done, tokens)

    yield from map_rows(tables, needed, annotator.annotate, labels, progress)


Result = TypeVar("Result")


def map_rows(
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
