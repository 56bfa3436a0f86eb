"""Prompt of a judge: a rubric and an item as chat messages."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hf_synthlabels.annotation.prompting.quoting import INVISIBLE, quoted, rendered
from hf_synthlabels.clients import Message
from hf_synthlabels.judging.rubric import Rubric

JUDGE_PROMPT_VERSION = 2
"""Incremented when the construction of the prompt changes, in addition to its template."""

TAGS = ("input", "reference", "answer", "response")

SMALL_COLON = "\ufe55"
"""Replaces the colon of a verdict in the judged text; the parser does not accept it."""

LINE_ENDS = "\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029"
"""Line ends other than the line feed."""


@dataclass(frozen=True, slots=True)
class Item:
    """An answer to judge, with its input, references and the answer to compare it with, if there are any."""

    prediction: str
    references: tuple[str, ...] = ()
    input: str = ""
    other: str = ""
    """The second answer of a comparison."""
    row: Mapping[str, Any] = field(default_factory=dict)
    """The columns of the row, for clients that look up recorded replies; never sent."""


@dataclass(frozen=True)
class JudgePrompt:
    """Builds the conversations for a rubric.

    Args:
        rubric: what is judged.
        as_json: whether to request the verdict in JSON.
        system: replaces the packaged system prompt, including the format of the reply.
    """

    rubric: Rubric
    as_json: bool = False
    system: str | None = None

    def messages(self, item: Item, *, swapped: bool = False) -> tuple[Message, ...]:
        """The conversation that requests one verdict.

        The judged text is never interpreted as a template. Its tags and verdict lines are neutralized: it cannot close
        its delimiter or inject a verdict.

        Args:
            item: what is judged.
            swapped: whether to show the second answer of a comparison first.
        """
        parts: list[tuple[str, str]] = []
        if item.input:
            parts.append(("input", item.input))
        if self.rubric.protocol == "joint":
            parts += [("response 1", item.prediction), ("response 2", item.references[0])]
        else:
            parts += [("reference", reference) for reference in self._shown(item.references)]
            if self.rubric.protocol == "pairwise":
                first, second = (item.other, item.prediction) if swapped else (item.prediction, item.other)
                parts += [("answer A", first), ("answer B", second)]
            else:
                parts.append(("answer", item.prediction))
        content = "\n".join(quoted(tag, self._without_verdicts(text), TAGS) for tag, text in parts)
        return (self._system_message(tuple(dict.fromkeys(tag for tag, _ in parts))), Message("user", content))

    @cached_property
    def response_schema(self) -> dict[str, Any]:
        """JSON schema of the reply, with the reason before the verdict; always the same object."""
        rubric, properties = self.rubric, {}
        if rubric.reasoning:
            properties["reason"] = {"type": "string"}
        properties[rubric.verdict.name] = self._value_schema()
        if rubric.protocol == "joint":
            properties[f"reference_{rubric.verdict.name}"] = self._value_schema()
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    def fingerprint(self) -> str:
        """Hash of the rendered prompt and its version, 16 hexadecimal digits."""
        item = Item("", references=("",), input="?", other="")
        content = "\x1e".join(f"{message.role}\x1f{message.content}" for message in self.messages(item))
        return hashlib.sha256(f"{JUDGE_PROMPT_VERSION}\x1e{content}".encode()).hexdigest()[:16]

    def _shown(self, references: Sequence[str]) -> Sequence[str]:
        return () if self.rubric.reference == "never" else references

    def _value_schema(self) -> dict[str, Any]:
        answers = self.rubric.answers
        if self.rubric.scale is None:
            return {"type": "string", "enum": list(answers)}
        if all(score.is_integer() for score in answers.values()):
            return {"type": "integer", "enum": [int(score) for score in answers.values()]}
        return {"type": "number", "enum": list(answers.values())}

    def _without_verdicts(self, text: str) -> str:
        """The text with its verdict lines and JSON fields neutralized."""
        return self._verdict_pattern.sub(rf"\g<1>{SMALL_COLON}", text)

    @cached_property
    def _verdict_pattern(self) -> re.Pattern[str]:
        verdict = self.rubric.verdict
        unseen = rf"[{INVISIBLE}]*+"
        names = "|".join(unseen.join(map(re.escape, name)) for name in (verdict.name, *verdict.aliases))
        # Near the start of a line, with any decoration, such as `score (1-5):`, `Score**:` and `score -`.
        line = (
            rf"(?:^|[{LINE_ENDS}])(?:[^\w\n{LINE_ENDS}]|_)*+(?:(?:final|overall|my|the|your)[\W_]+){{0,3}}(?:{names})"
            rf"(?:[^\w\n:=：–—([-]|_)*+(?:\([^)\n]*+\)|\[[^\]\n]*+\])?(?:[^\w\n:=：–—-]|_)*+"
        )
        field = rf"[\"'“”‘’]{unseen}(?:reference_)?(?:{names}){unseen}[\"'“”‘’]\s*+"
        return re.compile(rf"((?:{line})|(?:{field}))[:=：–—-]", re.I | re.M)

    def _system_message(self, parts: tuple[str, ...]) -> Message:
        known = self._system_messages.get(parts)
        if known is None:
            known = self._system_messages[parts] = Message("system", self._system_prompt(parts))
        return known

    @cached_property
    def _system_messages(self) -> dict[tuple[str, ...], Message]:
        return {}

    def _system_prompt(self, parts: tuple[str, ...]) -> str:
        if self.system is not None:
            return self.system
        rubric = self.rubric
        scale = None if rubric.scale is None else f"{rubric.low:g} to {rubric.high:g}"
        if rubric.scale is not None and rubric.scale.step != 1:
            scale = f"{scale} in steps of {rubric.scale.step:g}"
        return rendered(
            "hf_synthlabels.judging",
            "judge.txt",
            instructions=" ".join(rubric.instructions.split()),
            criteria=rubric.criteria,
            scale=scale,
            choices=rubric.choices,
            parts=parts,
            form=self._reply_format(),
        )

    def _reply_format(self) -> str:
        """The last sentences of the prompt, on the format of the reply."""
        rubric, name = self.rubric, self.rubric.verdict.name
        before = "First explain your reasoning in a few sentences. " if rubric.reasoning else ""
        value = "0" if rubric.scale is not None else '"..."'
        what = "one number" if rubric.scale is not None else "one of: " + ", ".join(rubric.answers)
        if self.as_json:
            fields = {"reason": '"..."'} if rubric.reasoning else {}
            fields[name] = value
            if rubric.protocol == "joint":
                fields[f"reference_{name}"] = value
                what = "the score of response 1, then the score of response 2"
            shape = ", ".join(f"{json.dumps(key)}: {content}" for key, content in fields.items())
            reason = "your reasoning in a few sentences, then " if rubric.reasoning else ""
            return f"Answer with a JSON object {{{shape}}} that contains {reason}{what}, and nothing else."
        if rubric.protocol == "joint":
            what = "the scores of response 1 and response 2, separated by a comma"
        if not rubric.reasoning:
            return f"Answer with {what}, and nothing else."
        return f"{before}Then write a last line that starts with `{name}:` and contains {what}, and nothing else."
