"""Processes: whether the one that wrote something down still runs."""

from __future__ import annotations

import os


def is_alive(pid: int | None) -> bool:
    """Whether there is a process of that number; it may be another one by now, which is the safe side.

    Where there is no harmless way to ask (Windows), every process is taken to run.
    """
    if pid is None:
        return False
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
