"""Damage to the file of a response store: flipped bytes, half a file, a torn write-ahead log."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reliability.crash import Rows, job
from benchmarks.reliability.jobs import Ended, Job
from benchmarks.serving import Served

__all__ = ["Damaged", "damaged_stores"]

FLIPS = 20
ANSWER = b'\\"label\\": \\"'
"""As the payload of an answer contains it."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """A store that was damaged, and the run after it."""

    name: str
    answers: int
    """Paid for before."""
    asked_again: int
    mislabeled: int
    equal: bool
    """Whether the labels are in the end those of an undisturbed run."""
    seen: str
    """What the user saw in the run after the damage."""
    rescued: bool
    """Whether the run moved the store aside, and the user had to export and import it as the message says."""


def damaged_stores(folder: Path, rows: int, seed: int, expected: Rows) -> Iterator[Damaged]:
    """Damage copies of a whole store and of one whose run was killed, and run again over each."""
    draw = random.Random(seed)
    whole: list[tuple[str, Callable[[Path], None]]] = [
        (f"{FLIPS} answers with a flipped byte", lambda store: _flip_in_answers(store, draw)),
        (f"{FLIPS} flipped bytes anywhere", lambda store: _flip(store, draw)),
        ("the file cut to half", lambda store: _cut(store, 0.5)),
        ("its first 100 bytes zeroed", _behead),
        ("the file emptied", lambda store: _cut(store, 0.0)),
    ]
    torn: list[tuple[str, Callable[[Path], None]]] = [
        ("killed, then its log cut to two thirds", lambda store: _cut(_log(store), 2 / 3)),
        ("killed, then a flipped byte in its log", lambda store: _flip(_log(store), draw, 1)),
    ]
    with job(folder / "origin", rows) as (server, here):
        here.run()
        yield from _each(folder, server, here, whole, expected)
    with job(folder / "killed", rows) as (server, here):
        process = here.start()
        server.wait_billed(rows // 2)
        here.kill(process)
        yield from _each(folder, server, here, torn, expected)


def _each(
    folder: Path, server: Served, origin: Job, harms: list[tuple[str, Callable[[Path], None]]], expected: Rows
) -> Iterator[Damaged]:
    answers = server.stats()["billed"]
    for place, (name, harm) in enumerate(harms):
        here = Job(folder / f"{origin.folder.name}-{place}", origin.base_url, origin.rows)
        here.write()
        shutil.copytree(origin.store.parent, here.store.parent)
        harm(here.store)
        before = server.stats()["billed"]
        first = here.run()
        last = _rescued(here) if first.status == 2 else first
        yield Damaged(
            name=name,
            answers=answers,
            asked_again=server.stats()["billed"] - before,
            mislabeled=here.mislabeled(),
            equal=last.status == 0 and here.labeled() == expected,
            seen=first.seen,
            rescued=first.status == 2,
        )


def _rescued(here: Job) -> Ended:
    """Follow the error message: export the readable answers of the file that was moved aside, and import them."""
    moved = [file for file in here.store.parent.glob("*.damaged-*") if not file.name.endswith(("-wal", "-shm"))]
    for file in moved:
        here.tool("cache", "export", "--store", str(file), "-o", "saved.jsonl")
    if (here.folder / "saved.jsonl").exists():
        here.tool("cache", "import", "saved.jsonl")
    return here.run()


def _log(store: Path) -> Path:
    return store.with_name(store.name + "-wal")


def _flip(file: Path, draw: random.Random, count: int = FLIPS) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(count):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)


def _flip_in_answers(store: Path, draw: random.Random) -> None:
    content = bytearray(store.read_bytes())
    places = []
    place = content.find(ANSWER)
    while place >= 0:
        places.append(place + len(ANSWER))
        place = content.find(ANSWER, place + 1)
    for place in draw.sample(places, FLIPS):
        # Another letter: still JSON, still text.
        content[place] ^= 1
    store.write_bytes(content)


def _cut(file: Path, share: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])


def _behead(store: Path) -> None:
    content = store.read_bytes()
    store.write_bytes(bytes(100) + content[100:])
