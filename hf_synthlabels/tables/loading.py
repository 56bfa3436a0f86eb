"""Row sources: the arguments of `datasets.load_dataset`, with text files read by our own reader."""

from __future__ import annotations

import errno
import glob
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.tables.formats import READABLE, ReadOptions, TableFormat, is_table, table_format
from hf_synthlabels.tables.provenance import with_records
from hf_synthlabels.tables.reading import files_state, read_files, read_table

READERS: dict[str, TableFormat] = {"csv": "csv", "json": "json", "excel": "excel", "stata": "stata"}
"""Values of `path` that name a reader of local files."""

EMPTY_BYTES = 1024
"""Maximum size of a file that is checked for being blank."""

_LOGGER = logging.getLogger(__name__)

DataFiles = str | list[str] | dict[str, str | list[str]] | None


@dataclass(frozen=True, slots=True)
class RowSource:
    """The arguments of `load_dataset`, with resolved local paths."""

    path: str
    name: str | None = None
    data_files: DataFiles = None
    revision: str | None = None
    data_dir: str | None = None
    options: tuple[tuple[str, Any], ...] = ()
    """Options for the reader of `datasets`, which then reads the files."""


def load_rows(source: RowSource, options: ReadOptions, *, split: str | None = None, streaming: bool = False) -> Any:
    """Load all splits of a source, or one split.

    The types of local CSV, JSON, Excel and Stata files are inferred from all rows. So are those of CSV and JSON files
    on the Hub, unless the dataset is streamed or declares its types.

    Raises:
        FileNotFoundError: A file does not exist.
        DataError: A file cannot be read, or `split` does not exist.
        Exception: Any error of `load_dataset` for other sources.
    """
    from datasets import DatasetDict, load_dataset

    place = Path(source.path)
    files: dict[str, tuple[TableFormat, list[Path]]] | None = None
    typed = table_format(place) in ("parquet", "arrow") and place.is_file() and source.data_files is None
    if typed or (is_table(place) and place.is_dir() and source.data_files is None):
        splits = read_table(place, options)
    elif (files := _local_files(source)) is not None:
        splits = DatasetDict(_read_splits(files, options))
    else:
        arguments = _arguments(source)
        if source.options:
            more = {"sep": options.separator, "encoding": options.encoding}
            arguments |= {key: value for key, value in more.items() if value is not None}
        plain = source.options or source.path in ("parquet", "arrow")
        files, more = ({}, {}) if plain else _text_files(arguments, options, streaming)
        if not files:
            return _with_provenance(load_dataset(**arguments, split=split, streaming=streaming, **more), source, split)
        splits = DatasetDict(_read_splits(files, options))
    if streaming:
        if split is not None and split not in splits:
            raise DataError(f"`split` must be one of {', '.join(splits)}, got {split!r}.")
        # One shard per file, for the workers of a data loader.
        counts = {name: min(len(part), max(1, len(splits[name]))) for name, (_, part) in (files or {}).items()}
        streams = {name: rows.to_iterable_dataset(num_shards=counts.get(name, 1)) for name, rows in splits.items()}
        return streams if split is None else streams[split]
    return splits if split is None else _split(splits, split)


def _read_splits(files: dict[str, tuple[TableFormat, list[Path]]], options: ReadOptions) -> dict[str, Any]:
    """Read each split; an empty one is skipped with a warning if others have rows."""
    full = {name: part for name, part in files.items() if not all(map(_is_empty, part[1]))}
    for name in files.keys() - full.keys() if full else ():
        _LOGGER.warning("Skipping split %r: its files have no rows.", name)
    return {name: read_files(part, kind, options) for name, (kind, part) in (full or files).items()}


def _is_empty(file: Path) -> bool:
    return file.stat().st_size < EMPTY_BYTES and not file.read_bytes().strip()


def _with_provenance(loaded: Any, source: RowSource, split: str | None) -> Any:
    """Add the provenance of local Parquet files."""
    data_files = source.data_files
    if data_files is None or source.path not in ("parquet", "arrow"):
        return loaded
    for name, part in (data_files if isinstance(data_files, dict) else {split or "train": data_files}).items():
        files = [file for pattern in ([part] if isinstance(part, str) else part) for file in _matches(pattern)]
        if split is None and name in loaded:
            with_records(loaded[name], files)
        elif split is not None and split.split("[")[0] == name:
            with_records(loaded, files)
    return loaded


def source_state(source: RowSource, options: ReadOptions) -> str:
    """Return a string that changes with the files or the revision of a source, without reading its rows.

    Raises:
        FileNotFoundError: A file does not exist.
        Exception: Any error of `load_dataset_builder`.
    """
    from datasets import load_dataset_builder

    splits = _local_files(source)
    if splits is not None:
        return ",".join(f"{name}:{files_state(part, options)}" for name, (_, part) in splits.items())
    place = Path(source.path)
    if is_table(place) and place.exists():
        files = sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]
        return files_state(files, options)
    # The cache path of `datasets` includes configuration, file state and revision.
    return f"{load_dataset_builder(**_arguments(source)).cache_dir} {options}"


