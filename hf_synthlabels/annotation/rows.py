"""What of a row is shown to the annotator: a text, a pair, a passage with its question, or tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["RowForm", "RowText", "compared", "row_text"]


@dataclass(frozen=True, slots=True)
class RowText:
    """The named parts of a row, each quoted by itself in the prompt."""

    parts: tuple[tuple[str, str], ...]
    context: str = ""
    """Where entities or answers are found again: the text itself, or the passage."""
    question: str = ""

    @property
    def text(self) -> str:
        """The parts as one text, several under their names; for annotators that read no prompt."""
        if len(self.parts) == 1:
            return self.parts[0][1]
        return "\n".join(f"{name}: {content}" for name, content in self.parts)


@dataclass(frozen=True, slots=True)
class RowForm:
    """Which columns of a row are shown, and how."""

    columns: tuple[str, ...] = ("text",)
    pair: bool = False
    """Two columns that are compared: each is quoted by itself, and none may be empty."""
    tokens: str | None = None
    """A column with the text's tokens, in place of a text."""
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
            context, question = str(row.get(self.context) or ""), str(row.get(self.question) or "").strip()
            if not context.strip() or not question:
                return None
            return RowText((("context", context), ("question", question)), context, question)
        if self.pair:
            parts = tuple((column, str(row.get(column) or "").strip()) for column in self.columns)
            return RowText(parts) if all(content for _, content in parts) else None
        text = row_text(row, self.columns)
        if not text:
            return None
        # Entities are placed in the column as it is, white space around it included.
        context = str(row[self.columns[0]]) if len(self.columns) == 1 else text
        return RowText((("text", text),), context=context)

    def of_text(self, text: str) -> RowText:
        """A text that is in no row."""
        return RowText((("text", text),), context=text)


def row_text(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """What of a row is to be labelled: one column as it is, several under their names; empty if nothing is there."""
    values = [(column, str(row[column]).strip()) for column in columns if row.get(column) is not None]
    if len(columns) == 1:
        return values[0][1] if values else ""
    return "\n".join(f"{column}: {value}" for column, value in values if value)


def compared(text: str) -> str:
    """A text as it is compared with another that may be the same row: without regard to case and white space."""
    return " ".join(text.split()).casefold()
