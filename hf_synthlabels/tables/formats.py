"""Table formats: which file names are tables, how they are opened, and what is said of a file that is none."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from hf_synthlabels.errors import DataError

TableFormat = Literal["csv", "json", "excel", "stata", "parquet", "arrow"]

SUFFIXES: dict[str, TableFormat] = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".txt"), "csv"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "json"),
    **dict.fromkeys((".xlsx", ".xlsm"), "excel"),
    ".dta": "stata",
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".arrow", ".feather"), "arrow"),
}

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}

READABLE = ".csv, .tsv, .txt, .jsonl, .json, .parquet, .arrow, .xlsx, .dta"
"""The suffixes that messages name."""
WRITABLE = (".parquet", ".jsonl", ".csv", ".tsv", ".xlsx")
"""The suffixes that a table can be written to."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a user says of a file of text; everything else is detected."""

    labels: tuple[str, ...] = ()
    """Columns of labels or texts: cells stay as they are written. Other columns may become numbers."""
    numbers: bool = False
    """Whether the label columns hold numbers, as those of a scale do."""
    encoding: str | None = None
    separator: str | None = None


def table_format(path: str | Path) -> TableFormat | None:
    """The format that a file name says, whatever its case and compression; None for other files."""
    return SUFFIXES.get(format_suffix(Path(path)))


def is_table(path: str | Path) -> bool:
    """Whether a path names a table: a file of a known format, or a folder that holds one."""
    place = Path(path)
    return table_format(place) is not None or (
        place.is_dir() and any((place / name).exists() for name in ("dataset_info.json", "dataset_dict.json"))
    )


def is_tab_separated(path: Path) -> bool:
    """Whether a file name says that tabs separate its cells."""
    return format_suffix(path) in (".tsv", ".tab", ".txt")


def open_binary(path: Path) -> IO[bytes]:
    """Open a file to read its bytes, uncompressed.

    Raises:
        DataError: the file cannot be opened.
    """
    opener = OPENERS.get(path.suffix.lower())
    try:
        return path.open("rb") if opener is None else opener(path, "rb")
    except OSError as error:
        raise DataError(f"`data` {str(path)!r} cannot be read: {error.strerror or error}.") from None


def format_suffix(path: Path) -> str:
    """The suffix that says the format, in lower case, without that of a compression."""
    place = path.with_suffix("") if path.suffix.lower() in OPENERS else path
    return place.suffix.lower()
