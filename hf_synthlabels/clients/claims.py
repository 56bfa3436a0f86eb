"""Claims: which requests some process has on the way, so that no other one pays for the same answer."""

from __future__ import annotations

import fcntl
import os
import struct
import threading
from pathlib import Path

__all__ = ["Claims"]

FLOCK = struct.Struct("hhqqi4x")
"""What the system calls `struct flock`: kind, whence, start, length, process."""


class Claims:
    """Locks on single bytes of a file, one byte for each key.

    The system gives up a process's locks when it ends, however it ends: a claim never outlives who made it, and
    nothing has to be written or cleaned. Where the system or the file system knows no such locks, every claim is
    granted, and two processes may pay for the same answer.

    Args:
        path: the file; made empty, and it stays so.
    """

    def __init__(self, path: Path) -> None:
        self._file: int | None = None
        self._held: set[str] = set()
        self._changing = threading.Lock()
        if hasattr(fcntl, "F_OFD_SETLK"):
            try:
                self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError:
                # A folder that can only be read: nothing can be kept there either, and the store says so.
                return

    def take(self, key: str) -> bool:
        """Claim a key; False when another holder of the file has it."""
        with self._changing:
            if key in self._held:
                return True
            if not self._lock(key, fcntl.F_WRLCK):
                return False
            self._held.add(key)
            return True

    def give_back(self, key: str) -> None:
        """Let others have a key; nothing is done when it is not held."""
        with self._changing:
            if key in self._held:
                self._held.discard(key)
                self._lock(key, fcntl.F_UNLCK)

    def close(self) -> None:
        """Give everything back."""
        with self._changing:
            self._held.clear()
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _lock(self, key: str, kind: int) -> bool:
        if self._file is None:
            return True
        # Sixty bits of the hash: that two keys share a byte is next to impossible, and would only make one wait.
        place = int(key[:15], 16)
        try:
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, FLOCK.pack(kind, os.SEEK_SET, place, 1, 0))
        except BlockingIOError:
            return False
        except OSError:
            # Not on this file system.
            os.close(self._file)
            self._file = None
        return True
