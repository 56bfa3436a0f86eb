"""What of a row is shown to the annotator: a text, a pair, a passage with its question, or tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

TURN_KEYS = (("role", "content"), ("from", "value"))
"""How chat messages are stored: by most data sets, and by those in ShareGPT's form."""


@dataclass(frozen=True, slots=True)
class RowText:
    """The named parts of a row, each quoted by itself in the prompt."""

    parts: tuple[tuple[str, str], ...]
    context: str = ""
    """Where entities or answers are found again: the text itself, or the passage."""
    question: str = ""
    text: str = field(init=False)
    """The parts as one text, several under their names; for annotators that read no prompt."""

    def __post_init__(self) -> None:
        is_single = len(self.parts) == 1
        text = self.parts[0][1] if is_single else "\n".join(f"{name}: {content}" for name, content in self.parts)
        object.__setattr__(self, "text", text)


@dataclass(frozen=True, slots=True)
class RowForm:
    """Which columns of a row are shown, and how."""

    columns: tuple[str, ...] = ("text",)
    pair: bool = False
    """Two columns that are compared: each is quoted by itself, and none may be empty."""
    tokens: str | None = None
    """A column with the tokens of the text, instead of a text column."""
    question: str | None = None
    context: str | None = None

    @property
    def several(self) -> bool:
        """Whether the annotator is shown several parts, each under its name."""
        return self.pair or self.question is not None

    def read(self, row: Mapping[str, Any]) -> RowText | None:
        """The text of a row; None when there is nothing to label."""
        if self.tokens is not None:
            # Not stripped: the places of entities are counted in it.
            text = " ".join(str(token) for token in row.get(self.tokens) or ())
            return RowText((("text", text),), context=text) if text.strip() else None
        if self.question is not None and self.context is not None:
            context, question = cell_text(row.get(self.context)), cell_text(row.get(self.question)).strip()
            if not context.strip() or not question:
                return None
            return RowText((("context", context), ("question", question)), context, question)
        if self.pair:
            parts = tuple((column, cell_text(row.get(column)).strip()) for column in self.columns)
            return RowText(parts) if all(content for _, content in parts) else None
        text = row_text(row, self.columns)
        if not text:
            return None
        # Entities are placed in the column as it is, white space around it included.
        context = cell_text(row[self.columns[0]]) if len(self.columns) == 1 else text
        return RowText((("text", text),), context=context)

    def of_text(self, text: str) -> RowText:
        """A text that is in no row."""
        return RowText((("text", text),), context=text)


def cell_text(value: Any) -> str:
    """A cell as text: chat messages as lines of `role: content`, other lists and mappings as JSON, null as nothing."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        for role, content in TURN_KEYS:
            if isinstance(roles := value.get(role), list) and isinstance(said := value.get(content), list):
                # As `datasets` hands out a `Sequence` of messages.
                return cell_text([{role: who, content: what} for who, what in zip(roles, said, strict=False)])
        return turn if (turn := _turn(value)) is not None else _json(value)
    if isinstance(value, list | tuple):
        turns = [_turn(item) for item in value if isinstance(item, Mapping)]
        if turns and len(turns) == len(value) and None not in turns:
            return "\n".join(filter(None, turns))
        return _json(value) if value else ""
    return str(value)


def row_text(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """What of a row is to label: one column as it is, several under their names; empty if nothing is there."""
    values = [(column, cell_text(row.get(column)).strip()) for column in columns]
    if len(columns) == 1:
        return values[0][1] if values else ""
    return "\n".join(f"{column}: {value}" for column, value in values if value)


def _turn(message: Mapping[str, Any]) -> str | None:
    """A chat message as a line; None for another mapping."""
    for role, content in TURN_KEYS:
        if isinstance(message.get(role), str) and content in message:
            said = message[content]
            if isinstance(said, list | tuple):
                # Parts: texts, and images or sounds, which no annotator here is shown.
                said = " ".join(map(_part, said))
            return f"{message[role]}: {cell_text(said)}"
    return None


def _part(part: Any) -> str:
    if isinstance(part, Mapping):
        return str(part.get("text") or f"[{part.get('type', 'other')}]")
    return str(part)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def compared(text: str) -> str:
    """A text as it is compared with another that may be the same row: without regard to case and white space."""
    return " ".join(text.split()).casefold()
