"""Logging verbosity, as in the other Hugging Face libraries."""

from __future__ import annotations

import logging
import os

from hf_synthlabels.errors import ConfigError

LOGGER = "hf_synthlabels"
VARIABLE = "HF_SYNTHLABELS_VERBOSITY"
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


def get_verbosity() -> int:
    """Return the logging level (default: warnings)."""
    return logging.getLogger(LOGGER).getEffectiveLevel()


def set_verbosity(level: int | str) -> None:
    """Set the logging level, e.g. `"info"` or `logging.ERROR`.

    A handler is added for lower levels than warnings if the program has none.

    Raises:
        ConfigError: the level is unknown.
    """
    number = LEVELS.get(level.lower()) if isinstance(level, str) else level
    if number is None:
        raise ConfigError(f"`level` is {level!r}. Give one of: {', '.join(LEVELS)}.")
    logger = logging.getLogger(LOGGER)
    logger.setLevel(number)
    if number < logging.WARNING and not logger.hasHandlers():
        logger.addHandler(logging.StreamHandler())


if level := os.environ.get(VARIABLE):
    set_verbosity(level)
