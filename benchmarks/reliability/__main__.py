"""What a user can rely on, shown by doing it: crashes, damage and faults, each with real processes and a real server.

    python -m benchmarks.reliability                  # about five minutes on two cores
    python -m benchmarks.reliability --parts faults
    python -m benchmarks.reliability --write          # into docs/reliability.md

It exits with status 1 when anything is not as promised.
"""

from __future__ import annotations

import argparse
import re
import signal
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.documents import machine, put_block, table
from benchmarks.reliability.batch import batch_kills
from benchmarks.reliability.crash import Kill, disk_full, kills, race, undisturbed
from benchmarks.reliability.damage import damaged_stores
from benchmarks.reliability.faults import outcomes
from benchmarks.serving import ROOT

__all__ = ["main"]

IN_FLIGHT = 64

Part = tuple[str, bool]
"""The report, and whether all of it is as promised."""


def main() -> None:
    """Run what was asked for, print it, and write it where it belongs."""
    told = _arguments()
    parts: dict[str, Callable[[argparse.Namespace, Path], Part]] = {
        "kills": _kills,
        "interrupts": _interrupts,
        "crashes": _crashes,
        "batch": _batch,
        "damage": _damage,
        "faults": _faults,
    }
    kept = True
    with tempfile.TemporaryDirectory(prefix="synthlabels-reliability-") as folder:
        for name in told.parts:
            text, as_promised = parts[name](told, Path(folder) / name)
            kept = kept and as_promised
            print(f"\n{text}\n", flush=True)
            if told.write:
                put_block(ROOT / "docs" / "reliability.md", name, text)
    if told.write:
        put_block(ROOT / "docs" / "reliability.md", "machine", machine())
    if not kept:
        raise SystemExit("reliability: not all is as promised")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Crash it, damage it, and see what is left.")
    known = ("kills", "interrupts", "crashes", "batch", "damage", "faults")
    parser.add_argument("--parts", nargs="+", choices=known, default=known)
    parser.add_argument("--rows", type=int, default=5000, help="of each run that is ended by a signal")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--interrupts", type=int, default=6)
    parser.add_argument("--fault-rows", type=int, default=600)
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--at-once", type=int, default=2, help="runs side by side")
    parser.add_argument("--write", action="store_true", help="put the result into docs/reliability.md")
    return parser.parse_args()


def _kills(told: argparse.Namespace, folder: Path) -> Part:
    expected = undisturbed(folder / "undisturbed", told.rows)
    found = list(kills(folder, told.rows, told.kills, told.seed, expected, at_once=told.at_once))
    good = [kill.equal and kill.billed_twice <= IN_FLIGHT and kill.reported >= kill.billed_twice for kill in found]
    equal = sum(kill.equal for kill in found)
    covered = sum(kill.reported >= kill.billed_twice for kill in found)
    text = (
        f"**kill -9** at {len(found)} random moments (seed {told.seed}) of a run of {told.rows:,} rows with at most "
        f"{IN_FLIGHT} requests in flight, then the same command once more. {equal} of {len(found)} end with the labels "
        f"of an undisturbed run, row by row. Billed twice: at most {max(kill.billed_twice for kill in found)}. In "
        f"{covered} of {len(found)} the ledger reports at least as many as may have been billed and lost."
    )
    said = [line.strip() for line in found[0].ledger.splitlines()[1:] if line.strip()]
    text += f" Of a run that was killed after {found[0].moment:,} answers, `hf-synthlabels cache stats` says:"
    shown = "\n".join(["```text", *said, "```"])
    return f"{text}\n\n{shown}\n\n{_table_of(found)}", all(good)


def _interrupts(told: argparse.Namespace, folder: Path) -> Part:
    expected = undisturbed(folder / "undisturbed", told.rows)
    found = list(
        kills(
            folder,
            told.rows,
            told.interrupts,
            told.seed + 1,
            expected,
            number=signal.SIGINT,
            at_once=told.at_once,
        )
    )
    good = [kill.equal and kill.billed_twice == 0 and kill.first.status == 130 for kill in found]
    text = (
        f"**Ctrl-C** (SIGINT) at {len(found)} random moments: nothing more is sent, requests in flight are awaited "
        f"and stored. Billed twice: {sum(kill.billed_twice for kill in found)}. "
        f"The user sees: {_said(found[0].first.seen)}"
    )
    return f"{text}\n\n{_table_of(found)}", all(good)


