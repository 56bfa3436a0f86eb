"""Locks on request keys, so that two processes never pay for the same answer."""

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
    """Locks on single bytes of a file, one byte per key.

    The system releases a process's locks when it ends, however it ends: a lock never outlives its owner, and nothing
    has to be written or cleaned up. Without such locks in the system or the file system every lock is granted, two
    processes may pay for the same answer, and a warning says why.
    """

    def __init__(self, path: Path) -> None:
        self._file: int | None = None
        self._held: set[str] = set()
        self._changing = threading.Lock()
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError:
            # The folder is read-only: the store cannot write there either, and reports it.
            return

    def acquire(self, key: str) -> bool:
        """Lock a key; False if another process holds it."""
        with self._changing:
            if key in self._held:
                return True
            if not self._lock(key, is_locking=True):
                return False
            self._held.add(key)
            return True

    def release(self, key: str) -> None:
        """Release a key; does nothing if it is not held."""
        with self._changing:
            if key in self._held:
                self._held.discard(key)
                self._lock(key, is_locking=False)

    def close(self) -> None:
        """Release all keys."""
        with self._changing:
            self._held.clear()
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _lock(self, key: str, *, is_locking: bool) -> bool:
        if self._file is None:
            return True
        # Sixty bits of the hash: two keys hardly ever share a byte, and then one only waits.
        offset = int(key[:15], 16)
        try:
            return _lock_byte(self._file, offset, is_locking=is_locking)
        except (OSError, ImportError, NotImplementedError) as error:
            _LOGGER.warning("Two processes that send the same request at the same time may both pay for it: %s.", error)
            os.close(self._file)
            self._file = None
        return True


def _lock_byte(file: int, offset: int, *, is_locking: bool) -> bool:
    """Lock or unlock a byte for this file handle; False if another handle has it.

    Raises:
        OSError: the file system has no such locks.
        NotImplementedError: the system has no such locks.
    """
    if sys.platform == "win32":
        import msvcrt

        # Its C library supports 31 bits.
        os.lseek(file, offset % 2**31, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK if is_locking else msvcrt.LK_UNLCK, 1)
        except PermissionError:
            return not is_locking
        return True
    import fcntl

    # Locks of the file handle. Locks of the process are lost when any handle of the file is closed.
    command = getattr(fcntl, "F_OFD_SETLK", 90 if sys.platform == "darwin" else None)
    if command is None:
        raise NotImplementedError(f"{sys.platform} has no locks of open files")
    kind = fcntl.F_WRLCK if is_locking else fcntl.F_UNLCK
    if sys.platform == "darwin":
        lock = MACOS_FLOCK.pack(offset, 1, 0, kind, os.SEEK_SET)
    else:
        lock = LINUX_FLOCK.pack(kind, os.SEEK_SET, offset, 1, 0)
    try:
        fcntl.fcntl(file, command, lock)
    except (BlockingIOError, PermissionError):
        return False
    return True
