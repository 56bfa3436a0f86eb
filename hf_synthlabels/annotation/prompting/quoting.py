"""Quotes untrusted text in prompts: the text cannot close its tags and is never read as a template."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2.sandbox import SandboxedEnvironment

INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Characters that are shown as nothing (Unicode: Default_Ignorable_Code_Point)."""


def quoted(tag: str, text: str, tags: tuple[str, ...]) -> str:
    """A text between the tags of that name.

    Args:
        tag: the name; it may have further words, as in `row 1`.
        text: the quoted text; it cannot close its tag.
        tags: the names of all tags that mean something in the prompt.
    """
    return f"<{tag}>\n{defused(text, tags)}\n</{tag}>"


def defused(text: str, tags: tuple[str, ...]) -> str:
    """A text in which no tag looks like one of those."""
    return _tag(tags).sub(r"‹\1", text) if "<" in text else text


def rendered(package: str, name: str, **values: object) -> str:
    """A rendered package template; values are never read as templates.

    Args:
        package: whose folder `templates` has it.
        name: of the file.
        **values: what the template names.
    """
    return str(_template(package, name).render(**values)).strip()


@cache
def _tag(tags: tuple[str, ...]) -> re.Pattern[str]:
    # Characters that are not shown would hide a tag from this, but not from a reader. What repeats is never given
    # back, so that no row takes longer than its length.
    unseen = f"[{INVISIBLE}]*+"
    space = rf"[\s{INVISIBLE}]*+"
    names = "|".join(unseen.join(re.escape(character) for character in tag) for tag in tags)
    return re.compile(rf"<({space}(?:/{space})?(?:{names})(?!\w))", re.I)


@cache
def _environment() -> SandboxedEnvironment:
    # No HTML is made here, so nothing is escaped; the sandbox guards against templates that users edit.
    return SandboxedEnvironment(autoescape=False, keep_trailing_newline=False, trim_blocks=False)


@cache
def _template(package: str, name: str) -> Any:
    source = files(package).joinpath("templates", name).read_text(encoding="utf-8")
    return _environment().from_string(source)
