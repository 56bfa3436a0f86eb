"""What the server of the benchmarks answers: the right label of a row in the form that was asked for, or a fault."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from zlib import crc32

__all__ = ["CONTENT_FAULTS", "HTTP_FAULTS", "LABELS", "Fault", "Said", "label_of", "said", "shard_item", "text_of"]

LABELS = ("sports", "business", "science", "politics")

ITEM = re.compile(rb"item (\d{7})\b")

SENTENCE = "The paper reports at length what was said on that day, who was there, and what it may come to in the end. "
LENGTH = 300
"""Characters of a row's text; with the instructions the prompt has about half a kilobyte."""

HTTP_FAULTS = (*("http400", "http401", "http429", "http500", "reset", "hang", "slow_body", "torn_body", "cut_body"),)
"""`torn_body` is half a JSON document with a length that fits; `cut_body` breaks off before its length."""

CONTENT_FAULTS = (
    *("wrong_label", "torn_json", "prose", "empty", "refusal", "length", "duplicated_keys", "foreign_quotes"),
    "zero_width",
)


def text_of(number: int) -> str:
    """The text of a row: its number, which alone decides its label, and words."""
    return f"item {number:07d}: {SENTENCE * (1 + LENGTH // len(SENTENCE))}"[:LENGTH].strip()


def shard_item(body: bytes) -> bytes | None:
    """The number of the row that a request asks for, the last that occurs in it; None when it asks for none."""
    found = None
    for match in ITEM.finditer(body):
        found = match[1]
    return found


def label_of(item: bytes) -> str:
    """The right label of a row."""
    return LABELS[crc32(item) % len(LABELS)]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong with a share of the requests, the same ones in each run.

    Written `kind:share`, drawn for each try of a row, or `kind:share:row`, where a row has it always or never.
    """

    kind: str
    share: float
    always: bool = False

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read a fault as it is written on the command line.

        Raises:
            ValueError: there is no such fault.
        """
        kind, share, *rest = text.split(":")
        if kind not in HTTP_FAULTS + CONTENT_FAULTS or rest not in ([], ["row"]):
            raise ValueError(f"`fault` {text!r}: give kind:share or kind:share:row with a known kind")
        return cls(kind, float(share), bool(rest))

    def __str__(self) -> str:
        return f"{self.kind}:{self.share:g}{':row' if self.always else ''}"

    def strikes(self, item: bytes, attempt: int) -> bool:
        """Whether the try of a row with this number, from 0, has the fault."""
        # A checksum is not uniform over numbers in a row: of the first 50 it struck 30 for a share of 20%.
        key = b"%s/%s/%d" % (self.kind.encode(), item, 0 if self.always else attempt)
        return int.from_bytes(blake2b(key, digest_size=4).digest()) / 2**32 < self.share


@dataclass(frozen=True, slots=True)
class Said:
    """The message of an answer, and why it ended."""

    message: dict[str, Any]
    finish_reason: str = "stop"


def said(body: bytes, item: bytes | None, fault: str | None) -> Said:
    """What the model says to a request."""
    right = label_of(item or b"0")
    if fault is not None:
        return _faulty(fault, right)
    if b'"response_format"' not in body and b'"tools"' not in body:
        # Where the prompt asks for a fenced block, as data-designer's does, it gets one.
        return _content(f'```json\n{{"label": "{right}"}}\n```' if b"```json" in body else right)
    asked = json.loads(body)
    if tools := asked.get("tools"):
        function = tools[0]["function"]
        call = {"name": function["name"], "arguments": _shaped(function["parameters"], right)}
        return Said(
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": call}]},
            "tool_calls",
        )
    form = asked["response_format"]
    if form["type"] == "json_schema":
        return _content(_shaped(form["json_schema"]["schema"], right))
    # The key that the prompt asks for; distilabel's has another.
    return _content(json.dumps({"labels" if rb"\"labels\"" in body else "label": right}))


def _shaped(schema: dict[str, Any], label: str) -> str:
    """JSON that fits a flat schema and says the label wherever there is room for it."""
    properties = schema.get("properties") or {"label": {}}
    values: dict[str, Any] = {}
    for name, part in properties.items():
        kind = part.get("type")
        values[name] = 25 if kind == "integer" else [label] if kind == "array" else label
    return json.dumps(values)


def _content(text: str, finish_reason: str = "stop") -> Said:
    return Said({"role": "assistant", "content": text}, finish_reason)


CONTENTS = {
    "wrong_label": '{"label": "weather"}',
    "torn_json": '{"label": "<torn>',
    "prose": 'Sure! One could think of <wrong>, but I say:\n```json\n{"label": "<right>"}\n```\nAnything else?',
    "empty": "",
    "length": '{"label": "<wrong>"',
    "duplicated_keys": '{"label": "<right>", "label": "<wrong>"}',
    "foreign_quotes": "„label“: «<right>»",
    "zero_width": '{"label": "<hidden>"}',
}


def _faulty(fault: str, right: str) -> Said:
    """A faulty answer, made of the right label and another one."""
    if fault == "refusal":
        return Said({"role": "assistant", "content": None, "refusal": "I cannot help with that."})
    wrong = LABELS[(LABELS.index(right) + 1) % len(LABELS)]
    # Characters of no width between the letters, as copied texts have them.
    words = {"right": right, "wrong": wrong, "torn": right[:3], "hidden": "\u200b".join(right) + "\ufeff"}
    text = CONTENTS[fault]
    for name, word in words.items():
        text = text.replace(f"<{name}>", word)
    return _content(text, "length" if fault == "length" else "stop")