def local_files(source: RowSource) -> list[Path]:
    """Return the local files of a source."""
    data_files = source.data_files
    if data_files is None:
        return _matches(source.path)
    parts = list(data_files.values()) if isinstance(data_files, dict) else [data_files]
    patterns = [pattern for part in parts for pattern in ([part] if isinstance(part, str) else part)]
    return [file for pattern in patterns for file in _matches(pattern)]


def _local_files(source: RowSource) -> dict[str, tuple[TableFormat, list[Path]]] | None:
    """Return format and files of each split of local text files; None for other sources."""
    data_files = source.data_files
    kind = READERS.get(source.path)
    if data_files is None:
        place = Path(source.path)
        file_format = table_format(place)
        if kind is not None or file_format is None or file_format in ("parquet", "arrow") or not place.is_file():
            return None
        return {"train": (file_format, [place])}
    if kind is None or source.options:
        return None
    splits = data_files if isinstance(data_files, dict) else {"train": data_files}
    patterns = {name: [part] if isinstance(part, str) else part for name, part in splits.items()}
    if any("://" in pattern for part in patterns.values() for pattern in part):
        return None
    return {name: _expanded(part, kind) for name, part in patterns.items()}


def _expanded(patterns: Sequence[str], kind: TableFormat) -> tuple[TableFormat, list[Path]]:
    """Return the files that patterns match, and their format, preferring the suffix to the reader."""
    files: list[Path] = []
    for pattern in patterns:
        matches = _matches(pattern)
        if not matches:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), pattern)
        files += matches
    formats = {table_format(file) or kind for file in files}
    if len(formats) > 1 or not formats <= set(READERS.values()):
        shown = ", ".join(file.name for file in files[:3])
        raise DataError(f"`data_files` must all have the same text format ({READABLE}), got {shown}.")
    return formats.pop(), files


def _matches(pattern: str) -> list[Path]:
    place = Path(pattern)
    matches = [place] if place.is_file() else [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
    return [path for path in matches if path.is_file()]


def _arguments(source: RowSource) -> dict[str, Any]:
    arguments = {
        "path": source.path,
        "name": source.name,
        "data_files": source.data_files,
        "revision": source.revision,
        "data_dir": source.data_dir,
    }
    return {key: value for key, value in arguments.items() if value is not None} | dict(source.options)


def _text_files(
    arguments: dict[str, Any], options: ReadOptions, streaming: bool
) -> tuple[dict[str, tuple[TableFormat, list[Path]]], dict[str, Any]]:
    """Download CSV or JSON files of a folder, Hub dataset or URL, or return arguments to let `datasets` read them."""
    from datasets import DownloadManager, load_dataset_builder
    from datasets.packaged_modules.csv.csv import CsvConfig
    from datasets.packaged_modules.json.json import JsonConfig

    builder = load_dataset_builder(**arguments)
    config = builder.config
    if not isinstance(config, CsvConfig | JsonConfig) or not config.data_files:
        return {}, {}
    is_csv = isinstance(config, CsvConfig)
    # By default `datasets` would treat "None" and "NA" as missing.
    plain = {"keep_default_na": False, "na_values": [""]}
    declared = builder.info.features is not None or getattr(config, "field", None) is not None
    if streaming:
        separator = {} if options.separator is None else {"sep": options.separator}
        return {}, {**plain, **separator, **({} if declared else {"dtype": str})} if is_csv else {}
    if declared:
        return {}, plain if is_csv else {}
    local = DownloadManager().download({str(name): list(files) for name, files in config.data_files.items()})
    kind: TableFormat = "csv" if is_csv else "json"
    return {name: (kind, [Path(file) for file in files]) for name, files in local.items()}, {}


def _split(splits: Any, split: str) -> Any:
    """Return one split, or the rows of an instruction such as `train[:100]` or `train+test`."""
    from datasets import ReadInstruction, concatenate_datasets

    if split in splits:
        return splits[split]
    if split == "all":
        return concatenate_datasets(list(splits.values()))
    try:
        lengths = {name: len(rows) for name, rows in splits.items()}
        parts = ReadInstruction.from_spec(split).to_absolute(lengths)
        rows = [splits[part.splitname].select(range(part.from_ or 0, _end(part, lengths))) for part in parts]
    except (AssertionError, KeyError, ValueError):
        raise DataError(f"`split` must be one of {', '.join(splits)}, got {split!r}.") from None
    return rows[0] if len(rows) == 1 else concatenate_datasets(rows)


def _end(part: Any, lengths: dict[str, int]) -> int:
    return lengths[part.splitname] if part.to is None else int(part.to)
