"""Training speed of a student, of plain Trainer and of a bare PyTorch loop; and the cost of a grid.

    python -m benchmarks.training                  # about seven minutes on two cores
    python -m benchmarks.training --parts speed    # without the seeds' F1 and the grid
    python -m benchmarks.training --write          # into docs/benchmarks.md

All arms train the same rows, tokenised beforehand, from the same weights, with the same optimiser, schedule and number
of updates, on one thread, in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np

from benchmarks.documents import machine, put_block, table
from benchmarks.serving import ROOT

__all__ = ["main"]

PARTS = ("speed", "parity", "grid")
ROWS = {"mini": 320, "minilm": 96}
"""By encoder: some seconds of training in the quickest arm."""
LAWS = {"tweet": (30, 0.55), "sentence": (37, 0.8), "comment": (90, 0.7)}
"""Length laws: mean tokens and spread of a log-normal law; cut at 128 tokens, as the defaults of the scripts do."""
ARMS = {
    "padded": "run_classification (pad to 128)",
    "dynamic": "Trainer, dynamic padding",
    "grouped": "Trainer, grouped by length",
    "loop": "bare PyTorch loop on sorted batches",
    "ours": "StudentTrainer",
    "grouped_bf16": "Trainer, grouped by length, bf16",
    "ours_bf16": "StudentTrainer, bf16",
}
NAMES = {**ARMS, "setfit": "SetFit (pairs, then a linear head)"}
ONCE = ("padded", "grouped_bf16", "ours_bf16")
"""Measured once, on sentences."""
TARGETS = {"dynamic": 2.0, "loop": 0.9}
"""On short texts: times Trainer with dynamic padding, share of the bare loop."""
SHORT = ("tweet", "sentence")
PARITY_SEEDS = 5
PARITY_ROWS = 128
SETFIT_SEEDS = 2
BATCH = 16


@dataclass(frozen=True, slots=True)
class Measurement:
    """One training in a separate process."""

    rows: int
    tokens: int
    """That are no padding."""
    cpu_s: float
    """From the first batch to the last update."""
    wall_s: float
    start_s: float
    """Processor time before and after: `Trainer` collects garbage, counts weights, makes its optimiser."""
    codes: tuple[int, ...] = ()
    """What it says of the test rows, where there are some."""
    truth: tuple[int, ...] = ()

    @property
    def cpu_ms_per_row(self) -> float:
        """Processor time; it hardly depends on what else the machine does."""
        return 1000 * self.cpu_s / self.rows


def main() -> None:
    """Measure what was asked for, and print it as it comes."""
    parser = argparse.ArgumentParser(description="Measure training.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--encoders", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--repeats", type=int, default=2, help="of the speed; the median is shown")
    parser.add_argument("--rows", type=int, help="instead of some seconds' worth")
    parser.add_argument("--write", action="store_true", help="put the result into docs/benchmarks.md")
    told = parser.parse_args()
    report = [machine(("torch", "transformers", "accelerate"))]
    if "speed" in told.parts:
        report += [_speed(encoder, told.repeats, told.rows) for encoder in told.encoders]
    if "parity" in told.parts:
        report.append(_parity())
    if "grid" in told.parts:
        report.append(_grid())
    text = "\n\n".join(report)
    print("\n" + text)
    if told.write:
        put_block(ROOT / "docs" / "benchmarks.md", "training", text)


def _speed(encoder: str, repeats: int, rows: int | None) -> str:
    count = rows or ROWS[encoder]
    lines, shares = [], []
    for law in LAWS:
        turns = [arm for turn in range(repeats) for arm in ARMS if arm not in ONCE or (turn == 0 and law == "sentence")]
        # Long texts take as long with half the rows.
        size = count if law in SHORT else count // 2
        asked = {"arms": turns, "encoder": encoder, "law": law, "rows": size, "seeds": [0] * len(turns)}
        found = _measured(asked)
        middle = {arm: median(one.cpu_ms_per_row for one in runs) for arm, runs in found.items()}
        for arm, runs in found.items():
            lines.append(_line(law, arm, runs, middle))
        shares.append(_share(law, found))
    head = (
        "texts",
        "arm",
        "rows/s of CPU",
        "rows/s of wall",
        "ms CPU/row",
        "tokens/s of CPU",
        "start CPU s",
        "of dynamic",
        "of loop",
    )
    title = {
        "mini": "**BERT-mini's shape** (4 layers of 256, random weights)",
        "minilm": "**The packaged encoder** (all-MiniLM-L6-v2, 6 layers of 384)",
    }[encoder]
    note = (
        f"{count} rows, half as many comments, batches of {BATCH}, one epoch, one thread, medians of {repeats} turns. "
        "Rates are from the first batch to the last update; the time before and after is a separate column"
    )
    return f"{title}: {note}.\n\n{table(head, lines)}\n\n" + "\n".join(f"- {share}" for share in shares)


def _line(law: str, arm: str, runs: Sequence[Measurement], middle: Mapping[str, float]) -> list[str]:
    one = runs[0]
    cpu, wall = (median(getattr(run, name) for run in runs) for name in ("cpu_s", "wall_s"))
    return [
        f"{law} ({one.tokens / one.rows:.0f} tokens)",
        ARMS[arm],
        f"{one.rows / cpu:,.0f}",
        f"{one.rows / wall:,.0f}",
        f"{middle[arm]:.2f}",
        f"{one.tokens / cpu:,.0f}",
        f"{median(run.start_s for run in runs):.2f}",
        f"{middle['dynamic'] / middle[arm]:.2f}",
        f"{middle['loop'] / middle[arm]:.2f}",
    ]


def _share(law: str, found: Mapping[str, Sequence[Measurement]]) -> str:
    """Ours against the two that it is held to, turn by turn: what a turn's machine does meets all arms of it."""
    words = []
    for arm, name in (("dynamic", "Trainer with dynamic padding"), ("loop", "the bare loop")):
        ratios = [b.cpu_s / a.cpu_s for a, b in zip(found["ours"], found[arm], strict=True)]
        target = f", target {TARGETS[arm]:g}" if law in SHORT else ""
        words.append(f"{median(ratios):.2f} times the rate of {name} ({min(ratios):.2f} to {max(ratios):.2f}{target})")
    return f"{law}: StudentTrainer has {', '.join(words)}, by processor time, turn by turn."


