"""The Batch API through a kill between any two steps, as the tests of the batch client do it, summed up by step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

__all__ = ["BatchKills", "batch_kills"]


@dataclass(frozen=True, slots=True)
class BatchKills:
    """All kills right before or after one kind of step."""

    step: str
    kills: int
    complete: int
    """Runs that ended, after the kill, with the answers of an undisturbed run."""
    billed_twice: int
    """Rows."""
    made_again: int
    """Batches beyond those of an undisturbed run."""
    adopted: int
    """Batches of the killed run that were found in the provider's list."""
    left: int
    """Batches and files that are still open."""


def batch_kills(*, at_once: int = 1) -> Sequence[BatchKills]:
    """Kill a run at each of its steps, and run it again."""
    # The harness stands with the tests that use it; it watches the journal, the store and every HTTP request.
    from tests.clients.batch.batch_crash import Crash, crash, undisturbed

    with ThreadPoolExecutor(at_once) as pool:
        found = list(pool.map(crash, range(1, len(undisturbed()) + 1)))
    batches = min(one.batches for one in found)
    steps: dict[str, list[Crash]] = defaultdict(list)
    for one in found:
        steps[one.after].append(one)
    return [
        BatchKills(
            step=step,
            kills=len(ones),
            complete=sum(one.complete for one in ones),
            billed_twice=sum(one.billed_twice for one in ones),
            made_again=sum(one.batches - batches for one in ones),
            adopted=sum(one.adopted for one in ones),
            left=sum(one.left for one in ones),
        )
        for step, ones in steps.items()
    ]
