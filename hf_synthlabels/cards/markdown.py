"""Markdown templates that escape every value."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics import Interval

STRUCTURE = re.compile(r"[&<\\`*\[\]|~$#]|(?<!\w)_|_(?!\w)")
"""Characters that begin inline markup in CommonMark, tables, math or HTML."""

NUMBERS = re.compile(r"(?<![!\w\]])\[[-+–−]?[\d.,]+(?:e[-+]?\d+)?(?:, ?[-+–−]?[\d.,]+(?:e[-+]?\d+)?)*\](?![(\[:])")
"""An interval such as [0.911, 1.010], which is not a link and needs no escaping."""

INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""Control, zero-width and bidirectional characters."""

SIMPLE = re.compile(r"[^`|\\\s](?:[^`|\\\n\r]*[^`|\\\s])?")
"""A text that needs no escaping between backticks, even in a table."""


class Markdown(str):
    """Markdown that templates insert without escaping."""

    __slots__ = ()


def plain(text: str, limit: int | None = None) -> Markdown:
    """Escape a text as a single line without markup or links.

    Args:
        text: Any text.
        limit: Maximum number of characters; a longer text ends in `…`.
    """
    line = _single_line(text, limit)
    # Character references are never markup (CommonMark 0.31, section 2.5). Backslashes do not escape bars in tables.
    parts, end = [], 0
    for interval in NUMBERS.finditer(line):
        parts += [STRUCTURE.sub(_reference, line[end : interval.start()]), interval[0]]
        end = interval.end()
    line = "".join([*parts, STRUCTURE.sub(_reference, line[end:])])
    line = re.sub(r"(?i)(?<=http)://|(?<=https)://|(?<=ftp)://|(?<=www)\.|@", _reference, line)
    # At the start of a line, these would begin a list, heading, rule or metadata.
    return Markdown(re.sub(r"^([-+=>]|\d+(?=[.)](?:\s|$)))", _reference, line))


def _single_line(text: str, limit: int | None) -> str:
    line = " ".join(INVISIBLE.sub("", str(text)).split())
    return line if limit is None or len(line) <= limit else line[: limit - 1] + "…"


def _reference(match: re.Match[str]) -> str:
    return "".join(f"&#{ord(character)};" for character in match[0])


def code(text: str, limit: int | None = None) -> Markdown:
    """Format a text as a single line of code."""
    line = _single_line(text, limit)
    if SIMPLE.fullmatch(line):
        return Markdown(f"`{line}`")
    return Markdown(f"<code>{plain(line)}</code>")


def fenced(text: str, language: str = "") -> Markdown:
    """Format a text as a code block with a fence longer than any in the text."""
    lines = INVISIBLE.sub("", str(text)).replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    longest = max((len(run) for run in re.findall(r"`+", lines)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markdown(f"{fence}{language}\n{lines}\n{fence}")


def interval(value: Interval | None, digits: int = 3) -> Markdown:
    """Format an estimate as `0.812 [0.760, 0.853]`, or a dash if undefined."""
    if value is None or math.isnan(value.estimate):
        return Markdown("–")
    return Markdown(f"{value.estimate:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]")


def table(head: Sequence[object], rows: Sequence[Sequence[object]], right: Sequence[int] = ()) -> Markdown:
    """Format a table; cells are escaped unless they are Markdown.

    Args:
        head: Column headings.
        rows: Rows of cells.
        right: Positions of right-aligned columns.
    """
    rule = ["---:" if column in right else "---" for column in range(len(head))]
    lines = [[str(_finished(cell)) for cell in row] for row in (head, *rows)]
    lines.insert(1, rule)
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def rendered(name: str, **values: object) -> str:
    """Render a packaged template; values are escaped unless they are Markdown.

    Raises:
        ConfigError: The text cannot be encoded as UTF-8.
    """
    text = str(_template(name).render(**values))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConfigError(f"`card` contains an invalid character: {error.reason}.") from None
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _finished(value: Any) -> Any:
    """Format the value of a template expression: numbers with separators, texts escaped."""
    if isinstance(value, Markdown):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, float) else plain(str(value))


@cache
def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(
        autoescape=False, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_finished
    )
    for function in (code, fenced, interval):
        environment.filters[function.__name__] = function
    environment.globals["table"] = table
    return environment


@cache
def _template(name: str) -> Any:
    source = files("hf_synthlabels.cards").joinpath("templates", name).read_text(encoding="utf-8")
    return _environment().from_string(source)
