"""Variants: label columns of the same rows, by other prompts, models, label orders, examples or temperatures."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hf_synthlabels.errors import ConfigError

COMPANIONS = ("status", "confidence", "raw", "note", "probs", "expected", "example")
"""Suffixes of columns that belong to a label column."""

FIELD = re.compile(r"\{([A-Za-z]\w*)\}")


@dataclass(frozen=True, slots=True)
class Variant:
    """A column of LLM labels, and the choices behind it."""

    name: str
    column: str
    choices: tuple[tuple[str, str], ...] = ()
    """Such as (("model", "gpt-4"), ("prompt", "2-shot")); empty where only the name is known."""


def read_variants(columns: Sequence[str], patterns: Sequence[str]) -> tuple[Variant, ...]:
    """The variants that patterns select among the columns of a table.

    A pattern is a column, several columns separated by commas, a wildcard such as `llm:*`, or a name with choices in
    braces, such as `{prompt}|{model}`. Columns that belong to a label column, such as `_status`, do not match.

    Raises:
        ConfigError: a pattern matches no column, or fewer than two variants are left.
    """
    labels = [name for name in columns if not _is_companion(name, columns)]
    variants: dict[str, Variant] = {}
    for pattern in patterns:
        for variant in _matches(pattern, columns, labels):
            variants.setdefault(variant.column, variant)
    if len(variants) < 2:
        raise ConfigError(f"`variants` is {', '.join(patterns)!r}, which is one column: name two or more.")
    return tuple(variants.values())


def _matches(pattern: str, columns: Sequence[str], labels: Sequence[str]) -> Iterator[Variant]:
    if pattern in columns:
        yield Variant(pattern, pattern)
    elif len(parts := [part.strip() for part in pattern.split(",") if part.strip()]) > 1:
        for part in parts:
            yield from _matches(part, columns, labels)
    elif FIELD.search(pattern):
        matches = [(name, match) for name in labels if (match := _expression(pattern).fullmatch(name))]
        if not matches:
            raise _no_column(pattern, columns)
        for name, match in matches:
            yield Variant(name, name, tuple(match.groupdict().items()))
    else:
        # `[` is part of a name, not of a wildcard.
        escaped = pattern.replace("[", "[[]")
        names = [name for name in labels if fnmatch.fnmatchcase(name, escaped)]
        if not names:
            raise _no_column(pattern, columns)
        yield from (Variant(name, name) for name in names)


def _expression(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression with a group for each choice."""
    names = FIELD.findall(pattern)
    if len(set(names)) < len(names):
        raise ConfigError(f"`variants` is {pattern!r}, which names a choice twice: give each choice its own name.")
    pieces = FIELD.split(pattern)
    fixed, fields = pieces[::2], pieces[1::2]
    groups = [f"(?P<{name}>.+?)" for name in fields]
    joined = [re.escape(fixed[0])]
    for group, text in zip(groups, fixed[1:], strict=True):
        joined += [group, re.escape(text)]
    return re.compile("".join(joined))


def _is_companion(name: str, columns: Sequence[str]) -> bool:
    base, _, suffix = name.rpartition("_")
    return suffix in COMPANIONS and base in columns


def _no_column(pattern: str, columns: Sequence[str]) -> ConfigError:
    close = difflib.get_close_matches(pattern, columns, n=1, cutoff=0.6)
    meant = f" Did you mean {close[0]!r}?" if close else f" There is {', '.join(columns[:12])}."
    return ConfigError(f"`variants` is {pattern!r}, which matches no column.{meant}")
