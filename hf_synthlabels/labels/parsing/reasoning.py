"""Separates a model's reasoning from its answer, in the forms that models and chat templates write."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

OPENING = re.compile(
    r"\s*(?:<(?:think|thinking|thoughts?|reasoning|seed:think)>|\[THINK\]|◁think▷|<\|START_THINKING\|>)", re.IGNORECASE
)
"""A block of reasoning can only begin where the answer begins: later in a text the tag is part of the answer."""

CLOSING = re.compile(
    r"</(?:think|thinking|thoughts?|reasoning|seed:think)>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>", re.IGNORECASE
)
LATER_OPENING = re.compile(OPENING.pattern.removeprefix(r"\s*"), re.IGNORECASE)

ORPHANS = re.compile(r"</(?:think|thinking)>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>", re.IGNORECASE)
"""Closing tags whose opening tag a chat template puts into the prompt, so that no server returns it."""

ENVELOPE = re.compile(r"\s*<\|START_RESPONSE\|>(.*?)(?:<\|END_RESPONSE\|>\s*)?$", re.DOTALL)
"""What Command A writes around its answer."""

CHANNEL = re.compile(
    r"(?:<\|start\|>\s*assistant[^<]*)?<\|channel\|>\s*(?P<name>\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>"
    r"(?P<text>.*?)(?P<end><\|(?:end|return|call)\|>|(?=<\|start\|>|<\|channel\|>)|\Z)",
    re.DOTALL,
)
"""One message of the harmony format (gpt-oss): its channel and its text."""

HARMONY = re.compile(r"\s*(?:<\|start\|>\s*assistant[^<]*)?<\|channel\|>")
STRIPPED_HARMONY = re.compile(
    r"\s*(?:assistant)?analysis(?P<thoughts>.*?)assistant(?:commentary(?P<more>.*?)assistant)?final(?P<answer>.*)\Z",
    re.DOTALL,
)
"""The same after a server removed the special tokens; without `assistantfinal` it could be any text."""

REASONING_TOKEN = re.compile(rf"{OPENING.pattern}|{CLOSING.pattern}|<\|(?:START|END)_RESPONSE\|>", re.IGNORECASE)
"""Tokens that separate reasoning from an answer; some tokenizers count them among the special ones."""


@dataclass(frozen=True, slots=True)
class SplitText:
    """A generated text in its parts."""

    answer: str
    reasoning: str = ""
    complete: bool = True
    """False if the text ended within the reasoning, so that there is no answer."""


def split_reasoning(text: str) -> SplitText:
    """Separate the reasoning at the start of a generated text from the answer.

    Only a leading block counts, or text that ends with a closing tag whose opening tag is missing. Tags that occur
    after the answer has begun are left in it. A second call on the answer changes nothing.
    """
    if HARMONY.match(text):
        return _split_harmony(text)
    if match := STRIPPED_HARMONY.match(text):
        thoughts = [match["thoughts"], match["more"] or ""]
        return SplitText(match["answer"].strip(), joined_reasoning(thoughts))
    thoughts, place = [], 0
    while True:
        if opening := OPENING.match(text, place):
            place = opening.end()
            closing = next(_closings(text, place, len(text), CLOSING), None)
            if closing is None:
                return SplitText("", joined_reasoning([*thoughts, text[place:]]), complete=False)
        else:
            later = LATER_OPENING.search(text, place)
            end = len(text) if later is None else later.start()
            closing = max(_closings(text, place, end, ORPHANS), key=re.Match.start, default=None)
            if closing is None:
                break
        thoughts.append(text[place : closing.start()])
        place = closing.end()
    answer = text[place:]
    if not thoughts:
        return SplitText(text)
    if envelope := ENVELOPE.match(answer):
        answer = envelope[1]
    return SplitText(answer.strip(), joined_reasoning(thoughts))


def joined_reasoning(texts: Sequence[str]) -> str:
    """Pieces of reasoning as one text."""
    return "\n\n".join(filter(None, map(str.strip, texts)))


def _split_harmony(text: str) -> SplitText:
    thoughts, answers = list[str](), list[str]()
    for match in CHANNEL.finditer(text):
        (answers if match["name"] == "final" else thoughts).append(match["text"])
    return SplitText("".join(answers).strip(), joined_reasoning(thoughts), complete=bool(answers))


def _closings(text: str, start: int, end: int, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """The closing tags between two places, without those that the text quotes."""
    for match in pattern.finditer(text, start, end):
        before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
        if before != after or before not in ("`", '"', "'"):
            yield match
