"""Separates a model's reasoning from its answer, in the forms that servers and chat templates write."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.labels import Token

__all__ = ["SplitText", "answer_tokens", "message_text", "split_reasoning"]

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

CONTROL = re.compile(r"(?:<\|[^|<>]*\|>|</s>|<eos>|<end_of_turn>|\s)*\Z")
"""What may follow an answer among its tokens."""

TEXT_PARTS = ("text", "output_text", "input_text")
REASONING_PARTS = ("thinking", "reasoning", "reasoning_content", "redacted_thinking")

REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_details", "thinking_blocks")
"""Of a message; gateways send the same reasoning in several of them, so the first one with a text counts."""


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
        return SplitText(match["answer"].strip(), _joined(thoughts))
    thoughts = []
    answer = text
    while True:
        if opening := OPENING.match(answer):
            closing = _closing(answer, opening.end(), CLOSING)
            if closing is None:
                return SplitText("", _joined([*thoughts, answer[opening.end() :]]), complete=False)
            thoughts.append(answer[opening.end() : closing.start()])
        else:
            closing = _closing(answer, 0, ORPHANS)
            later = LATER_OPENING.search(answer)
            if closing is None or (later is not None and later.start() < closing.start()):
                break
            thoughts.append(answer[: closing.start()])
        answer = answer[closing.end() :]
    if not thoughts:
        return SplitText(text)
    if envelope := ENVELOPE.match(answer):
        answer = envelope[1]
    return SplitText(answer.strip(), _joined(thoughts))


def message_text(message: Mapping[str, Any]) -> SplitText:
    """The answer and the reasoning in a message of a chat completion, wherever the server puts them.

    Raises:
        TypeError: the content is neither text nor a list of parts.
    """
    thoughts, texts = list[str](), list[str]()
    for is_reasoning, text in _parts(message.get("content")):
        (thoughts if is_reasoning else texts).append(text)
    split = split_reasoning("".join(texts))
    field = next(filter(None, (_reasoning_text(message.get(name)) for name in REASONING_FIELDS)), "")
    return SplitText(split.answer, _joined([field, *thoughts, split.reasoning]), split.complete)


def answer_tokens(tokens: Sequence[Token], answer: str, reasoning: str) -> tuple[Token, ...]:
    """The tokens that spell the answer; none of the reasoning's. Empty if they cannot be told from each other."""
    if not reasoning:
        return tuple(tokens)
    spelled = "".join(token.text for token in tokens)
    wanted = answer.strip()
    start = spelled.rfind(wanted)
    if not wanted or start < 0 or not CONTROL.match(spelled, start + len(wanted)):
        return ()
    place = 0
    for number, token in enumerate(tokens):
        if place + len(token.text) > start:
            # The answer's first token may begin with white space, but not with the end of the reasoning.
            return () if spelled[place:start].strip() else tuple(tokens[number:])
        place += len(token.text)
    return ()


def _split_harmony(text: str) -> SplitText:
    thoughts, answers = list[str](), list[str]()
    for match in CHANNEL.finditer(text):
        (answers if match["name"] == "final" else thoughts).append(match["text"])
    return SplitText("".join(answers).strip(), _joined(thoughts), complete=bool(answers))


def _closing(text: str, start: int, pattern: re.Pattern[str]) -> re.Match[str] | None:
    """The first closing tag from a place on, unless the text quotes it."""
    for match in pattern.finditer(text, start):
        around = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
        if around[0] != around[1] or around[0] not in ("`", '"', "'"):
            return match
    return None


def _parts(content: Any) -> Iterator[tuple[bool, str]]:
    """The texts in the content of a message, and whether each is reasoning."""
    match content:
        case None:
            return
        case str():
            yield False, content
        case dict():
            yield from _parts([content])
        case list():
            for part in content:
                if isinstance(part, str):
                    yield False, part
                    continue
                kind = part.get("type", "text")
                if kind in REASONING_PARTS or kind.startswith("reasoning."):
                    yield True, _reasoning_text(part)
                elif kind in TEXT_PARTS:
                    yield False, _part_text(part.get("text"))
        case _:
            raise TypeError(f"`content` is a {type(content).__name__}, not a text")


def _part_text(text: Any) -> str:
    if isinstance(text, dict):
        # As the assistants protocol writes it.
        text = text.get("value")
    if text is not None and not isinstance(text, str):
        raise TypeError(f"a part of `content` is a {type(text).__name__}, not a text")
    return text or ""


def _reasoning_text(content: Any) -> str:
    """The text of a reasoning field or part; encrypted reasoning has none."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(map(_reasoning_text, content))
    if isinstance(content, dict):
        return next(
            filter(None, (_reasoning_text(content.get(name)) for name in ("thinking", "text", "content", "summary"))),
            "",
        )
    return ""


def _joined(texts: Sequence[str]) -> str:
    return "\n\n".join(filter(None, map(str.strip, texts)))
