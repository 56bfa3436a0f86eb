"""JSON at speed, and with what Python's own module puts up with and the fast one does not."""

from __future__ import annotations

import json
from typing import Any

import orjson


def dumps(content: Any) -> bytes:
    """A content of finite numbers as JSON; half a surrogate pair, which is no UTF-8, is escaped.

    Raises:
        TypeError: it holds something that JSON has no form for.
    """
    try:
        return orjson.dumps(content)
    except TypeError:
        return json.dumps(content).encode()


def loads(content: bytes | str) -> Any:
    """What a JSON text says; also one with half a surrogate pair, `NaN`, a byte order mark or another encoding.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.
    """
    try:
        return orjson.loads(content)
    except ValueError:
        return json.loads(content)
