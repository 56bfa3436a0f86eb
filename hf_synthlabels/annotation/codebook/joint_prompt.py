"""The prompt that asks for several variables in one request, and the reading of its answer."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from hf_synthlabels.annotation.codebook.groups import Group
from hf_synthlabels.annotation.codebook.joint_reading import NOTHING, NULL, JointReader, VariablePrompt
from hf_synthlabels.annotation.prompting.answer_format import JSON_ANSWER, TEXT_ANSWER
from hf_synthlabels.annotation.prompting.prompt import DEFAULT_FORM, row_message
from hf_synthlabels.annotation.prompting.quoting import rendered
from hf_synthlabels.annotation.prompting.row_inputs import RowForm, RowText, compared
from hf_synthlabels.annotation.prompting.stated_confidence import MEANING, SHAPE, Elicitation, confidence_schema
from hf_synthlabels.annotation.recipe.example import Example
from hf_synthlabels.clients import Completion, Message
from hf_synthlabels.labels import (
    Annotation,
    answer_text,
)

INSTRUCTIONS = "Code the text with the variables of this codebook."


@dataclass(frozen=True)
class JointPrompt:
    """Everything that is the same for all rows of a group of variables."""

    variables: tuple[VariablePrompt, ...]
    instructions: str = ""
    guidelines: str = ""
    examples: Sequence[Example] = ()
    as_json: bool = True
    form: RowForm = DEFAULT_FORM
    shuffled_variables: bool = False
    seed: int = 0

    @property
    def names(self) -> Group:
        """The variables."""
        return tuple(variable.name for variable in self.variables)

    def messages(self, row: RowText, examples: Sequence[Example] | None = None) -> tuple[Message, ...]:
        """The conversation that asks for the variables of one row.

        Args:
            row: what is to code.
            examples: selected for this row; they replace the prompt's own.
        """
        return (*self._before(row, examples), Message("user", row_message(row)))

    @cached_property
    def response_schema(self) -> dict[str, Any]:
        """The JSON schema of an answer: every variable is required, and null is no value."""
        properties: dict[str, Any] = {}
        for variable in self.variables:
            if variable.reasoning:
                properties[variable.reasoning_name] = {"type": "string"}
            schema = replace(variable.schema, abstain=False)
            value = schema.response_schema()["properties"]["label"]
            optional = variable.schema.abstain or variable.condition is not None
            added = {variable.name: value}
            if variable.elicitation:
                added[variable.confidence_name] = confidence_schema(variable.elicitation)
            properties |= {
                name: {"anyOf": [kind, {"type": "null"}]} if optional else kind for name, kind in added.items()
            }
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    def read(self, completion: Completion, row: RowText) -> dict[str, Annotation]:
        """The annotation of each variable from one completion."""
        return self._reader.read(completion, row)

    @cached_property
    def _reader(self) -> JointReader:
        return JointReader(self.variables)

    def fingerprint_text(self) -> str:
        """The rendered prompt, as part of a fingerprint."""
        return "\x1e".join(message.role + "\x1f" + message.content for message in self.messages(self.form.of_text("")))

    def without(self, row: RowText) -> JointPrompt:
        """The prompt without the examples that have this row's text."""
        if (text := compared(row.text)) not in self._shown:
            return self
        shown = zip(self.examples, self._shown, strict=True)
        return replace(self, examples=[example for example, other in shown if other != text])

    def of_row(self, row: RowText) -> JointPrompt:
        """The prompt with the variables and labels in the order of this row."""
        if not self._is_shuffled:
            return self
        variables = [replace(each, prompt=each.prompt.of_row(row)) for each in self.variables]
        if self.shuffled_variables:
            random.Random(f"{self.seed}:variables:{row.text}").shuffle(variables)
        return replace(self, variables=tuple(variables))

    @cached_property
    def _is_shuffled(self) -> bool:
        return self.shuffled_variables or any(each.prompt.shuffle_seed is not None for each in self.variables)

    @cached_property
    def _system(self) -> Message:
        form = self.form
        return Message(
            "system",
            rendered(
                "hf_synthlabels.annotation",
                "codebook.txt",
                instructions=self.instructions.strip() or INSTRUCTIONS,
                guidelines=self.guidelines.strip(),
                variables=[_described(variable) for variable in self.variables],
                nothing=NULL if self.as_json else NOTHING,
                abstention=NULL if self.as_json else "abstain",
                parts=form.columns if form.pair else (),
                form=self._answer_form(),
            ),
        )

    @cached_property
    def _turns(self) -> tuple[Message, ...]:
        return self._example_turns(self.examples)

    @cached_property
    def _shown(self) -> tuple[str, ...]:
        return tuple(compared(example.row_text(self.form).text) for example in self.examples)

    def _before(self, row: RowText, examples: Sequence[Example] | None) -> tuple[Message, ...]:
        """What comes before the row; an example that is the row itself is left out."""
        if examples is None:
            if not self._shown or (own := compared(row.text)) not in self._shown:
                return (self._system, *self._turns)
            examples = [each for each, text in zip(self.examples, self._shown, strict=True) if text != own]
        return (self._system, *self._example_turns(examples))

    def _example_turns(self, examples: Sequence[Example]) -> tuple[Message, ...]:
        turns: list[Message] = []
        for example in examples:
            row = example.row_text(self.form)
            turns += [Message("user", row_message(row)), Message("assistant", self._example_answer(example, row))]
        return tuple(turns)

    def _example_answer(self, example: Example, row: RowText) -> str:
        """The answer that the annotator should give to an example."""
        values: dict[str, Any] = {}
        lines: list[str] = []
        for variable in self.variables:
            given = example.labels.get(variable.name)
            if given is None:
                values[variable.name] = None
                lines.append(f"{variable.name}: {NOTHING}")
                continue
            own = example.model_copy(update={"label": given, "labels": {}})
            label = own.read_label(variable.schema, row)
            is_abstention = label == "abstain" and variable.schema.abstain
            value = None if is_abstention else json.loads(answer_text(label, as_json=True))["label"]
            values[variable.name] = value
            lines.append(f"{variable.name}: {answer_text(label, as_json=False)}")
        return json.dumps(values, ensure_ascii=False) if self.as_json else "\n".join(lines)

    def _answer_form(self) -> str:
        """The last sentences of the system prompt."""
        if not self.as_json:
            lines = []
            for variable in self.variables:
                if variable.reasoning:
                    lines.append(f"{variable.reasoning_name}: your reasoning in one sentence")
                lines.append(f"{variable.name}: {TEXT_ANSWER[variable.schema.kind]}")
                if variable.elicitation:
                    lines.append(f"{variable.confidence_name}: {_confidence_meaning(variable, variable.elicitation)}")
            return "\n".join(["Answer with these lines in this order, and nothing else:", *lines])
        fields, meanings = [], []
        for variable in self.variables:
            shape, meaning = JSON_ANSWER[variable.schema.kind]
            if variable.reasoning:
                fields.append(f'"{variable.reasoning_name}": "..."')
            fields.append(f'"{variable.name}": {shape}')
            meanings.append(f"- {variable.name}: {meaning}")
            if variable.elicitation:
                fields.append(f'"{variable.confidence_name}": {SHAPE[variable.elicitation]}')
                named = _confidence_meaning(variable, variable.elicitation)
                meanings.append(f"- {variable.confidence_name}: {named}")
        return f"Answer only with a JSON object {{{', '.join(fields)}}}, where the values are:\n" + "\n".join(meanings)


def _confidence_meaning(variable: VariablePrompt, elicitation: Elicitation) -> str:
    return MEANING[elicitation].replace("the label is", f"the value of {variable.name} is")


def _described(variable: VariablePrompt) -> dict[str, Any]:
    schema, prompt = variable.schema, variable.prompt
    return {
        "name": variable.name,
        "instructions": prompt.instructions.strip(),
        "condition": None if variable.condition is None else str(variable.condition),
        "labels": [schema.describe(name) for name in schema.names],
        "scale": None if schema.scale is None else str(schema.scale),
        "guidelines": schema.guidelines.strip(),
        "abstain": schema.abstain,
    }
