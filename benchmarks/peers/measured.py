"""What every measured program shares: its arguments, its rows, and what it says of itself. Standard library only.

Each peer runs in its own environment, so this module is found by its folder and needs nothing else.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.answers import LABELS, label_of, text_of

__all__ = ["LABELS", "SYSTEM", "arguments", "count_right", "measured", "text_of"]

SYSTEM = (
    "Label the text that the user gives between <text> and </text>. Which topic is it about? The labels are: "
    "sports, business, science, politics. Answer with a JSON object with the key label."
)


def arguments() -> argparse.Namespace:
    """Settings of a measured program."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="what is kept on disk stands here")
    parser.add_argument("--streamed", action="store_true")
    return parser.parse_args()


def count_right(labels: Iterable[object]) -> int:
    """How many of the labels, in the order of the rows, are those that the server gave."""
    return sum(label == label_of(b"%07d" % number) for number, label in enumerate(labels))


def measured(run: Callable[[], int]) -> None:
    """Run once and print what it took as one line of JSON; `run` returns how many labels were right."""
    before, began = _cpu_s(), time.monotonic()
    right = run()
    seconds, cpu_s = time.monotonic() - began, _cpu_s() - before
    found = {"seconds": seconds, "cpu_s": cpu_s, "peak_bytes": _peak_bytes(), "right": right}
    print("\nMEASURED " + json.dumps(found), flush=True)


def _cpu_s() -> float:
    """Processor time of this process and of its finished children, user and system."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _peak_bytes() -> int:
    """Largest resident memory of this process, or of a child where that is larger."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    # `ru_maxrss` of a new process begins at that of anyone who started it; the high-water mark does not.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return max(int(line.split()[1]), children) * 1024
    return max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, children) * 1024
