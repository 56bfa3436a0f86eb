"""Answers on the single pages of a torn SQLite file, found without the tree that held the pages together.

After the SQLite file format (sqlite.org/fileformat2.html). A page of any other table, or of something else entirely,
holds no record whose checksum fits, so that nothing is taken for an answer that is none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

Record = tuple[str, str, str, float]
"""Key, payload, checksum and time of an answer, as they stand on the page."""

DEFAULT_PAGE_BYTES = 4096
HEADER_BYTES = 100
LOG_HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24

LEAF, INTERIOR = 0x0A, 0x02
"""Pages of a table without row numbers; both kinds hold rows."""

INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}
REAL = 7

MAX_OVERFLOW_PAGES = 100_000


def records(path: Path) -> Iterator[Record]:
    """Everything that looks like a stored answer on any page; the caller checks it."""
    with path.open("rb") as file:
        pages = _Pages(file, path.with_name(path.name + "-wal"))
        for number in pages.numbers():
            page = pages.get(number)
            for place in _places(page, HEADER_BYTES if number == 1 else 0):
                try:
                    found = _record(_content(pages, page, place))
                except (IndexError, ValueError, struct.error):
                    continue
                if found is not None:
                    yield found


class _Pages:
    """The pages of a file by their numbers, those of its write-ahead log before those in the file."""

    def __init__(self, file: IO[bytes], log: Path) -> None:
        self._file = file
        header = file.read(HEADER_BYTES)
        said = int.from_bytes(header[16:18], "big")
        self.size = 65_536 if said == 1 else said
        if not header.startswith(b"SQLite format 3") or self.size < 512 or self.size & (self.size - 1):
            self.size = DEFAULT_PAGE_BYTES
        self._log = log.read_bytes() if log.is_file() else b""
        self._newer = self._frames()
        self._count = -(-file.seek(0, 2) // self.size)

    def numbers(self) -> Iterator[int]:
        """Of all pages that are there."""
        yield from range(1, max([self._count, *self._newer]) + 1)

    def get(self, number: int) -> bytes:
        """A page; shorter, or empty, where the file ends."""
        if number in self._newer:
            start = self._newer[number]
            return self._log[start : start + self.size]
        self._file.seek((number - 1) * self.size)
        return self._file.read(self.size)

    def _frames(self) -> dict[int, int]:
        """Where in the log the last copy of each page begins; frames of an earlier round have another salt."""
        salt = self._log[16:24]
        step = FRAME_HEADER_BYTES + self.size
        found = {}
        for start in range(LOG_HEADER_BYTES, len(self._log) - step + 1, step):
            if self._log[start + 8 : start + 16] != salt:
                break
            found[int.from_bytes(self._log[start : start + 4], "big")] = start + FRAME_HEADER_BYTES
        return found


def _places(page: bytes, start: int) -> Iterator[int]:
    """Where the rows of a page begin."""
    if len(page) < start + 12 or page[start] not in (LEAF, INTERIOR):
        return
    first, skipped = (start + 8, 0) if page[start] == LEAF else (start + 12, 4)
    count = int.from_bytes(page[start + 3 : start + 5], "big")
    for pointer in range(first, min(first + 2 * count, len(page) - 1), 2):
        yield int.from_bytes(page[pointer : pointer + 2], "big") + skipped


def _content(pages: _Pages, page: bytes, place: int) -> bytes:
    """The bytes of a row, with what of it stands on further pages."""
    length, start = _varint(page, place)
    most = (pages.size - 12) * 64 // 255 - 23
    if length <= most:
        return page[start : start + length]
    least = (pages.size - 12) * 32 // 255 - 23
    local = least + (length - least) % (pages.size - 4)
    local = local if local <= most else least
    content = page[start : start + local]
    further = int.from_bytes(page[start + local : start + local + 4], "big")
    for _ in range(MAX_OVERFLOW_PAGES):
        if not further or len(content) >= length:
            break
        overflow = pages.get(further)
        content += overflow[4:]
        further = int.from_bytes(overflow[:4], "big")
    return content[:length]


def _record(content: bytes) -> Record | None:
    """A row as an answer; None when it has other columns."""
    header_bytes, at = _varint(content, 0)
    kinds = []
    while at < header_bytes:
        kind, at = _varint(content, at)
        kinds.append(kind)
    if len(kinds) != 4 or any(kind < 13 or kind % 2 == 0 for kind in kinds[:3]):
        return None
    texts = []
    for kind in kinds[:3]:
        length = (kind - 13) // 2
        texts.append(content[at : at + length].decode())
        at += length
    if kinds[3] == REAL:
        created_at = float(struct.unpack(">d", content[at : at + 8])[0])
    else:
        # A number without a fraction is stored as an integer; a kind that is none is an error of the caller's page.
        created_at = float(int.from_bytes(content[at : at + INTEGER_BYTES.get(kinds[3], 0)], "big", signed=True))
    return texts[0], texts[1], texts[2], created_at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of one to nine bytes, and where it ends."""
    value = 0
    for place in range(at, at + 8):
        value = value << 7 | data[place] & 0x7F
        if data[place] < 0x80:
            return value, place + 1
    return value << 8 | data[at + 8], at + 9
