"""The prompt: a task and a row become messages."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from hf_synthlabels.annotation.prompting.answer_format import answer_form
from hf_synthlabels.annotation.prompting.quoting import defused, quoted, rendered
from hf_synthlabels.annotation.prompting.row_inputs import RowForm, RowText, compared
from hf_synthlabels.annotation.prompting.strategies import PLAIN, Strategy
from hf_synthlabels.annotation.recipe.example import Example
from hf_synthlabels.clients import Message
from hf_synthlabels.labels import Annotation, LabelSchema, answer_text

PROMPT_VERSION = 3
"""Incremented with every change to how prompts are built."""

DEFAULT_FORM = RowForm()

TAGS = ("text", "row", "context", "question")


@dataclass(frozen=True)
class Prompt:
    """Everything that is the same for all rows of a task: instructions, labels, examples, form of the answer."""

    schema: LabelSchema
    instructions: str
    examples: Sequence[Example] = ()
    as_json: bool = False
    system: str | None = None
    """A system prompt that replaces the packaged template."""
    strategy: Strategy = PLAIN
    form: RowForm = DEFAULT_FORM
    shuffle_seed: int | None = None
    """Seed of the order in which each row's prompt lists the labels; None for the order of the schema."""

    def messages(self, row: str | RowText, examples: Sequence[Example] | None = None) -> tuple[Message, ...]:
        """The conversation that asks for the label of one row.

        The row's text is put in once and never read as a template; a tag in it that looks like the prompt's own is
        escaped, so that a row cannot close its own quotation.

        Args:
            row: what is to label.
            examples: selected for this row; they replace the prompt's own.
        """
        if self.strategy.rows_per_call > 1:
            return self.batch([row if isinstance(row, RowText) else self.form.of_text(row)], examples)
        text = row if isinstance(row, str) else row.text
        content = quoted("text", row, ("text", "row")) if isinstance(row, str) else row_message(row)
        return (*self._before([text], examples), Message("user", content))

    def batch(self, rows: Sequence[RowText], examples: Sequence[Example] | None = None) -> tuple[Message, ...]:
        """The conversation that asks for the labels of several rows, numbered from 1."""
        before = self._before([row.text for row in rows], examples)
        return (*before, Message("user", _numbered(rows)))

    def of_row(self, row: RowText) -> Prompt:
        """The prompt whose labels are in the order of this row."""
        if self.shuffle_seed is None or not self.schema.names:
            return self
        places = list(range(len(self.schema.names)))
        random.Random(f"{self.shuffle_seed}:labels:{row.text}").shuffle(places)
        names = tuple(self.schema.names[place] for place in places)
        definitions = tuple(self.schema.definitions[place] for place in places) if self.schema.definitions else ()
        return replace(self, schema=replace(self.schema, names=names, definitions=definitions), shuffle_seed=None)

    def without(self, row: RowText) -> Prompt:
        """The prompt without the examples that have this row's text."""
        if (text := compared(row.text)) not in self._shown:
            return self
        shown = zip(self.examples, self._shown, strict=True)
        return replace(self, examples=[example for example, other in shown if other != text])

    @cached_property
    def response_schema(self) -> dict[str, Any]:
        """The JSON schema of the answer to one call; always the same object."""
        return self.strategy.response_schema(self.schema)

    @cached_property
    def known_answers(self) -> dict[str, Annotation]:
        """Annotations of answers that were read before, of kinds that are read without the row."""
        return {}

    def fingerprint(self) -> str:
        """A hash of the rendered prompt, its examples and the version of its construction."""
        content = "\x1e".join(message.role + "\x1f" + message.content for message in self.messages(""))
        return hashlib.sha256(f"{PROMPT_VERSION}\x1e{self.strategy}\x1e{content}".encode()).hexdigest()[:16]

    @cached_property
    def _prefix(self) -> tuple[Message, ...]:
        return (Message("system", self._system_prompt()), *self._turns(self.examples))

    @cached_property
    def _shown(self) -> tuple[str, ...]:
        """The texts of the prompt's own examples, as they are compared with the rows'."""
        return tuple(compared(example.row_text(self.form).text) for example in self.examples)

    def _before(self, texts: Sequence[str], examples: Sequence[Example] | None) -> tuple[Message, ...]:
        """All that comes before the rows; an example that is one of them is left out, for it would tell the label."""
        if examples is None and self._shown:
            asked = {compared(text) for text in texts}
            if asked.isdisjoint(self._shown):
                return self._prefix
            examples = [example for example, text in zip(self.examples, self._shown, strict=True) if text not in asked]
        return self._prefix if examples is None else (self._prefix[0], *self._turns(examples))

    def _turns(self, examples: Sequence[Example]) -> list[Message]:
        shown = [(example.row_text(self.form), example) for example in examples]
        answers = [self._example_answer(row, example) for row, example in shown]
        if self.strategy.rows_per_call > 1:
            if not shown:
                return []
            return [
                Message("user", _numbered([row for row, _ in shown])),
                Message("assistant", self._together(answers)),
            ]
        turns = []
        for (row, _), answer in zip(shown, answers, strict=True):
            turns += [Message("user", row_message(row)), Message("assistant", answer)]
        return turns

    def _example_answer(self, row: RowText, example: Example) -> str:
        """What the annotator should have answered, in the form that it is asked for."""
        label = example.read_label(self.schema, row)
        said: dict[str, Any] = {}
        if self.strategy.reasoning and example.reasoning:
            said["reasoning"] = example.reasoning
        said |= {question.name: example.answers.get(question.name, "") for question in self.strategy.questions}
        plain = answer_text(label, as_json=False)
        if self.as_json:
            value = json.loads(answer_text(label, as_json=True))["label"]
            if self.strategy.candidates:
                said["candidates"] = [value]
            elif not self.strategy.decide:
                said["label"] = value
            return json.dumps(said, ensure_ascii=False)
        lines = [said.pop("reasoning")] if "reasoning" in said else []
        lines += [f"{name}: {answer}" for name, answer in said.items()]
        if self.strategy.decide:
            return "\n".join(lines)
        return "\n".join([*lines, f"label: {plain}" if self.strategy.has_label_line else plain])

    def _together(self, answers: Sequence[str]) -> str:
        """The answers of several rows as one answer."""
        if not self.as_json:
            return "\n".join(f"{number}. {answer}" for number, answer in enumerate(answers, 1))
        items = [{"row": number, **json.loads(answer)} for number, answer in enumerate(answers, 1)]
        return json.dumps({"answers": items}, ensure_ascii=False)

    def _system_prompt(self) -> str:
        if self.system is not None:
            return self.system
        several = self.form.pair or self.form.question is not None
        parts = (self.form.columns if self.form.pair else ("context", "question")) if several else ()
        return rendered(
            "hf_synthlabels.annotation",
            "system.txt",
            kind=self.schema.kind,
            instructions=self.instructions.strip(),
            labels=tuple(self.schema.describe(name) for name in self.schema.names),
            scale=None if self.schema.scale is None else str(self.schema.scale),
            guidelines=self.schema.guidelines.strip(),
            abstain=self.schema.abstain,
            questions=self.strategy.questions,
            rows=self.strategy.rows_per_call > 1,
            parts=parts,
            form=answer_form(self.schema, self.strategy, as_json=self.as_json),
        )


def row_message(row: RowText) -> str:
    """The quoted parts of a row."""
    if len(row.parts) == 1:
        return quoted("text", row.parts[0][1], ("text", "row"))
    tags = (*(name for name, _ in row.parts), "row")
    return "\n".join(quoted(name, content, tags) for name, content in row.parts)


def _numbered(rows: Sequence[RowText]) -> str:
    return "\n".join(f"<row {number}>\n{_inside(row)}\n</row {number}>" for number, row in enumerate(rows, 1))


def _inside(row: RowText) -> str:
    return defused(row.text, TAGS) if len(row.parts) == 1 else row_message(row)
