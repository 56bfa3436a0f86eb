"""Annotating a source of any size into a file: read as a stream, written as it comes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hf_synthlabels.annotation.columns import with_label_features
from hf_synthlabels.annotation.opening import open_annotator
from hf_synthlabels.annotation.progress import shown_progress
from hf_synthlabels.annotation.provenance import package_version, record
from hf_synthlabels.annotation.recipe import Recipe
from hf_synthlabels.annotation.source import load_source, needed_columns
from hf_synthlabels.annotation.stream import TABLE_ROWS, annotated_tables
from hf_synthlabels.errors import DataError

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

__all__ = ["TableWriter", "Written", "annotate_to_files", "checked_output", "opened_file", "split_path"]

SUFFIXES = (".parquet", ".jsonl")


@dataclass(frozen=True, slots=True)
class Written:
    """What came of one split."""

    split: str
    path: Path
    record: dict[str, Any]
    """How the labels were made: the provenance, which also stands beside the file."""


class TableWriter(Protocol):
    """What rows are written with."""

    def write(self, table: pa.Table) -> None:
        """Append some rows."""


def annotate_to_files(recipe: Recipe, output: str | Path) -> list[Written]:
    """Annotate a recipe's source without ever holding it: memory is the same for a thousand rows and a million.

    Rows are written as they are labelled, to a file beside the wished one, which takes its name when it is complete.
    A run that was stopped is simply run again: what had been answered comes from the response store.

    Args:
        recipe: what to annotate, and by whom.
        output: a file that ends in .parquet or .jsonl; of several splits each has a file with its name in front of
            the suffix. Beside each stands its provenance, as `<file>.provenance.json`.

    Raises:
        DataError: the file is of another kind.
        SynthLabelsError: as its subclasses say; what had been answered is kept.
    """
    target = checked_output(output)
    splits = load_source(recipe, streaming=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for name, rows in splits.items():
        path = split_path(target, str(name), len(splits))
        written.append(Written(str(name), path, _annotate_split(recipe, rows, str(name), path)))
    return written


def checked_output(output: str | Path) -> Path:
    """The file that rows are written to as they come.

    Raises:
        DataError: it is of another kind.
    """
    target = Path(output)
    if target.suffix not in SUFFIXES:
        raise DataError(
            f"`output` {target.name!r} can not be written as it comes. Name a {' or '.join(SUFFIXES)} file."
        )
    return target


def split_path(target: Path, split: str, splits: int) -> Path:
    """The file of one split: the target itself, or with the split's name where there are several."""
    return target if splits == 1 else target.with_name(f"{target.stem}-{split}{target.suffix}")


def _annotate_split(recipe: Recipe, rows: datasets.IterableDataset, name: str, path: Path) -> dict[str, Any]:
    tags = recipe.task.tokens is not None
    features = with_label_features(rows.features, recipe.schema_of_labels(), recipe.output, tags=tags)
    began = time.monotonic()
    with (
        open_annotator(recipe, rows.features) as annotator,
        shown_progress(recipe, annotator, total=None, what=name) as progress,
        opened_file(path, features) as writer,
    ):
        tables = rows.with_format("arrow").iter(batch_size=TABLE_ROWS)
        needed = needed_columns(recipe, rows.features)
        for table in annotated_tables(annotator, tables, needed, recipe.output, progress):
            writer.write(table.cast(features.arrow_schema))
    made = record(recipe, annotator.tally, version=package_version(), seconds=time.monotonic() - began)
    beside = path.with_name(path.name + ".provenance.json")
    beside.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return made


@contextmanager
def opened_file(path: Path, features: datasets.Features) -> Iterator[TableWriter]:
    """A writer to a file that has its name only when it is complete."""
    part = path.with_name(path.name + ".part")
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        # With the features in its metadata, so that label names and lists come back as they were.
        with pq.ParquetWriter(part, features.arrow_schema) as parquet:
            yield _ParquetRows(parquet)
    else:
        with part.open("w", encoding="utf-8") as lines:
            yield _JsonRows(lines, features)
    part.replace(path)


class _ParquetRows:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table)


class _JsonRows:
    """JSON Lines with label names in place of codes, as people read them."""

    def __init__(self, lines: Any, features: datasets.Features) -> None:
        self._lines = lines
        self._features = features

    def write(self, table: pa.Table) -> None:
        for row in table.to_pylist():
            named = {column: _named(self._features[column], value) for column, value in row.items()}
            self._lines.write(json.dumps(named, ensure_ascii=False, default=str) + "\n")


def _named(feature: Any, value: Any) -> Any:
    """A value with names for the codes of labels in it, however deep."""
    from datasets import ClassLabel, List

    if value is None:
        return None
    if isinstance(feature, ClassLabel):
        return feature.int2str(value) if value >= 0 else None
    if isinstance(feature, List):
        return [_named(feature.feature, item) for item in value]
    if isinstance(feature, dict):
        return {key: _named(feature[key], item) for key, item in value.items()}
    return value
