"""Independent implementations that results are compared with; the extra `oracles` brings them."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

RAN: list[str] = []
SKIPPED: list[str] = []
"""Modules by test that asked for them, for the closing line of a run."""


def oracle(module: str) -> Any:
    """Another implementation, or a skip that names the extra."""
    try:
        implementation = importlib.import_module(module)
    except ModuleNotFoundError:
        SKIPPED.append(module)
        pytest.skip(f"needs `{module}` of the extra `oracles`: make oracles")
    RAN.append(module)
    return implementation
