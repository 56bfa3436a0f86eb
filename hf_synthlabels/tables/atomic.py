"""Atomic file writes."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary file that replaces the target on success and is removed on error.

    Raises:
        OSError: The folder is not writable or the disk is full. The target is unchanged.
    """
    # A symbolic link is kept; the file that it points to is replaced.
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if target.exists() and not target.is_file():
        # A device such as /dev/stdout cannot be replaced.
        yield target
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        if target.exists():
            part.chmod(target.stat().st_mode & 0o7777)
        part.replace(target)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    _sync_folder(target.parent)


def write_text(path: str | Path, text: str) -> Path:
    """Write a text as UTF-8, atomically."""
    with atomic_path(path) as part:
        part.write_bytes(text.encode())
    return Path(path)


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a system crash, where supported."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
