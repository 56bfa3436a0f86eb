"""Progress bars, which obey the switches of `datasets` and of tqdm."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from tqdm.auto import tqdm

_hidden: bool | None = None
"""Whether bars were off before `own_bars_only` turned those of `datasets` off; None where it did not."""


def progress_bar(**options: Any) -> Any:
    """A bar on standard error, where that is a terminal.

    `HF_DATASETS_DISABLE_PROGRESS_BARS`, `datasets.disable_progress_bars()` and `TQDM_DISABLE` turn it off.
    """
    off = os.environ.get("TQDM_DISABLE", "0").lower() not in ("", "0", "false")
    hidden = are_progress_bars_disabled() if _hidden is None else _hidden
    # `disable=None` leaves the bar out where standard error is no terminal.
    return tqdm(disable=True if off or hidden else None, dynamic_ncols=True, **options)


def own_bars_only() -> None:
    """Show no bars of `datasets` in this process; those of this package stay as the user has them."""
    global _hidden
    if _hidden is None:
        _hidden = are_progress_bars_disabled()
        if not _hidden and os.environ.get("HF_DATASETS_DISABLE_PROGRESS_BARS") is None:
            disable_progress_bars()


@contextmanager
def own_bars() -> Iterator[None]:
    """Show no bars of `datasets` for a while: while it builds a table, it would draw one over that of the rows."""
    global _hidden
    before = _hidden
    own_bars_only()
    try:
        yield
    finally:
        if before is None:
            if not _hidden and are_progress_bars_disabled():
                enable_progress_bars()
            _hidden = None
