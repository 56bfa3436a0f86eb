"""Throughput of judging and of annotation: the same server, rows, limits and store, in turns.

python -m benchmarks.judging            # one to two minutes
python -m benchmarks.judging --write    # into docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.documents import machine, put_block, table
from benchmarks.programs import THIS_PACKAGE, Measurement, Program, measure
from benchmarks.service import Options
from benchmarks.serving import ROOT, serving

__all__ = ["main"]

JUDGE = Program("judge", "this_judge.py")

ROWS = {64: 4_000, 128: 8_000, 512: 16_000}

TARGET = 0.9
"""The share of annotation's throughput that judging must reach."""


def main() -> None:
    """Measure both in turns, and print it."""
    parser = argparse.ArgumentParser(description="Compare judging with annotation.")
    parser.add_argument("--in-flight", nargs="+", type=int, default=[64, 128])
    parser.add_argument("--rows", type=int, help="instead of some seconds' worth")
    parser.add_argument("--repeats", type=int, default=3, help="the median is shown")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds")
    parser.add_argument("--write", action="store_true", help="put the result into docs/benchmarks.md")
    told = parser.parse_args()
    options = Options(latency_s=told.latency)
    lines = []
    for in_flight in told.in_flight:
        rows = told.rows or ROWS.get(in_flight, 4_000)
        annotation, judging = [], []
        for _ in range(told.repeats):
            annotation.append(_measured(THIS_PACKAGE, options, rows, in_flight))
            judging.append(_measured(JUDGE, options, rows, in_flight))
        share = median(one.rows_per_s for one in judging) / median(one.rows_per_s for one in annotation)
        lines.append([str(in_flight), "annotation", *_cells(annotation), "1"])
        lines.append([str(in_flight), "judge", *_cells(judging), f"{share:.2f} (target {TARGET:g})"])
    head = ("in flight", "", "rows", "rows/s", "CPU ms/row", "peak MB", "requests", "right", "of annotation")
    text = (
        f"{machine()}\n\n**Judging and annotation**, medians of {told.repeats} runs in turns, with the range; the "
        f"server answers after {told.latency * 1000:g} ms; store, ledger and limiter are on in both:\n\n"
        f"{table(head, lines)}"
    )
    print("\n" + text)
    if told.write:
        put_block(ROOT / "docs" / "benchmarks.md", "judging", text)


def _measured(program: Program, options: Options, rows: int, in_flight: int) -> Measurement:
    """One run with a new server and an empty store."""
    with serving(options) as server, tempfile.TemporaryDirectory() as folder:
        found = measure(program, server, rows=rows, in_flight=in_flight, folder=Path(folder))
    print(f"{program.name}, {in_flight} in flight: {found.rows_per_s:,.0f} rows/s", flush=True)
    return found


def _cells(runs: list[Measurement]) -> list[str]:
    speeds = [one.rows_per_s for one in runs]
    last = runs[-1]
    return [
        f"{last.rows:,}",
        f"{median(speeds):,.0f} ({min(speeds):,.0f} to {max(speeds):,.0f})",
        f"{median(one.cpu_ms_per_row for one in runs):.2f}",
        f"{median(one.peak_bytes for one in runs) / 1e6:,.0f}",
        f"{last.requests:,}",
        f"{last.right:,}",
    ]


if __name__ == "__main__":
    main()
