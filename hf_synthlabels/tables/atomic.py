"""Files that have their name only when they are complete."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A file beside the target to write to, which replaces the target at the end; after an error it is removed.

    Raises:
        OSError: the folder cannot be written to, or the disk is full. The target is as it was before.
    """
    # A link stays a link: the file that it names is replaced.
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
    """Write a text as UTF-8, whole or not at all."""
    with atomic_path(path) as part:
        part.write_bytes(text.encode())
    return Path(path)


def _sync_folder(folder: Path) -> None:
    """Make a new name survive a crash of the machine, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
