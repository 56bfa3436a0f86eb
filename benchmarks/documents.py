"""Tables as Markdown and CSV, the machine in words, and the part of a document that a script writes."""

from __future__ import annotations

import csv
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

__all__ = ["Table", "machine", "put_block", "read_csv", "table", "write_csv", "write_tables"]

NUMBER = r"[+\-−]?(?:\d[\d,]*)?\.?\d+(?:e-\d+)?"
INTERVAL = re.compile(rf"({NUMBER})(%?) \[({NUMBER}), ({NUMBER})\]")
ABSENT = ("", "–", "unknown", "nan")


@dataclass(frozen=True)
class Table:
    """Column names and rows of cells; a cell is text, a number or an estimate with its interval."""

    head: Sequence[str]
    rows: Sequence[Sequence[object]]

    def __str__(self) -> str:
        return table(self.head, self.rows)

    def columns(self, *names: str) -> Table:
        """The table with these columns only."""
        places = [list(self.head).index(name) for name in names]
        return Table(names, [[row[place] for place in places] for row in self.rows])


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = [f"| {' | '.join(head)} |", "|" + "|".join(["---", *["---:"] * (len(head) - 1)]) + "|"]
    lines += [f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV.

    `0.5 [0.4, 0.6]` takes the columns `name`, `name low` and `name high`. Numbers have a leading zero, no plus sign and
    no thousands separators; absent values are empty.
    """
    cells = [[str(cell).strip("*").replace("`", "") for cell in row] for row in rows]
    wide = [any(INTERVAL.fullmatch(row[place]) for row in cells) for place in range(len(head))]
    names = [part for name, split in zip(head, wide, strict=True) for part in (_parts(name) if split else [name])]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for row in cells:
            writer.writerow(
                [
                    part
                    for cell, split in zip(row, wide, strict=True)
                    for part in (_split(cell) if split else [_plain(cell)])
                ]
            )


def write_tables(page: Path, tables: Mapping[str, Table]) -> None:
    """Write the tables of a results page into the folder of its name, as `NAME.csv`."""
    for name, each in tables.items():
        write_csv(page.with_suffix("") / f"{name}.csv", each.head, each.rows)


def read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    """Column names and rows that `write_csv` wrote, with three columns for an interval."""
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    return head, rows


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


def _parts(name: str) -> list[str]:
    return [name, f"{name} low", f"{name} high"]


def _split(cell: str) -> list[str]:
    match = INTERVAL.fullmatch(cell)
    return (
        [_plain(cell), "", ""] if match is None else [_plain(match[1] + match[2]), _plain(match[3]), _plain(match[4])]
    )


def _plain(cell: str) -> str:
    """A number without what makes it readable, other text as it is."""
    if cell in ABSENT:
        return ""
    if not re.fullmatch(rf"{NUMBER}%?", cell):
        return cell
    digits = cell.replace("−", "-").replace(",", "").removeprefix("+")
    return re.sub(r"^(-?)\.", r"\g<1>0.", digits)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists() and (found := re.search(r"model name\s*:\s*(.+)", info.read_text())):
        return found[1].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
