"""Statuses of the rows when the server, the answers or the clock are faulty."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.answers import Fault, text_of
from benchmarks.reliability.jobs import Job
from benchmarks.service import Options
from benchmarks.serving import serving

__all__ = ["CASES", "Case", "Outcome", "outcomes"]

LATENCY_S = 0.02

JUMPING_CLOCK = """
import random, threading, time

real, draw = time.time, random.Random(1)
state = {"offset": 0.0, "until": 0.0}

def jumping():
    now = time.monotonic()
    if now >= state["until"]:
        state.update(offset=draw.choice([-86400.0, -60.0, 0.0, 60.0, 3600.0]), until=now + 0.2)
    return real() + state["offset"]

time.time = jumping
"""
"""A `sitecustomize` whose wall clock jumps five times a second, by up to a day."""


@dataclass(frozen=True, slots=True)
class Case:
    """A fault, and what may become of the rows that it strikes."""

    name: str
    faults: tuple[str, ...] = ()
    """As `Fault.parse` reads them."""
    status: str = "labelled"
    """Of the rows that a fault strikes always; those that it strikes now and then are labeled in the end."""
    ends: bool = False
    """Whether the run must end with an error."""
    server: Mapping[str, Any] = field(default_factory=dict)
    """Further options of the server."""
    annotator: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the recipe's annotator."""
    clock: bool = False
    """Whether the clock jumps."""


BUCKET = {"rate": 200.0, "burst": 100.0}

CASES = (
    Case("429 storm with Retry-After: 200 requests/s are let through", server=BUCKET),
    Case("429 storm without Retry-After", server={**BUCKET, "retry_after": False}),
    Case("HTTP 500 for 20% of the tries", ("http500:0.2",)),
    Case("connection reset for 10% of the tries", ("reset:0.1",)),
    Case("2% of the tries hang for ever (`timeout_s: 1`)", ("hang:0.02",), annotator={"timeout_s": 1}),
    Case("10% of the bodies take 1 s", ("slow_body:0.1",)),
    Case(
        "5% of the bodies take 5 s (`timeout_s: 1`)",
        ("slow_body:0.05",),
        server={"slow_s": 5.0},
        annotator={"timeout_s": 1},
    ),
    Case("half a JSON document as the body of 10% of the tries", ("torn_body:0.1",)),
    Case("10% of the bodies break off", ("cut_body:0.1",)),
    Case("the answer is half a JSON object, 20% of the rows", ("torn_json:0.2:row",), "unparsed"),
    Case("a label that is not in the list, 20% of the rows", ("wrong_label:0.2:row",), "unparsed"),
    Case("prose around the answer that names another label, 20% of the rows", ("prose:0.2:row",)),
    Case("empty content, 20% of the rows", ("empty:0.2:row",), "unparsed"),
    Case("refusal, 20% of the rows", ("refusal:0.2:row",), "refused"),
    Case("`finish_reason: length`, 20% of the rows", ("length:0.2:row",), "truncated"),
    Case("one key twice with two labels, 20% of the rows", ("duplicated_keys:0.2:row",), "unparsed"),
    Case("quotation marks of other languages, 20% of the rows", ("foreign_quotes:0.2:row",)),
    Case("characters of no width within the label, 20% of the rows", ("zero_width:0.2:row",)),
    Case("HTTP 400 for 2% of the rows, always", ("http400:0.02:row",), "failed"),
    Case("HTTP 500 for 2% of the rows, always", ("http500:0.02:row",), "failed", annotator={"max_retries": 3}),
    Case("HTTP 401 for all rows", ("http401:1",), ends=True),
    Case("HTTP 500 for all rows", ("http500:1",), ends=True),
    Case("the clock jumps by up to a day, five times a second", clock=True),
    Case("the clock jumps during a 429 storm", server=BUCKET, clock=True),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Statuses of the rows."""

    case: Case
    struck: int
    """Rows that the fault strikes always."""
    statuses: Mapping[str, int]
    lost: int
    """Rows that are missing, moved, or without the status that fits them."""
    mislabeled: int
    """Rows with a label that is not that of the server."""
    requests: int
    billed: int
    rows: int
    seconds: float
    status: int
    """Of the process."""
    seen: str

    @property
    def wasted(self) -> int:
        """Requests beyond one for each row."""
        return self.requests - self.rows

    @property
    def as_promised(self) -> bool:
        """Whether the run ended as it must, with no row lost or mislabeled."""
        return (self.status == 2) == self.case.ends and self.lost == 0 and self.mislabeled == 0


def outcomes(folder: Path, rows: int, cases: Sequence[Case] = CASES, *, at_once: int = 1) -> Iterator[Outcome]:
    """Run each case with its own server and store, in the order of the cases."""
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(lambda place: _outcome(folder / str(place), rows, cases[place]), range(len(cases)))


def _outcome(folder: Path, rows: int, case: Case) -> Outcome:
    faults = tuple(Fault.parse(text) for text in case.faults)
    environment = {}
    if case.clock:
        (folder / "clock").mkdir(parents=True)
        (folder / "clock" / "sitecustomize.py").write_text(JUMPING_CLOCK, encoding="utf-8")
        path = [str(folder / "clock"), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(path)
    with serving(Options(latency_s=LATENCY_S, faults=faults, **case.server)) as server:
        job = Job(folder, server.base_url, rows, annotator=case.annotator)
        job.write()
        began = time.monotonic()
        ended = job.run(environment=environment)
        seconds = time.monotonic() - began
        counted = server.stats()
    labeled = job.labeled()
    always = [fault for fault in faults if fault.always]
    struck = [any(fault.strikes(b"%07d" % number, 0) for fault in always) for number in range(rows)]
    fitting = 0
    statuses: dict[str, int] = {}
    for number, row in enumerate(labeled):
        status = row["llm_label_status"]
        statuses[status] = statuses.get(status, 0) + 1
        fitting += row["text"] == text_of(number) and status == (case.status if struck[number] else "labelled")
    return Outcome(
        case=case,
        struck=sum(struck),
        statuses=statuses,
        lost=0 if case.ends and ended.status == 2 else rows - fitting,
        mislabeled=job.mislabeled(),
        requests=counted["requests"],
        billed=counted["billed"],
        rows=rows,
        seconds=seconds,
        status=ended.status,
        seen=ended.seen,
    )
