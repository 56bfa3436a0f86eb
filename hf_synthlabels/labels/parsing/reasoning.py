"""Separation of a model's reasoning from its answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

OPENING = re.compile(
    r"\s*(?:<(?:think|thinking|thoughts?|reasoning|seed:think)>|\[THINK\]|◁think▷|<\|START_THINKING\|>)", re.IGNORECASE
)
"""Begins a reasoning block; later in a text, the tag is part of the answer."""

CLOSING = re.compile(
    r"</(?:think|thinking|thoughts?|reasoning|seed:think)>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>", re.IGNORECASE
)
LATER_OPENING = re.compile(OPENING.pattern.removeprefix(r"\s*"), re.IGNORECASE)

ORPHANS = re.compile(r"</(?:think|thinking)>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>", re.IGNORECASE)
"""Closing tags that may lack an opening tag, because the chat template puts it into the prompt."""

ENVELOPE = re.compile(r"\s*<\|START_RESPONSE\|>(.*?)(?:<\|END_RESPONSE\|>\s*)?$", re.DOTALL)
"""The tags of Command A around its answer."""

CHANNEL = re.compile(
    r"(?:<\|start\|>\s*assistant[^<]*)?<\|channel\|>\s*(?P<name>\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>"
    r"(?P<text>.*?)(?P<end><\|(?:end|return|call)\|>|(?=<\|start\|>|<\|channel\|>)|\Z)",
    re.DOTALL,
)
"""One message of the harmony format (gpt-oss): channel and text."""

HARMONY = re.compile(r"\s*(?:<\|start\|>\s*assistant[^<]*)?<\|channel\|>")
STRIPPED_HARMONY = re.compile(
    r"\s*(?:assistant)?analysis(?P<thoughts>.*?)assistant(?:commentary(?P<more>.*?)assistant)?final(?P<answer>.*)\Z",
    re.DOTALL,
)
"""The harmony format without its special tokens; `assistantfinal` identifies it."""

REASONING_TOKEN = re.compile(rf"{OPENING.pattern}|{CLOSING.pattern}|<\|(?:START|END)_RESPONSE\|>", re.IGNORECASE)
"""Tokens that separate reasoning from the answer; special tokens in some tokenizers."""


MARK = re.compile(r"[<\[◁]|assistantfinal")
"""Every tag contains one; most answers contain none, and need no further search."""


@dataclass(frozen=True, slots=True)
class SplitText:
    """The answer and the reasoning of a generated text."""

    answer: str
    reasoning: str = ""
    complete: bool = True
    """False if the text ends within the reasoning, so that the answer is missing."""


def split_reasoning(text: str) -> SplitText:
    """Separate the reasoning at the start of a generated text from the answer.

    Reasoning is a leading block, or the text before a closing tag that lacks its opening tag. Later tags are part of
    the answer. The function is idempotent on the answer.
    """
    if MARK.search(text) is None:
        return SplitText(text)
    if HARMONY.match(text):
        return _split_harmony(text)
    if match := STRIPPED_HARMONY.match(text):
        thoughts = [match["thoughts"], match["more"] or ""]
        return SplitText(match["answer"].strip(), joined_reasoning(thoughts))
    thoughts, position = [], 0
    while True:
        if opening := OPENING.match(text, position):
            position = opening.end()
            closing = next(_closings(text, position, len(text), CLOSING), None)
            if closing is None:
                return SplitText("", joined_reasoning([*thoughts, text[position:]]), complete=False)
        else:
            later = LATER_OPENING.search(text, position)
            end = len(text) if later is None else later.start()
            closing = max(_closings(text, position, end, ORPHANS), key=re.Match.start, default=None)
            if closing is None:
                break
        thoughts.append(text[position : closing.start()])
        position = closing.end()
    answer = text[position:]
    if not thoughts:
        return SplitText(text)
    if envelope := ENVELOPE.match(answer):
        answer = envelope[1]
    return SplitText(answer.strip(), joined_reasoning(thoughts))


def joined_reasoning(texts: Sequence[str]) -> str:
    """Join parts of reasoning into one text."""
    return "\n\n".join(filter(None, map(str.strip, texts)))


def _split_harmony(text: str) -> SplitText:
    thoughts, answers = list[str](), list[str]()
    for match in CHANNEL.finditer(text):
        (answers if match["name"] == "final" else thoughts).append(match["text"])
    return SplitText("".join(answers).strip(), joined_reasoning(thoughts), complete=bool(answers))


def _closings(text: str, start: int, end: int, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """Yield the closing tags in a range, except quoted ones."""
    for match in pattern.finditer(text, start, end):
        before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
        if before != after or before not in ("`", '"', "'"):
            yield match
