"""RequestFile: the lines of requests that wait to be answered, on disk instead of in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from hf_synthlabels.errors import StoreError


class RequestFile:
    """Lines by key, in a file without a name: it is gone with the process, however that ends.

    Args:
        folder: where there is room for all lines, and as much again for what is being sent.

    Raises:
        StoreError: the disk is full, or can not be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with self._told():
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  it is closed with the spool
        self._places: dict[bytes, tuple[int, int]] = {}
        self._end = 0

    def add(self, key: bytes, line: bytes) -> None:
        """Keep a line."""
        with self._told():
            self._file.seek(self._end)
            self._file.write(line)
        self._places[key] = (self._end, len(line))
        self._end += len(line)

    def length(self, key: bytes) -> int:
        """The bytes of a line."""
        return self._places[key][1]

    def discard(self, key: bytes) -> None:
        """Forget a line; its room is used again once no line is left."""
        del self._places[key]
        if not self._places:
            self._file.truncate(0)
            self._end = 0

    def copy(self, keys: Iterable[bytes]) -> IO[bytes]:
        """The lines of some keys, in their order, in a file of their own without a name."""
        with self._told():
            file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  the caller closes it
            for key in keys:
                place, length = self._places[key]
                self._file.seek(place)
                file.write(self._file.read(length))
            file.flush()
            file.seek(0)
        return file

    def close(self) -> None:
        """Give the room back."""
        self._file.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"Requests can not be spooled in `{self._folder}`: {error.strerror}. "
                "Make room, or set HF_SYNTHLABELS_HOME to another folder."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
