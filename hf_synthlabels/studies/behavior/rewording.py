"""Rewordings of instructions: by fixed rules that keep the meaning, or as the user gives them in a file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hf_synthlabels.errors import ConfigError

TASK = "task"
"""Key of a codebook's own instructions in a file of rewordings."""

WORDS = {
    "choose": "select",
    "decide": "determine",
    "find": "identify",
    "rate": "assess",
    "fits": "matches",
    "classify": "categorize",
    "whether": "if",
}
"""Words of instructions, and others with the same meaning."""


@dataclass(frozen=True, slots=True)
class Rewording:
    """One other way to give the same instructions."""

    name: str
    before: str = ""
    after: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    """Whole instructions by variable; of a recipe with one variable its column. They replace the rule."""

    def of(self, variable: str, instructions: str) -> str:
        """The reworded instructions of a variable, or of the task."""
        if self.texts:
            return self.texts.get(variable, instructions)
        if not instructions.strip():
            return instructions
        return f"{self.before}{_exchanged(instructions.strip(), self.words)}{self.after}"


RULES = (
    Rewording("a sentence before", before="Read the text carefully before you answer. "),
    Rewording("other words", words=WORDS),
    Rewording("a sentence after", after=" Base your answer only on what the text says."),
    Rewording("a role before", before="You are an experienced human coder. "),
    Rewording("task named, other words", before="Your task: ", words=WORDS),
    Rewording("politely", before="Please do the following. ", after=" Thank you."),
)
"""Rules that leave the meaning of instructions as it is."""


def rewordings(count: int, file: Path | None, variables: Sequence[str]) -> tuple[Rewording, ...]:
    """The rewordings of a file, or the first rules.

    Args:
        count: number of rewordings; of a file at most as many.
        file: YAML list of instructions, or, for a codebook, of mappings from `task` or a variable to instructions.
        variables: names of the recipe's variables.

    Raises:
        ConfigError: `count` is not positive or there are fewer rules, or the file has no rewordings.
    """
    if count < 1:
        raise ConfigError(f"`variants` is {count}. Use a number from 1.")
    if file is not None:
        return _read(file, variables)[:count]
    if count > len(RULES):
        raise ConfigError(
            f"`variants` is {count}, and there are {len(RULES)} rules. Give that or less, or your own with "
            "`--rewordings`."
        )
    return RULES[:count]


def _read(file: Path, variables: Sequence[str]) -> tuple[Rewording, ...]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"`rewordings` {str(file)!r} cannot be read ({reason}). Give a YAML list.") from None
    if not isinstance(content, list) or not content:
        raise ConfigError(f"`rewordings` {str(file)!r} is not a list. Begin each reworded text with a dash.")
    return tuple(_entry(place, entry, variables) for place, entry in enumerate(content, 1))


def _entry(place: int, entry: Any, variables: Sequence[str]) -> Rewording:
    known = (TASK, *variables)
    if isinstance(entry, str):
        entry = {variables[0] if len(variables) == 1 else TASK: entry}
    if not isinstance(entry, dict) or not entry or not all(isinstance(text, str) for text in entry.values()):
        raise ConfigError(f"`rewordings` has {entry!r}, entry {place}: give a text, or texts by variable.")
    if unknown := [name for name in entry if name not in known]:
        raise ConfigError(f"`rewordings` names {unknown[0]!r}, entry {place}: use {', '.join(known)}.")
    return Rewording(f"file, text {place}", texts=entry)


def _exchanged(text: str, words: Mapping[str, str]) -> str:
    """The text with some words exchanged for others, each once; a capital stays a capital."""
    if not words:
        return text
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, words))})\b", re.IGNORECASE)

    def other(match: re.Match[str]) -> str:
        word = words[match[0].lower()]
        return word.capitalize() if match[0][0].isupper() else word

    return pattern.sub(other, text)
