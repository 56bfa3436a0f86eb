"""The registry of the tables of `benchmarks.coverage`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hf_synthlabels.statistics.intervals import wilson

__all__ = ["TABLES", "Table", "coverage_table", "share_of"]

Table = tuple[Sequence[str], list[Sequence[object]]]

TABLES: dict[str, Callable[[int, int], Table]] = {}
"""Tables by name: functions of the number of simulated studies and a seed."""


def coverage_table(name: str) -> Callable[[Callable[[int, int], Table]], Callable[[int, int], Table]]:
    """Register a table under a name."""

    def register(function: Callable[[int, int], Table]) -> Callable[[int, int], Table]:
        TABLES[name] = function
        return function

    return register


def share_of(hits: int, worlds: int) -> str:
    """A share of simulated studies with its Wilson interval."""
    share = wilson(hits, worlds)
    return f"{share.estimate:.3f} [{share.low:.3f}, {share.high:.3f}]"
