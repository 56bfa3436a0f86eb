"""Progress bars, which obey the switches of `datasets` and of tqdm."""

from __future__ import annotations

import os
from typing import Any

from datasets.utils import are_progress_bars_disabled, disable_progress_bars
from tqdm.auto import tqdm

__all__ = ["own_bars_only", "progress_bar"]

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
