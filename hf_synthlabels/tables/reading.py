"""Reader of table files, shared by all commands."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.tables.atomic import atomic_path
from hf_synthlabels.tables.columns import TextColumns, nested_converters
from hf_synthlabels.tables.delimited import detect_dialect, text_batches
from hf_synthlabels.tables.formats import READABLE, ReadOptions, TableFormat, table_format
from hf_synthlabels.tables.json_rows import json_batches, json_schema
from hf_synthlabels.tables.office import excel_batches, stata_table
from hf_synthlabels.tables.provenance import label_kinds, with_records

if TYPE_CHECKING:
    import pyarrow as pa

READER_VERSION = 2
"""Raised when files are read differently, so that cached tables are read again."""

IN_MEMORY = 1 << 28
"""Larger files are converted to a memory-mapped Arrow file in the cache."""


def read_table(path: str | Path, options: ReadOptions | None = None) -> Any:
    """Read a table as a `DatasetDict`: a file, or a folder written by this package or `datasets`.

    In text files only empty cells are missing. Label columns are read verbatim; another column is numeric if all of its
    cells are.

    Raises:
        DataError: The path does not exist, has an unknown format, or cannot be read.
        MissingExtraError: The format needs a library that is not installed.
    """
    from datasets import DatasetDict

    options = options or ReadOptions()
    place = Path(path)
    if not place.exists():
        raise DataError(f"`data` {str(path)!r} does not exist: pass a file ({READABLE}) or a folder.")
    if place.is_dir():
        return _folder(place)
    if place.suffix.lower() in (".yaml", ".yml"):
        raise DataError(f"`data` {str(path)!r} is a YAML file: pass a table ({READABLE}) or a folder.")
    kind = table_format(place)
    if kind is None:
        raise DataError(f"`data` {place.name!r} has an unknown format: use one of {READABLE}.")
    return DatasetDict({"train": read_files([place], kind, options)})


def read_files(files: Sequence[Path], kind: TableFormat, options: ReadOptions) -> Any:
    """Read files of one format as a `Dataset`.

    Raises:
        DataError: A file cannot be read, or the columns differ.
    """
    import pyarrow as pa
    from datasets import Dataset

    if kind in ("parquet", "arrow"):
        return with_records(_loaded(files, kind), files)
    try:
        state = files_state(files, options)
        if sum(file.stat().st_size for file in files) <= IN_MEMORY:
            schema, batches = _typed(files, kind, options, memory=True)
            return with_records(Dataset(pa.Table.from_batches(batches, schema), fingerprint=state), files)
        return with_records(_mapped(files, kind, options, state), files)
    except OSError as error:
        raise DataError(f"`data` {_shown(files)} cannot be read: {error.strerror or error}.") from None
    except (pa.ArrowException, UnicodeError, EOFError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"`data` {_shown(files)} cannot be read: {reason.rstrip('.')}.") from None


def files_state(files: Sequence[Path], options: ReadOptions | None = None) -> str:
    """Return a hash of the files' state, the options and the reader version.

    Raises:
        DataError: A file does not exist.
    """
    parts = [str(READER_VERSION), repr(options)]
    for file in files:
        try:
            state = file.stat()
        except OSError as error:
            raise DataError(f"`data` {str(file)!r} cannot be read: {error.strerror}.") from None
        parts.append(f"{file.resolve()}|{state.st_size}|{state.st_mtime_ns}|{label_kinds(file)}")
    return hashlib.sha256("\x1e".join(parts).encode()).hexdigest()[:16]


def _typed(
    files: Sequence[Path], kind: TableFormat, options: ReadOptions, *, memory: bool
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the schema that fits all rows, and the rows."""
    if kind == "json":
        schema = json_schema(files, options.encoding)
        return schema, json_batches(files, schema, options.encoding)
    if kind == "stata":
        tables = [stata_table(file) for file in files]
        import pyarrow as pa

        table = pa.concat_tables(tables, promote_options="permissive")
        return table.schema, iter(table.to_batches())
    return _typed_texts(files, kind, options, memory=memory)


