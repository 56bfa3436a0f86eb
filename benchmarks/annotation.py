"""How fast annotation is, what it costs the machine, and how near it is to the limit, alongside its peers.

    python -m benchmarks.annotation                            # all parts, with the peers that are installed
    python -m benchmarks.annotation --parts throughput cached  # this package alongside the bare loop
    python -m benchmarks.annotation --write                    # into docs/benchmarks.md

Everything runs against a server on loopback with a fixed latency, in one go, and in turns, so that what the machine
does meanwhile meets all alike.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.documents import machine, put_block, table
from benchmarks.environments import PEERS, installed, peer, set_up, version_of
from benchmarks.programs import (
    BARE_CODEBOOK,
    BARE_LOOP,
    CODEBOOK,
    THIS_PACKAGE,
    Measurement,
    Program,
    ProgramError,
    measure,
)
from benchmarks.server_limit import requests_per_s
from benchmarks.service import Options
from benchmarks.serving import ROOT, serving

__all__ = ["main"]

PARTS = ("throughput", "codebook", "peers", "cached", "memory")
ROWS = {64: 4_000, 128: 8_000, 512: 24_000}
"""Three to four seconds of work at the limit."""
TARGETS = {128: 0.85, 512: 0.7}
"""The share of the bare loop's throughput that this package must reach."""
PEER_ROWS = (500, 3_000)
"""Two sizes: what the larger takes longer hides the start-up, which is not what is compared."""
CACHED_ROWS = 20_000
STREAM_ROWS = (10_000, 200_000)
FULL_STREAM_ROWS = (10_000, 1_000_000)


