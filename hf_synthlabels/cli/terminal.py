"""The terminal that the command line prints to."""

from __future__ import annotations

import shutil
import sys


def terminal_width() -> int | None:
    """How many characters fit in a line of the terminal; None where the output goes to a file or to a program."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
