"""Tables in Markdown, the machine in words, and the part of a document that a script writes."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

__all__ = ["machine", "put_block", "table"]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = [f"| {' | '.join(head)} |", "|" + "|".join(["---", *["---:"] * (len(head) - 1)]) + "|"]
    lines += [f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def machine(packages: Sequence[str] = ("aiohttp", "datasets", "pyarrow")) -> str:
    """What the numbers were measured on, and when."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {_processor()}, {os.cpu_count()} cores, {_memory_gb():.0f} GB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, {versions}. "
        f"Load of the machine at that time: {load}."
    )


def put_block(path: Path, name: str, text: str) -> None:
    """Put a text between `<!-- begin: name -->` and `<!-- end: name -->` of a document; the rest stays as it is.

    Raises:
        ValueError: the document has no such place.
    """
    document = path.read_text(encoding="utf-8")
    place = re.compile(rf"(<!-- begin: {name} -->\n).*?(<!-- end: {name} -->)", re.S)
    if not place.search(document):
        raise ValueError(f"{path} has no place for {name!r}: add `<!-- begin: {name} -->` and `<!-- end: {name} -->`")
    path.write_text(place.sub(lambda found: f"{found[1]}\n{text.strip()}\n\n{found[2]}", document), encoding="utf-8")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists() and (found := re.search(r"model name\s*:\s*(.+)", info.read_text())):
        return found[1].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
