"""How fast annotation is, what it costs the machine, and how near it is to the limit, beside its peers.

    python -m benchmarks.annotation                      # all parts, with the peers that are installed
    python -m benchmarks.annotation --parts throughput   # this package beside the bare loop
    python -m benchmarks.annotation --write              # into docs/benchmarks.md

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
from benchmarks.programs import BARE_LOOP, THIS_PACKAGE, Measurement, Program, ProgramError, measure
from benchmarks.server import Options
from benchmarks.serving import ROOT, serving

__all__ = ["main"]

PARTS = ("throughput", "peers", "cached", "memory")
ROWS = {64: 4_000, 128: 8_000, 512: 16_000}
"""Three to four seconds of work at the limit."""
PEER_ROWS = 2_000
CACHED_ROWS = 20_000
CACHED_RUNS = 3
STREAM_ROWS = (10_000, 200_000)
FULL_STREAM_ROWS = (10_000, 1_000_000)
HEAD = ("", "rows/s", "of the bare loop", "CPU ms/row", "peak MB", "disk B/row", "billed for needed", "peak in flight")


def main() -> None:
    """Measure what was asked for, and print it as it comes."""
    told = _arguments()
    names = [name for name in told.peers.split(",") if name] if told.peers is not None else installed()
    if told.setup_peers:
        set_up(names or list(PEERS))
        names = names or installed()
    options = Options(latency_s=told.latency, tail_share=told.tail or 0.0, tail_s=2.0)
    report = [machine(), _server(options)]
    shares: dict[int, float] = {}
    if "throughput" in told.parts or "peers" in told.parts:
        peers = [peer(name) for name in names] if "peers" in told.parts else []
        for in_flight in told.in_flight:
            text, shares[in_flight] = _side_by_side(options, in_flight, told.rows, told.repeats, peers)
            report.append(text)
        if peers:
            report.append("Peers: " + ", ".join(f"{name} {version_of(name)}" for name in names) + ".")
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
    parser.add_argument("--rows", type=int, help="instead of three seconds' worth")
    parser.add_argument("--repeats", type=int, default=3, help="the median is shown")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds")
    parser.add_argument("--tail", type=float, help="the share of answers that take 2 s")
    parser.add_argument("--peers", help=f"of {','.join(PEERS)}; by default those that are installed")
    parser.add_argument("--setup-peers", action="store_true", help="install them first")
    parser.add_argument("--full", action="store_true", help="stream a million rows in place of 200,000")
    parser.add_argument("--write", action="store_true", help="put the result into docs/benchmarks.md")
    return parser.parse_args()


def _server(options: Options) -> str:
    tail = f"; {options.tail_share:.0%} of the answers take {options.tail_s:g} s" if options.tail_share else ""
    return f"The server answers after {options.latency_s * 1000:g} ms{tail}."


def _side_by_side(
    options: Options, in_flight: int, rows: int | None, repeats: int, peers: Sequence[Program]
) -> tuple[str, float]:
    """The table of one concurrency, and this package's share of the bare loop's throughput."""
    count = rows or ROWS.get(in_flight) or int(3 * in_flight / options.latency_s)
    found: dict[str, list[Measurement]] = {BARE_LOOP.name: [], THIS_PACKAGE.name: []}
    for _ in range(repeats):
        for program in (BARE_LOOP, THIS_PACKAGE):
            found[program.name].append(_measured(program, options, count, in_flight))
    failed = []
    for program in peers:
        try:
            found[program.name] = [_measured(program, options, min(count, PEER_ROWS), in_flight)]
        except ProgramError as error:
            failed.append(f"{program.name} did not finish: {str(error).splitlines()[-1][-200:]}")
            print(error, flush=True)
    limit = median(one.rows_per_s for one in found[BARE_LOOP.name])
    text = f"**{in_flight} in flight**, {count:,} rows, median of {repeats}"
    text += f" (peers: {min(count, PEER_ROWS):,} rows, once)" if peers else ""
    text += "\n\n" + table(HEAD, (_line(name, runs, limit) for name, runs in found.items()))
    return "\n\n".join([text, *failed]), median(one.rows_per_s for one in found[THIS_PACKAGE.name]) / limit


def _line(name: str, runs: Sequence[Measurement], limit: float) -> list[str]:
    middle = sorted(runs, key=lambda one: one.rows_per_s)[len(runs) // 2]
    spread = f" ({min(one.rows_per_s for one in runs):,.0f} to {max(one.rows_per_s for one in runs):,.0f})"
    return [
        name if middle.right == middle.rows else f"{name} ({middle.right:,} of {middle.rows:,} labels right)",
        f"{middle.rows_per_s:,.0f}" + (spread if len(runs) > 1 else ""),
        f"{middle.rows_per_s / limit:.2f}",
        f"{median(one.cpu_ms_per_row for one in runs):.2f}",
        f"{middle.peak_bytes / 1e6:,.0f}",
        f"{middle.disk_bytes / middle.rows:,.0f}",
        f"{middle.billed:,} for {middle.rows:,}",
        f"{middle.peak_in_flight:,}",
    ]


def _measured(program: Program, options: Options, rows: int, in_flight: int) -> Measurement:
    with _scratch() as folder, serving(options) as server:
        one = measure(program, server, rows=rows, in_flight=in_flight, folder=folder)
    print(
        f"{program.name}, {in_flight} in flight: {one.rows_per_s:,.0f} rows/s, {one.cpu_ms_per_row:.3f} ms/row",
        flush=True,
    )
    return one


def _cached(options: Options) -> str:
    """The same rows once more: everything is in the store."""
    with _scratch() as folder, serving(options) as server:
        measure(THIS_PACKAGE, server, rows=CACHED_ROWS, in_flight=512, folder=folder)
        again = [
            measure(THIS_PACKAGE, server, rows=CACHED_ROWS, in_flight=512, folder=folder) for _ in range(CACHED_RUNS)
        ]
    one = sorted(again, key=lambda run: run.rows_per_s)[CACHED_RUNS // 2]
    return (
        f"**Run again with every answer in the store**: {one.rows_per_s:,.0f} rows/s for {one.rows:,} rows "
        f"({one.requests} requests, {one.right:,} labels right)."
    )


def _memory(sizes: Sequence[int]) -> str:
    """Peak memory of a stream against its length."""
    runs = []
    for rows in sizes:
        with _scratch() as folder, serving(Options(latency_s=0.01)) as server:
            one = measure(THIS_PACKAGE, server, rows=rows, in_flight=128, folder=folder, streamed=True)
        print(f"stream of {rows:,} rows: {one.peak_bytes / 1e6:,.0f} MB, {one.rows_per_s:,.0f} rows/s", flush=True)
        runs.append(one)
    head = ("rows of the stream", "peak MB", "rows/s", "CPU ms/row", "disk B/row")
    lines = [
        (
            f"{one.rows:,}",
            f"{one.peak_bytes / 1e6:,.0f}",
            f"{one.rows_per_s:,.0f}",
            f"{one.cpu_ms_per_row:.2f}",
            f"{one.disk_bytes / one.rows:,.0f}",
        )
        for one in runs
    ]
    ratio = runs[-1].peak_bytes / runs[0].peak_bytes
    return f"**Memory of a stream**: {ratio:.2f} times as much for the long one.\n\n{table(head, lines)}"


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="synthlabels-bench-") as name:
        yield Path(name)


if __name__ == "__main__":
    main()