def _table_of(found: Sequence[Kill]) -> str:
    head = (
        *("rows are written", "answers before", "in flight", "billed", "billed twice"),
        *("the ledger: at most", "labels equal"),
    )
    lines = [
        (
            "as they come" if kill.streamed else "at the end",
            f"{kill.moment:,}",
            kill.in_flight,
            f"{kill.billed:,}",
            kill.billed_twice,
            kill.reported,
            _yes(kill.equal),
        )
        for kill in sorted(found, key=lambda kill: kill.moment)
    ]
    return table(head, lines)


def _crashes(told: argparse.Namespace, folder: Path) -> Part:
    expected = undisturbed(folder / "undisturbed", told.rows)
    found = [
        race(folder / "race", told.rows, expected),
        race(folder / "shared", told.rows, expected, caches=("one", "one")),
        disk_full(folder / "full", told.rows, expected),
    ]
    head = ("", "billed", "billed twice", "mislabeled", "labels equal", "the user sees")
    lines = [
        (one.name, f"{one.billed:,}", f"{one.billed_twice:,}", one.mislabeled, _yes(one.equal), _said(one.seen))
        for one in found
    ]
    return table(head, lines), all(one.equal and one.mislabeled == 0 for one in found)


def _batch(told: argparse.Namespace, folder: Path) -> Part:  # noqa: ARG001  it makes its own folders
    found = batch_kills(at_once=told.at_once + 2)
    kills_made = sum(one.kills for one in found)
    head = ("killed", "times", "complete", "billed twice", "batches made again", "adopted", "left over")
    lines = [
        (one.step, one.kills, one.complete, one.billed_twice, one.made_again, one.adopted, one.left) for one in found
    ]
    text = (
        f"**Batch API**: killed before and after each of the {kills_made // 2} things that a run does to its journal, "
        f"the store or the provider, then run again. *Adopted* are batches that the killed run had made and not yet "
        f"written down: the next one found them in the provider's list."
    )
    good = [one.complete == one.kills and not (one.billed_twice or one.made_again or one.left) for one in found]
    return f"{text}\n\n{table(head, lines)}", all(good)


def _damage(told: argparse.Namespace, folder: Path) -> Part:
    rows = min(told.rows, 2000)
    expected = undisturbed(folder / "undisturbed", rows)
    found = list(damaged_stores(folder, rows, told.seed, expected))
    head = (
        "what was done to the store",
        "answers in it",
        "asked again",
        "mislabeled",
        "labels equal",
        "the user sees",
    )
    lines = [
        (
            one.name,
            f"{one.answers:,}",
            f"{one.asked_again - (rows - one.answers):,}",
            one.mislabeled,
            _yes(one.equal) + (", after export and import" if one.rescued else ""),
            _said(one.seen),
        )
        for one in found
    ]
    return table(head, lines), all(one.equal and one.mislabeled == 0 for one in found)


def _faults(told: argparse.Namespace, folder: Path) -> Part:
    found = []
    for one in outcomes(folder, told.fault_rows, at_once=told.at_once + 1):
        print(f"{'ok ' if one.as_promised else 'NOT'} {one.seconds:5.1f} s  {one.case.name}: {one.seen}", flush=True)
        found.append(one)
    head = (
        "fault",
        "rows lost",
        "rows mislabeled",
        "requests wasted",
        "status of the rows that it strikes",
        "the user sees",
    )
    lines = [
        (
            one.case.name,
            one.lost,
            one.mislabeled,
            max(0, one.wasted),
            "the run ends" if one.case.ends else f"{one.case.status}" + (f" ({one.struck})" if one.struck else ""),
            _said(one.seen),
        )
        for one in found
    ]
    text = f"{told.fault_rows:,} rows, {IN_FLIGHT} in flight. *Wasted* are requests beyond one for each row."
    return f"{text}\n\n{table(head, lines)}", all(one.as_promised for one in found)


def _said(seen: str) -> str:
    """What the user saw, without what is different each time."""
    shown = re.sub(r"`/\S*/", "`.../", seen).replace("`", "'")
    return f"`{shown}`" if len(shown) <= 220 else f"`{shown[:217]}...`"


def _yes(value: bool) -> str:
    return "yes" if value else "NO"


if __name__ == "__main__":
    main()
