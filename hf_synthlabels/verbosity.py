"""How much this package logs, as in the other libraries of Hugging Face."""

from __future__ import annotations

import logging
import os

from hf_synthlabels.errors import ConfigError

LOGGER = "hf_synthlabels"
VARIABLE = "HF_SYNTHLABELS_VERBOSITY"
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


def get_verbosity() -> int:
    """The level from which on messages are shown, as in `logging`; by default warnings."""
    return logging.getLogger(LOGGER).getEffectiveLevel()


def set_verbosity(level: int | str) -> None:
    """Show messages from a level on, such as `"info"` or `logging.ERROR`.

    Warnings come on standard error without any set-up. Where the program has no handler for lower levels, one is added.

    Raises:
        ConfigError: there is no such level.
    """
    number = LEVELS.get(level.lower()) if isinstance(level, str) else level
    if number is None:
        raise ConfigError(f"`level` is {level!r}. Give one of: {', '.join(LEVELS)}.")
    logger = logging.getLogger(LOGGER)
    logger.setLevel(number)
    if number < logging.WARNING and not logger.hasHandlers():
        logger.addHandler(logging.StreamHandler())


if wanted := os.environ.get(VARIABLE):
    set_verbosity(wanted)
