"""KeyLocks: which requests a process has on the way, so that no other one pays for the same answer."""

from __future__ import annotations

import logging
import os
import struct
import sys
import threading
from pathlib import Path

_LOGGER = logging.getLogger(__name__)

# `struct flock`: type, whence, start, length, pid; on macOS start, length, pid, type, whence.
MACOS_FLOCK = struct.Struct("qqihh")
LINUX_FLOCK = struct.Struct("hhqqi4x")


class KeyLocks:
    """Locks on single bytes of a file, one byte for each key.

    The system releases a process's locks when it ends, however it ends: a claim never outlives its owner, and nothing
    has to be written or cleaned up. Where the system or the file system has no such locks, every claim is granted, two
    processes may pay for the same answer, and a warning says why.

    Args:
        path: the file; made empty, and it stays so.
    """

    def __init__(self, path: Path) -> None:
        self._file: int | None = None
        self._held: set[str] = set()
        self._changing = threading.Lock()
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError:
            # The folder is read-only: nothing can be kept there either, and the store says so.
            return

    def acquire(self, key: str) -> bool:
        """Claim a key; False if another holder of the file has it."""
        with self._changing:
            if key in self._held:
                return True
            if not self._lock(key, is_locking=True):
                return False
            self._held.add(key)
            return True

    def release(self, key: str) -> None:
        """Let others have a key; nothing is done if it is not held."""
        with self._changing:
            if key in self._held:
                self._held.discard(key)
                self._lock(key, is_locking=False)

    def close(self) -> None:
        """Give everything back."""
        with self._changing:
            self._held.clear()
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _lock(self, key: str, *, is_locking: bool) -> bool:
        if self._file is None:
            return True
        # Sixty bits of the hash: two keys hardly ever share a byte, and that would only make one wait.
        place = int(key[:15], 16)
        try:
            return _lock_byte(self._file, place, is_locking=is_locking)
        except (OSError, ImportError, NotImplementedError) as error:
            _LOGGER.warning("Two processes that ask the same at the same moment may both pay for it: %s.", error)
            os.close(self._file)
            self._file = None
        return True


def _lock_byte(file: int, place: int, *, is_locking: bool) -> bool:
    """Lock or unlock a byte of a file for this file handle; False if another handle has it.

    Raises:
        OSError: the file system has no such locks.
        NotImplementedError: the system has none.
    """
    if sys.platform == "win32":
        import msvcrt

        # Its C library knows 31 bits.
        os.lseek(file, place % 2**31, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK if is_locking else msvcrt.LK_UNLCK, 1)
        except PermissionError:
            return not is_locking
        return True
    import fcntl

    # Locks of the file handle, not of the process: those would be lost when any handle of the file is closed.
    command = getattr(fcntl, "F_OFD_SETLK", 90 if sys.platform == "darwin" else None)
    if command is None:
        raise NotImplementedError(f"{sys.platform} has no locks of open files")
    kind = fcntl.F_WRLCK if is_locking else fcntl.F_UNLCK
    if sys.platform == "darwin":
        lock = MACOS_FLOCK.pack(place, 1, 0, kind, os.SEEK_SET)
    else:
        lock = LINUX_FLOCK.pack(kind, os.SEEK_SET, place, 1, 0)
    try:
        fcntl.fcntl(file, command, lock)
    except (BlockingIOError, PermissionError):
        return False
    return True
