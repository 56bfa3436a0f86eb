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

OWN_ANSWER = "own answer"
"""Tag of the judge's own answer."""

SMALL_COLON = "\ufe55"
"""Replaces the colon of a verdict in the judged text; the parser does not accept it."""

COMMITMENT = Message(
    "system",
    "Answer the input, which is enclosed in <input> tags, as well as you can. Give your answer and nothing else.",
)
"""System prompt of the request for the judge's own answer."""

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
    own_answer: str = ""
    """The judge's own answer to the input, if it gave one first."""

    def is_same(self, other: Item) -> bool:
        """Whether two items have the same texts to judge."""
        mine, theirs = ((each.input, each.prediction, each.other) for each in (self, other))
        return [text.strip() for text in mine] == [text.strip() for text in theirs]


@dataclass(frozen=True, slots=True)
class JudgeExample:
    """An item with its human verdicts, shown to the judge before the item to judge."""

    item: Item
    verdicts: Mapping[str, float | str]
    """The score or the choice of each verdict by its name: of the rubric's verdict, or of each criterion."""
    reasoning: str = ""


@dataclass(frozen=True)
class JudgePrompt:
    """Builds the conversations for a rubric.

    Args:
        rubric: what is judged.
        as_json: whether to request the verdict in JSON.
        system: replaces the packaged system prompt, including the format of the reply.
        examples: shown before every item that is not one of them.
        commit_first: whether items have the judge's own answer.
    """

    rubric: Rubric
    as_json: bool = False
    system: str | None = None
    examples: tuple[JudgeExample, ...] = ()
    commit_first: bool = False

    def messages(self, item: Item, *, swapped: bool = False) -> tuple[Message, ...]:
        """The conversation that requests one verdict.

        The judged text is never interpreted as a template. Its tags and verdict lines are neutralized: it cannot close
        its delimiter or inject a verdict.

        Args:
            item: what is judged.
            swapped: whether to show the second answer of a comparison first.
        """
        parts, content = self._content(item, swapped=swapped)
        system = self._system_message(parts)
        if not self.examples:
            return (system, Message("user", content))
        turns: list[Message] = []
        # An example that is the item itself would show its verdict.
        for example in (example for example in self.examples if not example.item.is_same(item)):
            turns += [Message("user", self._content(example.item)[1]), Message("assistant", self._reply(example))]
        return (system, *turns, Message("user", content))

    def commitment(self, item: Item) -> tuple[Message, ...]:
        """The conversation that requests the judge's own answer, from the input alone."""
        return (COMMITMENT, Message("user", quoted("input", item.input, self._tags)))

    def _content(self, item: Item, *, swapped: bool = False) -> tuple[tuple[str, ...], str]:
        """The tags of an item's texts, and the quoted texts."""
        parts: list[tuple[str, str]] = []
        if item.input:
            parts.append(("input", item.input))
        if item.own_answer:
            parts.append((OWN_ANSWER, item.own_answer))
        if self.rubric.protocol == "joint":
            parts += [("response 1", item.prediction), ("response 2", item.references[0])]
        else:
            parts += [("reference", reference) for reference in self._shown(item.references)]
            if self.rubric.protocol == "pairwise":
                first, second = (item.other, item.prediction) if swapped else (item.prediction, item.other)
                parts += [("answer A", first), ("answer B", second)]
            else:
                parts.append(("answer", item.prediction))
        content = "\n".join(quoted(tag, self._without_verdicts(text), self._tags) for tag, text in parts)
        return tuple(dict.fromkeys(tag for tag, _ in parts)), content

    @property
    def _tags(self) -> tuple[str, ...]:
        return (*TAGS, "own") if self.commit_first else TAGS

    @cached_property
    def response_schema(self) -> dict[str, Any]:
        """JSON schema of the reply, with the reason before the verdict; always the same object."""
        rubric, properties = self.rubric, {}
        if rubric.reasoning:
            properties["reason"] = {"type": "string"}
        properties[rubric.verdict.name] = value_schema(rubric)
        if rubric.protocol == "joint":
            properties[f"reference_{rubric.verdict.name}"] = value_schema(rubric)
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    def fingerprint(self) -> str:
        """Hash of the rendered prompt and its version, 16 hexadecimal digits."""
        item = Item("", references=("",), input="?", other="", own_answer="?" if self.commit_first else "")
        content = "\x1e".join(f"{message.role}\x1f{message.content}" for message in self.messages(item))
        return hashlib.sha256(f"{JUDGE_PROMPT_VERSION}\x1e{content}".encode()).hexdigest()[:16]

    def _shown(self, references: Sequence[str]) -> Sequence[str]:
        return () if self.rubric.reference == "never" else references

    def _without_verdicts(self, text: str) -> str:
        """The text with its verdict lines and JSON fields neutralized."""
        # A function, because a template is parsed at each call.
        return self._verdict_pattern.sub(lambda match: f"{match[1]}{SMALL_COLON}", text)

    @property
    def _verdict_names(self) -> tuple[str, ...]:
        """Names that the judged text cannot use in a verdict."""
        return (self.rubric.verdict.name, *self.rubric.verdict.aliases)

    @cached_property
    def _verdict_pattern(self) -> re.Pattern[str]:
        unseen = rf"[{INVISIBLE}]*+"
        names = "|".join(unseen.join(map(re.escape, name)) for name in self._verdict_names)
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
        return rendered(
            "hf_synthlabels.judging",
            "judge.txt",
            instructions=" ".join(rubric.instructions.split()),
            aspects=rubric.aspects,
            scale=described_scale(rubric),
            choices=rubric.choices,
            parts=parts,
            own_answer=OWN_ANSWER if OWN_ANSWER in parts else "",
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

    def _reply(self, example: JudgeExample) -> str:
        """The reply that states an example's verdicts, in the requested format."""
        verdicts = dict(example.verdicts)
        reasoning = example.reasoning if self.rubric.reasoning else ""
        if self.as_json:
            fields = {"reason": reasoning} if reasoning else {}
            return json.dumps({**fields, **verdicts}, ensure_ascii=False)
        if not self._is_labeled:
            return "\n".join(str(verdict) for verdict in verdicts.values())
        lines = [f"{name}: {verdict}" for name, verdict in verdicts.items()]
        return "\n".join([*([reasoning] if reasoning else []), *lines])

    @property
    def _is_labeled(self) -> bool:
        """Whether a reply in text has labeled lines."""
        return self.rubric.reasoning


def value_schema(rubric: Rubric) -> dict[str, Any]:
    """JSON schema of a rubric's verdict."""
    answers = rubric.answers
    if rubric.scale is None:
        return {"type": "string", "enum": list(answers)}
    if all(score.is_integer() for score in answers.values()):
        return {"type": "integer", "enum": [int(score) for score in answers.values()]}
    return {"type": "number", "enum": list(answers.values())}


def described_scale(rubric: Rubric) -> str | None:
    """The scale of a rubric in words; None without one."""
    if rubric.scale is None:
        return None
    steps = "" if rubric.scale.step == 1 else f" in steps of {rubric.scale.step:g}"
    return f"{rubric.low:g} to {rubric.high:g}{steps}"
