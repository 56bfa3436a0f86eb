"""Keeping Python's garbage collector from looking at all that was there before a run, again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_frozen() -> Iterator[None]:
    """While it lasts, the collector looks only at what was made since.

    A process that has loaded a few libraries holds 150,000 objects that are never garbage. Each full collection
    looks at all of them for a tenth of a second, in which no answer is read: a quarter of the time of a fast run.
    Garbage among the old objects waits until the end. Nothing is done where somebody else has frozen objects.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
