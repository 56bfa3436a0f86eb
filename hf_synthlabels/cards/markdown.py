"""Markdown that texts from data can not break: everything that is put into a template is escaped, once."""

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
"""What begins an element anywhere in a line, of CommonMark, its tables, its mathematics and HTML."""

NUMBERS = re.compile(r"(?<![!\w\]])\[[-+–−]?[\d.,]+(?:e[-+]?\d+)?(?:, ?[-+–−]?[\d.,]+(?:e[-+]?\d+)?)*\](?![(\[:])")
"""An interval such as [0.911, 1.010]: no link, so its brackets can be read as they are."""

UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""Characters that show nothing, or turn what comes after them around."""

SIMPLE = re.compile(r"[^`|\\\s](?:[^`|\\\n\r]*[^`|\\\s])?")
"""What can stand between two backticks as it is, in a table, too."""


class Markdown(str):
    """A text that is Markdown already, and is put in as it is."""

    __slots__ = ()


def plain(text: str, limit: int | None = None) -> Markdown:
    """A text of one line that is shown as it is and means nothing: neither markup, nor a link, nor a new line.

    Args:
        text: any.
        limit: characters that are shown at most; a cut is shown as `…`.
    """
    line = " ".join(UNSEEN.sub("", str(text)).split())
    if limit is not None and len(line) > limit:
        line = line[: limit - 1] + "…"
    # By references, which never are structure (CommonMark 0.31, section 2.5); a backslash before a bar is not enough
    # in a table.
    line = "".join(
        part if place % 2 else STRUCTURE.sub(lambda found: _referred(found[0]), part)
        for place, part in enumerate(_with_intervals(line))
    )
    line = re.sub(r"(?i)(https?|ftp)://|(www)\.", lambda found: f"{found[1] or found[2]}&#{_second(found)};", line)
    line = line.replace("@", "&#64;")
    # At the beginning of a line these would begin a list, a heading, a rule or metadata.
    return Markdown(re.sub(r"^([-+=>]|\d+(?=[.)](?:\s|$)))", lambda found: _referred(found[1]), line))


def _with_intervals(line: str) -> list[str]:
    """A line cut at its intervals, which are at the odd places."""
    parts, end = [], 0
    for match in NUMBERS.finditer(line):
        parts += [line[end : match.start()], match[0]]
        end = match.end()
    return [*parts, line[end:]]


def _second(found: re.Match[str]) -> str:
    """What follows the word, as a reference: a colon with its slashes, or a dot."""
    return "58;&#47;&#47" if found[1] else "46"


def _referred(text: str) -> str:
    return "".join(f"&#{ord(letter)};" for letter in text)


def code(text: str, limit: int | None = None) -> Markdown:
    """A name, set as code; it is one line, and can not end what it stands in."""
    line = " ".join(UNSEEN.sub("", str(text)).split())
    if limit is not None and len(line) > limit:
        line = line[: limit - 1] + "…"
    if SIMPLE.fullmatch(line):
        return Markdown(f"`{line}`")
    return Markdown(f"<code>{plain(line)}</code>")


def fenced(text: str, language: str = "") -> Markdown:
    """A text of many lines as a code block whose fence is longer than any in the text."""
    lines = UNSEEN.sub("", str(text)).replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    longest = max((len(run) for run in re.findall(r"`+", lines)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markdown(f"{fence}{language}\n{lines}\n{fence}")


def interval(value: Interval | None, digits: int = 3) -> Markdown:
    """`0.812 [0.760, 0.853]`; a dash where there is nothing to estimate from."""
    if value is None or math.isnan(value.estimate):
        return Markdown("–")
    return Markdown(f"{value.estimate:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]")


def table(head: Sequence[object], rows: Sequence[Sequence[object]], right: Sequence[int] = ()) -> Markdown:
    """A table; its cells are escaped unless they are Markdown.

    Args:
        head: of the columns.
        rows: as wide as the head.
        right: the places of columns that are flush right.
    """
    rule = ["---:" if place in right else "---" for place in range(len(head))]
    lines = [[str(_finished(cell)) for cell in row] for row in (head, *rows)]
    lines.insert(1, rule)
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def rendered(name: str, **values: object) -> str:
    """A packaged template with its values put in; what is not Markdown is escaped.

    Raises:
        ConfigError: the card would not be UTF-8 text.
    """
    text = str(_template(name).render(**values))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConfigError(f"`card` holds a character that is no text: {error.reason}. Remove it.") from None
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _finished(value: Any) -> Any:
    """What an expression of a template comes to: numbers with separators, texts escaped."""
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
    for made in (code, fenced, interval):
        environment.filters[made.__name__] = made
    environment.globals["table"] = table
    return environment


@cache
def _template(name: str) -> Any:
    source = files("hf_synthlabels.cards").joinpath("templates", name).read_text(encoding="utf-8")
    return _environment().from_string(source)
