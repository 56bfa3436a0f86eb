"""How many calls between modules of the package a row crosses on its way through `load_dataset`.

    python -m benchmarks.hops

A hop is a pair of a module and a function of another module that is called from it, directly or through a library, in
any thread. The recipe has one row, and a server on loopback answers. Hops that occur more often with more rows belong
to the row; the others belong to the set-up of a run.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.answers import LABELS, text_of
from benchmarks.service import Options
from benchmarks.serving import serving

__all__ = ["main"]

MANY_ROWS = 2_500
"""More rows than any part of the package handles at once, so that each of their hops occurs more often."""

Hop = tuple[str, str]
"""The calling module, and the called function with its module."""


def main() -> None:
    """Print the hops of a row and of the set-up, one a line, and their numbers by calling subpackage."""
    with tempfile.TemporaryDirectory() as folder, serving(Options(latency_s=0.001)) as server:
        os.environ["HF_SYNTHLABELS_HOME"] = folder
        # The first run imports what is imported on first use.
        _, one, many = (hops(Path(folder), server.base_url, rows) for rows in (2, 1, MANY_ROWS))
    of_row = sorted(hop for hop, count in one.items() if many[hop] > count)
    of_set_up = sorted(set(one) - set(of_row))
    for title, lines in (("set-up", of_set_up), ("row", of_row)):
        callers = Counter(caller.split("/")[0] for caller, _ in lines)
        print(f"{title}: {len(lines)} hops ({', '.join(f'{name} {count}' for name, count in callers.items())})")
        print("\n".join(f"  {caller} -> {callee}" for caller, callee in lines))


def hops(folder: Path, base_url: str, rows: int) -> Counter[Hop]:
    """How often each hop occurs in a run over so many rows."""
    import datasets

    import hf_synthlabels

    package = str(Path(hf_synthlabels.__file__).parent) + os.sep
    data, recipe = folder / f"{rows}.jsonl", folder / f"{rows}.yaml"
    data.write_text("".join(json.dumps({"text": f"{rows} {text_of(row)}"}) + "\n" for row in range(rows)))
    recipe.write_text(json.dumps(_recipe(data, base_url)))
    calls: Counter[Hop] = Counter()

    def profile(frame: FrameType, event: str, argument: Any) -> None:  # noqa: ARG001  the signature of a profiler
        callee = frame.f_code.co_filename
        if event != "call" or not callee.startswith(package):
            return
        back = frame.f_back
        while back is not None and not back.f_code.co_filename.startswith(package):
            back = back.f_back
        if back is not None and (caller := back.f_code.co_filename) != callee:
            name = frame.f_code.co_qualname
            calls[caller.removeprefix(package), f"{callee.removeprefix(package)}:{name}"] += 1

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        datasets.load_dataset("hf_synthlabels", data_files=str(recipe), cache_dir=str(folder / "cache"))
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return calls


def _recipe(data: Path, base_url: str) -> dict[str, Any]:
    return {
        "name": f"hops-{data.stem}",
        "source": {"path": "json", "data_files": str(data)},
        "task": {"kind": "text-classification", "labels": list(LABELS)},
        "annotator": {"client": "openai", "model": "bench-1", "base_url": base_url, "api_key_env": None},
    }


if __name__ == "__main__":
    main()