def _parity() -> str:
    """The F1 of the arms over seeds, on rows that can be learnt."""
    from hf_synthlabels.statistics.comparison.conditions import compare_conditions, seed_scores

    arms = ["ours", "dynamic", "loop", *(["setfit"] if find_spec("setfit") else [])]
    turns = [(arm, seed) for seed in range(PARITY_SEEDS) for arm in arms if arm != "setfit" or seed < SETFIT_SEEDS]
    asked = {"encoder": "minilm", "law": "titles", "rows": PARITY_ROWS, "epochs": 3, "rate": 2e-4}
    found = _measured({**asked, "arms": [arm for arm, _ in turns], "seeds": [seed for _, seed in turns]})
    truth = np.array(found["ours"][0].truth)
    codes = {arm: np.array([one.codes for one in runs]) for arm, runs in found.items()}
    n_classes = int(truth.max()) + 1
    lines, gaps = [], []
    for arm in arms:
        both = compare_conditions(truth, codes["ours"], codes[arm], n_classes)
        low, high = both.difference.low, both.difference.high
        difference = "" if arm == "ours" else f"{both.difference.estimate:+.3f} [{low:+.3f}, {high:+.3f}]"
        by_seed = " ".join(f"{score:.3f}" for score in seed_scores(truth, codes[arm], n_classes))
        cpu_s = median(one.cpu_s for one in found[arm])
        lines.append([NAMES[arm], f"{both.b.estimate:.3f}", by_seed, difference, f"{cpu_s:.1f}"])
        if arm in ("dynamic", "loop"):
            gaps.append(abs(both.difference.estimate))
    title = (
        f"**The same students**: macro F1 of the packaged encoder on {len(truth)} held-out docstrings of the standard "
        f"library in three areas, {PARITY_ROWS} rows, 3 epochs, {PARITY_SEEDS} seeds; StudentTrainer is at most "
        f"{max(gaps):.3f} from Trainer and the bare loop (target 0.01). Intervals are over rows and seeds:"
    )
    return f"{title}\n\n{table(('arm', 'mean', 'by seed', 'StudentTrainer minus it', 'CPU s'), lines)}"


def _grid() -> str:
    """A small grid as a grid, and as a student for each combination."""
    found = {arm: _child({"part": "grid", "arm": arm}) for arm in ("grid", "each")}
    grid, each = found["grid"], found["each"]
    whole = grid["start_s"] + grid["cpu_s"]
    arms = (
        ("`run_grid`", grid, whole),
        ("`train_student` for each, all in one program", each, each["start_s"] + each["cpu_s"]),
        ("the same, a program for each", each, each["runs"] * each["start_s"] + each["cpu_s"]),
    )
    lines = [
        [name, one["runs"], one["steps"], f"{one['cpu_s']:.0f}", f"{total:.0f}", f"{total / whole:.1f}"]
        for name, one, total in arms
    ]
    title = (
        "**A grid** of 2 learning rates, epochs 1 to 4 and 2 label sources on the packaged encoder; 64 rows train, 60 "
        "choose and 60 test after each epoch. Epochs read off one run save 2.5 times the updates, and nothing of the "
        f"evaluations. Packages and rows take a program {each['start_s']:.0f} s of processor time, measured once; with "
        f"a program for each combination, as grids are commonly run, it is {arms[2][2] / whole:.1f} times as dear "
        "(target 2.5):"
    )
    head = ("", "runs", "updates", "training and evaluation, CPU s", "in all", "of the grid")
    return f"{title}\n\n{table(head, lines)}"


def _measured(asked: Mapping[str, Any]) -> dict[str, list[Measurement]]:
    """The turns of a process, by arm."""
    found: dict[str, list[Measurement]] = {}
    for arm, one in zip(asked["arms"], _child({"part": "arms", **asked})["turns"], strict=True):
        found.setdefault(arm, []).append(Measurement(**one))
        last = found[arm][-1]
        print(f"{asked['encoder']} {asked['law']} {arm}: {last.cpu_ms_per_row:.2f} ms CPU/row", flush=True)
    return found


def _child(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The measurement of a separate process, on one thread."""
    alone = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory(prefix="synthlabels-bench-") as folder:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.training_arms", json.dumps({**asked, "folder": folder})],
            cwd=ROOT,
            env={**os.environ, **alone, "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{asked}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
