"""What is left, and what is paid twice, after a kill, an interruption, a race, a full disk, a damaged store."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reliability.jobs import Ended, Job
from benchmarks.service import Options
from benchmarks.serving import Served, serving

__all__ = ["Crash", "Kill", "Rows", "disk_full", "job", "kills", "race", "undisturbed"]

LATENCY_S = 0.02
SMALL_DISK_BYTES = 1_000_000

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Kill:
    """A run that was ended by a signal and run again."""

    streamed: bool
    """Whether the rows were written as they came, or all at the end."""
    moment: int
    """Answers that had been billed just before the signal was sent."""
    in_flight: int
    """Requests that the server had not answered yet."""
    billed: int
    billed_twice: int
    reported: int
    """Requests that the ledger says may have been billed and lost."""
    equal: bool
    """Whether the labels are those of an undisturbed run, row by row."""
    first: Ended
    again: Ended
    ledger: str
    """What `hf-synthlabels cache stats` says of it; asked for the first run only."""


@dataclass(frozen=True, slots=True)
class Crash:
    """Another fault, and its effect."""

    name: str
    equal: bool
    mislabeled: int
    billed: int
    billed_twice: int
    seen: str
    """What the user saw when it happened."""


@contextmanager
def job(folder: Path, rows: int, **settings: Any) -> Iterator[tuple[Served, Job]]:
    """A server and a recipe that asks it."""
    with serving(Options(latency_s=LATENCY_S)) as server:
        made = Job(folder, server.base_url, rows, **settings)
        made.write()
        yield server, made


def undisturbed(folder: Path, rows: int) -> Rows:
    """The result of an undisturbed run.

    Raises:
        RuntimeError: it does not come to an end.
    """
    with job(folder, rows) as (server, here):
        ended = here.run()
        if ended.status != 0 or server.stats()["billed"] != rows:
            raise RuntimeError(f"the undisturbed run failed: {ended.seen}")
        return here.labeled()


def kills(
    folder: Path, rows: int, count: int, seed: int, expected: Rows, *, number: int = signal.SIGKILL, at_once: int = 1
) -> Iterator[Kill]:
    """End runs at random moments with a signal, and run them again.

    Args:
        folder: each run gets its own folder in it.
        rows: of each run.
        count: how many runs; every other one writes its rows as they come.
        seed: of the moments.
        expected: the result of an undisturbed run.
        number: the signal.
        at_once: runs side by side.
    """
    draw = random.Random(seed)
    moments = [(draw.randrange(rows), draw.uniform(0, LATENCY_S)) for _ in range(count)]
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(
            lambda place: _killed(folder / str(place), rows, moments[place], expected, number, place % 2 == 1),
            range(count),
        )


def _killed(folder: Path, rows: int, moment: tuple[int, float], expected: Rows, number: int, streamed: bool) -> Kill:
    options = ["--stream"] if streamed else []
    answers, jitter_s = moment
    with job(folder, rows) as (server, here):
        process = here.start(*options)
        server.wait_billed(answers)
        time.sleep(jitter_s)
        at = server.stats()
        first = here.kill(process, number)
        again = here.run(*options)
        counted = server.stats()
        return Kill(
            streamed=streamed,
            moment=at["billed"],
            in_flight=at["in_flight"],
            billed=counted["billed"],
            billed_twice=counted["billed"] - counted["billed_rows"],
            reported=here.unsettled(),
            equal=here.labeled() == expected,
            first=first,
            again=again,
            ledger=here.tool("cache", "stats").output if folder.name == "0" else "",
        )


def race(folder: Path, rows: int, expected: Rows, *, caches: tuple[str, str] = ("one", "two")) -> Crash:
    """Two processes begin at once with the same rows and one store, each with its own cache or with a shared one."""
    with job(folder, rows) as (server, here):
        names = ("first.jsonl", "second.jsonl")
        processes = [here.start(output=name, cache=cache) for name, cache in zip(names, caches, strict=True)]
        ended = [here.end(process) for process in processes]
        worst = next((one for one in ended if one.status != 0), ended[0])
        equal = all(here.labeled(name) == expected for name in names)
        title = "two processes at once, one store, the same rows, "
        title += "one cache of `datasets`" if caches[0] == caches[1] else "a cache of `datasets` for each"
        return _crash(title, server, here, worst, equal, names[0])


def disk_full(folder: Path, rows: int, expected: Rows) -> Crash:
    """The disk of the store fills up; then there is room again."""
    home = folder / "disk"
    home.mkdir(parents=True)
    mounted = _mount(home, SMALL_DISK_BYTES)
    how = "a tmpfs" if mounted else "a limit of the size of files"
    try:
        with job(folder, rows, home=home) as (server, here):
            first = here.run() if mounted else here.run(file_bytes=SMALL_DISK_BYTES)
            kept = server.stats()["billed"]
            if mounted:
                subprocess.run(["mount", "-o", "remount,size=64m", str(home)], check=True)
            again = here.run()
            name = f"disk full after {kept:,} answers ({how} of {SMALL_DISK_BYTES // 1000} kB), then room again"
            seen = first if first.status != 0 else again
            equal = first.status == 2 and again.status == 0 and here.labeled() == expected
            return _crash(name, server, here, seen, equal)
    finally:
        if mounted:
            subprocess.run(["umount", str(home)], check=True)


def _mount(folder: Path, size: int) -> bool:
    """Whether a small file system could be mounted there."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


def _crash(name: str, server: Served, here: Job, seen: Ended, equal: bool, output: str = "labeled.jsonl") -> Crash:
    counted = server.stats()
    twice = counted["billed"] - counted["billed_rows"]
    return Crash(name, equal, here.mislabeled(output), counted["billed"], twice, seen.seen)