def _typed_texts(
    files: Sequence[Path], kind: TableFormat, options: ReadOptions, *, memory: bool
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Infer types from all cells; batches are kept if `memory`, else read twice."""
    import pyarrow as pa

    kept: list[pa.RecordBatch] = []
    columns = _infer_columns(files, kind, options, kept if memory else None)
    separator = detect_dialect(files[-1], options).separator if kind == "csv" else ","
    converters = columns.converters(separator)

    def texts() -> Iterable[pa.RecordBatch]:
        return kept if memory else _texts(files, kind, options)

    if nested := columns.nested():
        converters |= nested_converters(texts(), nested)
    schema = pa.schema([(name, type_) for name, (type_, _) in converters.items()])

    def converted() -> Iterator[pa.RecordBatch]:
        for batch in texts():
            cells = [convert(batch.column(name)) for name, (_, convert) in converters.items()]
            yield pa.RecordBatch.from_arrays(cells, schema=schema)

    return schema, converted()


def _infer_columns(
    files: Sequence[Path], kind: TableFormat, options: ReadOptions, kept: list[pa.RecordBatch] | None
) -> TextColumns:
    """Collect the candidate types of each column, and append the batches to `kept`."""
    kinds = {name: label for file in files for name, label in label_kinds(file).items()}
    columns: TextColumns | None = None
    for batch in _texts(files, kind, options):
        if columns is None:
            columns = TextColumns(batch.schema.names, options, kinds)
        columns.add(batch)
        if kept is not None:
            kept.append(batch)
    return columns or TextColumns(detect_dialect(files[0], options).names, options, kinds)


def _texts(files: Sequence[Path], kind: TableFormat, options: ReadOptions) -> Iterator[pa.RecordBatch]:
    """Yield the rows of all files as text cells."""
    names: list[str] | None = None
    for file in files:
        for batch in excel_batches(file) if kind == "excel" else text_batches(file, detect_dialect(file, options)):
            names = names or list(batch.schema.names)
            if batch.schema.names != names:
                raise DataError(f"`data` {file.name!r} has other columns than {files[0].name!r}: read them separately.")
            yield batch


def _mapped(files: Sequence[Path], kind: TableFormat, options: ReadOptions, state: str) -> Any:
    """Return the rows as a memory-mapped table in the cache of `datasets`."""
    import datasets
    import pyarrow as pa

    place = Path(datasets.config.HF_DATASETS_CACHE) / "hf_synthlabels_tables" / f"{state}.arrow"
    if not place.is_file():
        schema, batches = _typed(files, kind, options, memory=False)
        with atomic_path(place) as part, pa.OSFile(str(part), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
    return datasets.Dataset.from_file(str(place))


def _loaded(files: Sequence[Path], kind: TableFormat) -> Any:
    """Load files with typed columns."""
    from datasets import load_dataset

    with _reader_errors(_shown(files)):
        return load_dataset(kind, data_files=[str(file) for file in files], split="train")


def _folder(place: Path) -> Any:
    from datasets import DatasetDict, load_dataset, load_from_disk

    with _reader_errors(repr(str(place))):
        files = {file.stem: str(file) for file in sorted(place.glob("*.parquet"))}
        if files:
            splits = load_dataset("parquet", data_files=files)
            return DatasetDict({name: with_records(rows, [Path(files[name])]) for name, rows in splits.items()})
        if any((place / "data").glob("*.parquet")):
            # The layout of Hub datasets: file names contain the split and a number.
            return load_dataset(str(place))
        loaded = load_from_disk(str(place))
        return loaded if isinstance(loaded, DatasetDict) else DatasetDict({"train": loaded})


@contextlib.contextmanager
def _reader_errors(shown: str) -> Iterator[None]:
    from datasets.exceptions import DatasetGenerationError

    try:
        yield
    except (DatasetGenerationError, OSError, ValueError) as error:
        cause = " ".join(str(error.__cause__ or error).split()) or type(error).__name__
        raise DataError(f"`data` {shown} cannot be read: {cause[:200].rstrip('.')}.") from error


def _shown(files: Sequence[Path]) -> str:
    return ", ".join(repr(os.fspath(file)) for file in files[:3])
