"""How long the review page waits for its server, with 1,000 and with 100,000 rows, at the beginning and at the end.

    python -m benchmarks.review              # both sizes
    python -m benchmarks.review --write      # into docs/review.md

The server is the one of `hf-synthlabels review`, in its own process; calls come one after the other over one
connection on loopback, as those of a page do. Decisions are on disk before they are answered.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.documents import machine, put_block, table

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "review.md"
NAMES = ["politics", "sport", "economy", "culture", "weather"]
SIZES = (1_000, 100_000)
CALLS = 100
WORST_MS = 200.0


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--write", action="store_true")
    told = parser.parse_args()
    lines, slowest = [], 0.0
    for rows in told.sizes:
        for share in (0.0, 1.0):
            with TemporaryDirectory() as folder:
                found = _measure(Path(folder), rows, share, told.calls)
            for name, times in found["calls"].items():
                ordered = sorted(times)
                worst = ordered[-1]
                slowest = max(slowest, worst)
                lines.append(
                    (
                        name,
                        f"{rows:,}",
                        f"{2 * round(share * rows):,}",
                        f"{median(times):.1f}",
                        f"{ordered[int(0.95 * (len(ordered) - 1))]:.1f}",
                        f"{worst:.1f}",
                    )
                )
            print(f"{rows:,} rows, {share:.0%} labeled by two: start {found['start_s']:.1f} s, {found['mb']:.0f} MB")
    head = ("call", "rows", "labels before", "median ms", "95% ms", "slowest ms")
    text = f"{machine(('starlette', 'uvicorn', 'datasets'))}\n\n{table(head, lines)}"
    print(text)
    print(f"\nslowest call: {slowest:.0f} ms (wanted: under {WORST_MS:.0f})")
    if told.write:
        put_block(DOCUMENT, "speed", text)


def _measure(folder: Path, rows: int, share: float, calls: int) -> dict[str, Any]:
    data = folder / "data.parquet"
    _write(data, rows)
    if share:
        _label(data, share)
    began = time.perf_counter()
    with _serving(data) as (port, process):
        page = Page(port)
        page.call("setup")
        start_s = time.perf_counter() - began
        found = {name: [act() for _ in range(calls)] for name, act in _acts(page, rows).items()}
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
        memory = re.search(r"VmHWM:\s+(\d+)", status)
    return {"calls": found, "start_s": start_s, "mb": int(memory[1]) / 1024 if memory else 0}


class Page:
    """What asks the server: one connection, as a browser has it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, name: str, **said: Any) -> Any:
        body = json.dumps({"annotator": "cyd", **said})
        self.connection.request("POST", f"/api/{name}", body, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        content = json.loads(answer.read())
        if answer.status != 200:
            raise SystemExit(f"{name}: {content}")
        return content

    def timed(self, name: str, **said: Any) -> float:
        began = time.perf_counter()
        self.call(name, **said)
        return (time.perf_counter() - began) * 1000


def _acts(page: Page, rows: int) -> dict[str, Callable[[], float]]:
    """The calls that a page makes during labeling, adjudication and reading."""
    draw = random.Random(1)

    def decide() -> float:
        row = page.call("next")["rows"][0]
        return page.timed("decide", row=row["row"], digest=row["digest"], value=draw.choice(NAMES))

    def undo() -> float:
        decide()
        return page.timed("undo")

    def report() -> float:
        # After a label the report is another one: what counts is the answer, not the thread that makes it.
        decide()
        return page.timed("report")

    return {
        "next rows": lambda: page.timed("next"),
        "store a label": decide,
        "undo": undo,
        "show the LLM's label": lambda: page.timed("show", row=draw.randrange(rows)),
        "list disagreements": lambda: page.timed("disagreements"),
        "list where the LLM was unsure": lambda: page.timed("disagreements", show="draws"),
        "open a row": lambda: page.timed("case", row=draw.randrange(rows)),
        "report": report,
        "rows of a cell": lambda: page.timed("cell", human="sport", llm="economy"),
    }


def _write(path: Path, rows: int) -> None:
    from datasets import ClassLabel, Dataset, Features, Value

    draw = random.Random(0)
    words = [f"word{number}" for number in range(400)]
    features = Features(
        {
            "text": Value("string"),
            "llm_label": ClassLabel(names=NAMES),
            "llm_label_status": Value("string"),
            "llm_label_confidence": Value("float32"),
            "inclusion_probability": Value("float64"),
        }
    )
    content = {
        "text": [" ".join(draw.choices(words, k=draw.randint(10, 50))) for _ in range(rows)],
        "llm_label": [draw.randrange(len(NAMES)) for _ in range(rows)],
        "llm_label_status": ["labelled"] * rows,
        "llm_label_confidence": [draw.choice([1.0, 0.9, 0.7]) for _ in range(rows)],
        "inclusion_probability": [draw.choice([0.1, 0.2]) for _ in range(rows)],
    }
    Dataset.from_dict(content, features=features).to_parquet(str(path))


def _label(data: Path, share: float) -> None:
    """Two people have labeled the first rows, nine in ten as the LLM did."""
    from hf_synthlabels.review import DecisionStore, default_store, open_review
    from hf_synthlabels.review.decision_store import Event

    rows, draw = open_review(str(data)), random.Random(2)
    count = round(share * len(rows))
    with DecisionStore(default_store(str(data))) as store:
        for name in ("ann", "bob"):
            events = []
            for row in range(count):
                llm = rows.llm_labels[row]
                value = llm if draw.random() < 0.9 else draw.choice(NAMES)
                digest = rows.row(row).digest
                events.append(Event(f"{name}{row}", name, row, digest, "label", value, llm, seconds=3.0))
            store.add_all(events)


@contextmanager
def _serving(data: Path) -> Iterator[tuple[int, int]]:
    command = [str(Path(sys.executable).parent / "hf-synthlabels"), "review", str(data), "--port", "0", "--show-llm"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        port = None
        for line in server.stdout:
            if found := re.search(r"http://[\d.]+:(\d+)/", line):
                port = int(found[1])
                break
        if port is None:
            raise SystemExit("the server did not start")
        try:
            yield port, server.pid
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
