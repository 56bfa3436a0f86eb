"""The prompt: a task and a row become messages."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2.sandbox import SandboxedEnvironment

from hf_synthlabels.annotation.task import Example
from hf_synthlabels.clients import Message
from hf_synthlabels.labels import LabelSchema

__all__ = ["PROMPT_VERSION", "Prompt", "row_text"]

PROMPT_VERSION = 1
"""Rises with every change of how a prompt is put together beside its templates."""

TAG = re.compile(r"<(\s*/?\s*text\b)", re.I)


@dataclass(frozen=True, slots=True)
class Prompt:
    """Everything that is the same for all rows of a task: instructions, labels, examples, form of the answer."""

    schema: LabelSchema
    instructions: str
    examples: Sequence[Example] = ()
    as_json: bool = False
    system: str | None = None
    """A system prompt in place of the packaged template."""

    def messages(self, text: str) -> tuple[Message, ...]:
        """The conversation that asks for the label of one text.

        The text is put in once and never read as a template; a tag in it that looks like the prompt's own is
        defused, so that a row can not end its own quotation.
        """
        turns = [Message("system", self._system_prompt())]
        for example in self.examples:
            answer = json.dumps({"label": example.label}, ensure_ascii=False) if self.as_json else example.label
            turns += [Message("user", _quoted(example.text)), Message("assistant", answer)]
        return (*turns, Message("user", _quoted(text)))

    def fingerprint(self) -> str:
        """A hash of the rendered prompt, its examples and the version of its construction."""
        content = "\x1e".join(message.role + "\x1f" + message.content for message in self.messages(""))
        return hashlib.sha256(f"{PROMPT_VERSION}\x1e{content}".encode()).hexdigest()[:16]

    def _system_prompt(self) -> str:
        if self.system is not None:
            return self.system
        return _render(
            "classification_system.txt",
            instructions=self.instructions.strip(),
            labels=tuple(self.schema.describe(name) for name in self.schema.names),
            guidelines=self.schema.guidelines.strip(),
            abstain=self.schema.abstain,
            as_json=self.as_json,
        )


def row_text(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """What of a row is to be labelled: one column as it is, several under their names; empty if nothing is there."""
    values = [(column, str(row[column]).strip()) for column in columns if row.get(column) is not None]
    if len(columns) == 1:
        return values[0][1] if values else ""
    return "\n".join(f"{column}: {value}" for column, value in values if value)


def _quoted(text: str) -> str:
    return _render("classification_user.txt", text=TAG.sub(r"‹\1", text))


@cache
def _environment() -> SandboxedEnvironment:
    # No HTML is made here, so nothing is escaped; the sandbox guards against templates that users edit.
    return SandboxedEnvironment(autoescape=False, keep_trailing_newline=False, trim_blocks=False)


@cache
def _template(name: str) -> Any:
    source = files("hf_synthlabels.annotation").joinpath("templates", name).read_text(encoding="utf-8")
    return _environment().from_string(source)


def _render(name: str, **values: object) -> str:
    return str(_template(name).render(**values)).strip()
