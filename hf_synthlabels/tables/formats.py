"""File formats and encodings of tables."""

from __future__ import annotations

import bz2
import codecs
import gzip
import logging
import lzma
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from hf_synthlabels.errors import DataError

logger = logging.getLogger(__name__)

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
"""Readable suffixes, for error messages."""
WRITABLE = (".parquet", ".jsonl", ".csv", ".tsv", ".xlsx")
"""Suffixes of the formats that tables can be written to."""

CHUNK = 1 << 22
SAMPLE = 1 << 16
BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))

MAX_ACCENTS = 0.4
"""Maximum share of non-ASCII letters in a Western European text; in a Cyrillic text nearly all are non-ASCII."""

_reported: set[tuple[str, str]] = set()


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """User options for reading text files; everything else is detected."""

    labels: tuple[str, ...] = ()
    """Columns of labels or texts, whose cells are read verbatim. Other columns may become numbers."""
    numbers: bool = False
    """Whether the label columns hold numbers, as on a scale."""
    encoding: str | None = None
    separator: str | None = None


def table_format(path: str | Path) -> TableFormat | None:
    """Return the format of a file by its suffix, ignoring case and compression; None if unknown."""
    return SUFFIXES.get(format_suffix(Path(path)))


def is_table(path: str | Path) -> bool:
    """Whether a path is a file of a known format, or a folder of `save_to_disk` or of this package."""
    place = Path(path)
    if table_format(place) is not None:
        return True
    saved = any((place / name).exists() for name in ("dataset_info.json", "dataset_dict.json"))
    # `load_dataset` would read the provenance files as data.
    return place.is_dir() and (saved or any(place.glob("*.parquet.provenance.json")))


def is_tab_separated(path: Path) -> bool:
    """Whether the suffix suggests tabs as separators."""
    return format_suffix(path) in (".tsv", ".tab", ".txt")


def format_suffix(path: Path) -> str:
    """Return the suffix in lower case, ignoring that of a compression."""
    place = path.with_suffix("") if path.suffix.lower() in OPENERS else path
    return place.suffix.lower()


def open_binary(path: Path) -> IO[bytes]:
    """Open a file for reading bytes, decompressed.

    Raises:
        DataError: The file cannot be opened.
    """
    opener = OPENERS.get(path.suffix.lower())
    try:
        return path.open("rb") if opener is None else opener(path, "rb")
    except OSError as error:
        raise DataError(f"`data` {str(path)!r} cannot be read: {error.strerror or error}.") from None


def detect_encoding(path: Path, encoding: str | None = None) -> str:
    """Return the given encoding, or detect a byte order mark, UTF-8 or a Western European encoding.

    An assumed encoding is logged once per file.

    Raises:
        DataError: The given encoding is unknown or does not fit, or none can be detected.
    """
    if encoding is not None:
        return _checked_encoding(path, encoding)
    with open_binary(path) as file:
        head = file.read(SAMPLE)
    for bom, name in BOMS:
        if head.startswith(bom):
            return name
    if _decodes(path, "utf-8"):
        return "utf-8"
    sample = _around_first_high_byte(path)
    high = sum(byte >= 0x80 for byte in sample)
    letters = sum(chr(byte).isalpha() for byte in sample if byte < 0x80)
    if b"\0" in head or high > MAX_ACCENTS * (high + letters):
        raise DataError(
            f"`encoding` of {path.name!r} cannot be detected: name it, for instance `encoding: cp1251`, or save the "
            "file as UTF-8."
        )
    # cp1252 leaves five bytes undefined; Latin-1 defines all.
    assumed = "cp1252" if _decodes(path, "cp1252") else "latin-1"
    if (str(path), assumed) not in _reported:
        _reported.add((str(path), assumed))
        logger.warning(
            "%s is not UTF-8; reading it as %s. If characters look wrong, name the encoding (`--encoding`, or "
            "`source.encoding` in a recipe).",
            path.name,
            assumed,
        )
    return assumed


def _checked_encoding(path: Path, encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise DataError(f"`encoding` {encoding!r} is unknown: use a name such as utf-8 or cp1252.") from None
    if not _decodes(path, name):
        raise DataError(f"`encoding` {encoding!r} does not fit {path.name!r}: some bytes are invalid in it.")
    # A byte order mark is not part of the first column's name.
    return "utf-8-sig" if name == "utf-8" else name


def _decodes(path: Path, encoding: str) -> bool:
    """Whether all bytes of a file are valid in an encoding."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with open_binary(path) as file:
            while chunk := file.read(CHUNK):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    except (OSError, EOFError) as error:
        raise DataError(f"`data` {str(path)!r} cannot be read: {error}.") from None
    return True


def _around_first_high_byte(path: Path) -> bytes:
    """Return a sample of a file around its first non-ASCII byte."""
    with open_binary(path) as file:
        while chunk := file.read(CHUNK):
            first = next((i for i, byte in enumerate(chunk) if byte >= 0x80), None)
            if first is not None:
                return chunk[max(0, first - SAMPLE // 2) : first + SAMPLE // 2]
    return b""