def main() -> None:
    """Measure what was asked for, and print it as it comes."""
    told = _arguments()
    names = [name for name in told.peers.split(",") if name] if told.peers is not None else installed()
    if told.setup_peers:
        names = names or list(PEERS)
        set_up(names)
    if missing := [name for name in names if name not in installed()]:
        raise SystemExit(f"not installed: {', '.join(missing)}; known are {', '.join(PEERS)}; add --setup-peers")
    options = Options(latency_s=told.latency, tail_share=told.tail or 0.0)
    report = [machine(), _server(options)]
    if "throughput" in told.parts:
        report.append(_throughput(options, told.in_flight, told.rows, told.repeats))
    if "codebook" in told.parts:
        loops = (BARE_LOOP, BARE_CODEBOOK)
        report.append(_throughput(options, told.in_flight, told.rows, told.repeats, CODEBOOK, loops))
    if "peers" in told.parts and names:
        report.append(_beside_peers(options, told.in_flight, names))
    if "cached" in told.parts:
        report.append(_cached(options))
    if "memory" in told.parts:
        report.append(_memory(FULL_STREAM_ROWS if told.full else STREAM_ROWS))
    text = "\n\n".join(report)
    print("\n" + text)
    if told.write:
        put_block(ROOT / "docs" / "benchmarks.md", "annotation", text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure annotation.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--in-flight", nargs="+", type=int, default=list(ROWS))
    parser.add_argument("--rows", type=int, help="for the throughput, instead of three seconds' worth")
    parser.add_argument("--repeats", type=int, default=3, help="of the throughput; the median is shown")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds")
    parser.add_argument("--tail", type=float, help="the share of answers that take 2 s")
    parser.add_argument("--peers", help=f"of {','.join(PEERS)}; by default those that are installed")
    parser.add_argument("--setup-peers", action="store_true", help="install them first")
    parser.add_argument("--full", action="store_true", help="stream a million rows instead of 200,000")
    parser.add_argument("--write", action="store_true", help="put the result into docs/benchmarks.md")
    return parser.parse_args()


def _server(options: Options) -> str:
    with serving(Options(latency_s=0.0)) as server:
        most = requests_per_s(server.base_url, 512)
    tail = f" {options.tail_share:.1%} of the answers take {options.tail_s:g} s." if options.tail_share else ""
    return (
        f"The server answers after {options.latency_s * 1000:g} ms.{tail} Alone, with no latency, it answers "
        f"{most:,.0f} requests/s on 512 connections: so much can be measured at most."
    )


def _throughput(
    options: Options,
    in_flights: Sequence[int],
    rows: int | None,
    repeats: int,
    program: Program = THIS_PACKAGE,
    loops: Sequence[Program] = (BARE_LOOP,),
) -> str:
    """A program alongside bare loops, in turns; its share is that of the last loop, which sends the same bodies."""
    lines = []
    for in_flight in in_flights:
        count = rows or ROWS.get(in_flight) or int(3 * in_flight / options.latency_s)
        runs: dict[str, list[Measurement]] = {each.name: [] for each in (*loops, program)}
        for _ in range(repeats):
            for each in (*loops, program):
                runs[each.name].append(_measured(each, options, count, in_flight))
        speeds = {name: median(run.rows_per_s for run in of_program) for name, of_program in runs.items()}
        for name, of_program in runs.items():
            share = f"{speeds[name] / speeds[loops[-1].name]:.2f}"
            if name == program.name and in_flight in TARGETS:
                share += f" (target {TARGETS[in_flight]:g})"
            lines.append([f"{in_flight}", name, *_cells(of_program), share])
    head = ("in flight", "", "rows", *CELLS, f"of the {loops[-1].name}")
    return f"**Alongside the bare loop**, medians of {repeats} runs in turns, with the range:\n\n{table(head, lines)}"


CELLS = ("rows/s", "CPU ms/row", "peak MB", "disk B/row", "billed for needed", "peak in flight")


def _cells(runs: Sequence[Measurement]) -> list[str]:
    speeds = [one.rows_per_s for one in runs]
    spread = f" ({min(speeds):,.0f} to {max(speeds):,.0f})" if len(runs) > 1 else ""
    last = runs[-1]
    return [
        f"{last.rows:,}",
        f"{median(speeds):,.0f}{spread}",
        f"{median(one.cpu_ms_per_row for one in runs):.2f}",
        f"{max(one.peak_bytes for one in runs) / 1e6:,.0f}",
        f"{max(one.disk_bytes for one in runs) / last.rows:,.0f}",
        f"{max(one.billed for one in runs):,} for {last.rows:,}",
        f"{max(one.peak_in_flight for one in runs):,}",
    ]


def _beside_peers(options: Options, in_flights: Sequence[int], names: Sequence[str]) -> str:
    """All programs at two sizes; the report names a program that fails."""
    lines, notes = [], []
    for in_flight in in_flights:
        slopes: dict[str, float] = {}
        for program in (BARE_LOOP, THIS_PACKAGE, *map(peer, names)):
            try:
                small, large = (_measured(program, options, rows, in_flight) for rows in PEER_ROWS)
            except ProgramError as error:
                notes.append(f"{program.name} did not finish with {in_flight} in flight: {error.args[0][-200:]}")
                continue
            slopes[program.name] = (large.rows - small.rows) / (large.seconds - small.seconds)
            cpu_ms = 1000 * (large.cpu_s - small.cpu_s) / (large.rows - small.rows)
            wrong = "" if large.right == large.rows else f" ({large.rows - large.right:,} labels wrong or missing)"
            whole = f"{large.rows_per_s:,.0f}"
            _, _, _, *others = _cells([large])
            line = [f"{in_flight}", program.name + wrong, f"{slopes[program.name]:,.0f}", whole, f"{cpu_ms:.2f}"]
            lines.append([*line, *others])
        durable = {name: speed for name, speed in slopes.items() if name in names}
        if durable and THIS_PACKAGE.name in slopes:
            best = max(durable, key=lambda name: durable[name])
            factor = slopes[THIS_PACKAGE.name] / durable[best]
            notes.append(f"With {in_flight} in flight this package is {factor:.1f} times as fast as {best}.")
    head = ("in flight", "", "rows/s", "with start-up", *CELLS[1:])
    versions = ", ".join(f"{name} {version_of(name)}" for name in names)
    title = (
        f"**Alongside peers** ({versions}), with their limits lifted, {PEER_ROWS[1]:,} rows; the first speed is of "
        f"the rows beyond the first {PEER_ROWS[0]:,}, which hides the start-up:"
    )
    return "\n\n".join([title, table(head, lines), *notes])


def _measured(program: Program, options: Options, rows: int, in_flight: int) -> Measurement:
    with _scratch() as folder, serving(options) as server:
        one = measure(program, server, rows=rows, in_flight=in_flight, folder=folder)
    shown = f"{one.rows_per_s:,.0f} rows/s, {one.cpu_ms_per_row:.3f} ms/row"
    print(f"{program.name}, {in_flight} in flight, {rows:,} rows: {shown}", flush=True)
    return one


def _cached(options: Options) -> str:
    """The same rows once more: everything is in the store."""
    with _scratch() as folder, serving(options) as server:
        first, *again = (
            measure(THIS_PACKAGE, server, rows=CACHED_ROWS, in_flight=512, folder=folder) for _ in range(4)
        )
    speed = median(one.rows_per_s for one in again)
    asked, right = sum(one.requests for one in again), min(one.right for one in again)
    return (
        f"**Run again with every answer in the store**: {speed:,.0f} rows/s (target 20,000), {CACHED_ROWS:,} rows, "
        f"median of {len(again)}; {asked} requests, {right:,} labels right; the first time {first.rows_per_s:,.0f}."
    )


def _memory(sizes: Sequence[int]) -> str:
    """Peak memory of a stream against its length."""
    options = Options(latency_s=0.01)
    runs = []
    for rows in sizes:
        with _scratch() as folder, serving(options) as server:
            one = measure(THIS_PACKAGE, server, rows=rows, in_flight=128, folder=folder, streamed=True)
        print(f"stream of {rows:,} rows: {one.peak_bytes / 1e6:,.0f} MB, {one.rows_per_s:,.0f} rows/s", flush=True)
        runs.append(one)
    lines = [_cells([one]) for one in runs]
    ratio = runs[-1].peak_bytes / runs[0].peak_bytes
    title = f"**Memory of a stream**: {ratio:.2f} times as much for the longer one (target 1.2), answers after 10 ms:"
    return f"{title}\n\n{table(('rows', *CELLS), lines)}"


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="synthlabels-bench-") as name:
        yield Path(name)


if __name__ == "__main__":
    main()
