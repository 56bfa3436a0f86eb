"""Separation of answers and reasoning in server messages and model output."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hf_synthlabels.clients.base import Completion
from hf_synthlabels.labels import Token
from hf_synthlabels.labels.parsing.reasoning import SplitText, joined_reasoning, split_reasoning

CONTROL = re.compile(r"(?:<\|[^|<>]*\|>|</s>|<eos>|<end_of_turn>|\s)*\Z")
"""Control tokens that may follow an answer."""

TEXT_PARTS = ("text", "output_text", "input_text")
REASONING_PARTS = ("thinking", "reasoning", "reasoning_content", "redacted_thinking")

REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_details", "thinking_blocks")
"""Message fields; gateways repeat the same reasoning in several of them, so only the first with text is used."""

NO_REASONING = frozenset(REASONING_FIELDS).isdisjoint


def message_text(message: Mapping[str, Any]) -> SplitText:
    """The answer and the reasoning in a chat completion message, wherever the server puts them.

    Raises:
        TypeError: the content is neither text nor a list of parts.
    """
    content = message.get("content")
    if isinstance(content, str) and NO_REASONING(message):
        return split_reasoning(content)
    thoughts, texts = list[str](), list[str]()
    for is_reasoning, text in _parts(content):
        (thoughts if is_reasoning else texts).append(text)
    split = split_reasoning("".join(texts))
    field = next(filter(None, (_reasoning_text(message.get(name)) for name in REASONING_FIELDS)), "")
    return SplitText(split.answer, joined_reasoning([field, *thoughts, split.reasoning]), split.complete)


def separate_reasoning(completion: Completion) -> Completion:
    """Move reasoning out of a completion's text, whatever client it comes from; idempotent."""
    split = split_reasoning(completion.text)
    if split.complete and split.answer == completion.text:
        return completion
    return replace(
        completion,
        text=split.answer,
        finish_reason=completion.finish_reason if split.complete or completion.finish_reason != "stop" else "length",
        reasoning=joined_reasoning([completion.reasoning, split.reasoning]),
        tokens=answer_tokens(completion.tokens, split.answer, split.reasoning),
    )


def answer_tokens(tokens: Sequence[Token], answer: str, reasoning: str) -> tuple[Token, ...]:
    """The tokens of the answer without those of the reasoning; empty if they cannot be separated."""
    if not tokens:
        return ()
    spelled = "".join(token.text for token in tokens)
    stripped = answer.strip()
    start = spelled.rfind(stripped)
    if not stripped or start < 0 or not CONTROL.match(spelled, start + len(stripped)):
        return () if reasoning else tuple(tokens)
    place = 0
    for number, token in enumerate(tokens):
        if place + len(token.text) > start:
            # The answer's first token may begin with white space, but not with the end of the reasoning.
            return () if spelled[place:start].strip() else tuple(tokens[number:])
        place += len(token.text)
    return ()


def _parts(content: Any) -> Iterator[tuple[bool, str]]:
    """The texts of a message's content, and whether each is reasoning."""
    match content:
        case None:
            return
        case str():
            yield False, content
        case dict():
            yield from _parts([content])
        case list():
            for part in content:
                if part is None:
                    continue
                if isinstance(part, str):
                    yield False, part
                    continue
                kind = str(part.get("type") or "text")
                if kind in REASONING_PARTS or kind.startswith("reasoning."):
                    yield True, _reasoning_text(part)
                elif kind in TEXT_PARTS:
                    yield False, _part_text(part.get("text"))
        case _:
            raise TypeError(f"`content` is a {type(content).__name__}, not text")


def _part_text(text: Any) -> str:
    if isinstance(text, dict):
        # Format of the assistants API.
        text = text.get("value")
    if text is not None and not isinstance(text, str):
        raise TypeError(f"a part of `content` is a {type(text).__name__}, not text")
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
