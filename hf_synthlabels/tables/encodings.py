"""Encodings: what a file of text is written in, found from all of its bytes."""

from __future__ import annotations

import codecs
import logging
from pathlib import Path

from hf_synthlabels.errors import DataError
from hf_synthlabels.tables.formats import open_binary

logger = logging.getLogger(__name__)

CHUNK = 1 << 22
SAMPLE = 1 << 16
BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))

MAX_ACCENTS = 0.4
"""Of the letters of a Western European text far fewer have an accent; of a Cyrillic one nearly all are above ASCII."""

_noticed: set[tuple[str, str]] = set()


def detect_encoding(path: Path, wanted: str | None = None) -> str:
    """The encoding of a file: the one that is wanted, that of its byte order mark, UTF-8, or a Western European one.

    An encoding that is only assumed is logged once for each file.

    Raises:
        DataError: `wanted` is no encoding, or the file is not in it, or no encoding fits.
    """
    if wanted is not None:
        return _checked(path, wanted)
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
            f"`encoding` of {path.name!r} is not UTF-8 and cannot be detected. Name it, for instance "
            "`encoding: cp1251`, or save the file as UTF-8."
        )
    # Five bytes have no meaning in cp1252; Latin-1 gives every byte one.
    encoding = "cp1252" if _decodes(path, "cp1252") else "latin-1"
    if (str(path), encoding) not in _noticed:
        _noticed.add((str(path), encoding))
        logger.warning(
            "%s is not UTF-8; it is read as %s. If letters look wrong, name the encoding (`--encoding`, in a recipe "
            "`source.encoding`).",
            path.name,
            encoding,
        )
    return encoding


def _checked(path: Path, wanted: str) -> str:
    try:
        name = codecs.lookup(wanted).name
    except LookupError:
        raise DataError(f"`encoding` is {wanted!r}, which is unknown. Use a name such as utf-8 or cp1252.") from None
    if not _decodes(path, name):
        raise DataError(f"`encoding` is {wanted!r}, but {path.name!r} has bytes that it does not allow.")
    # A byte order mark is no part of the first column's name.
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
    """Some bytes of a file from its first one above ASCII on."""
    with open_binary(path) as file:
        while chunk := file.read(CHUNK):
            place = next((i for i, byte in enumerate(chunk) if byte >= 0x80), None)
            if place is not None:
                return chunk[max(0, place - SAMPLE // 2) : place + SAMPLE // 2]
    return b""
