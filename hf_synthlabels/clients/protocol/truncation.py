"""Detection of silently truncated prompts: the server counted fewer tokens than the prompt can have."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hf_synthlabels.clients.base import ChatClient, Completion, Request

WORD = re.compile(r"([\u0e00-\u0fff\u3040-\u30ff\u3400-\u9fff]+)|[^\W_\u0e00-\u0fff\u3040-\u30ff\u3400-\u9fff]+")
ASCII_WORDS = bytes(code if chr(code).isascii() and chr(code).isalnum() else ord(" ") for code in range(256))
"""Translates ASCII text to its words between spaces, five times as fast as the pattern."""

MAX_TOKEN = 4
"""Maximum characters per token in scripts without spaces; other tokens end at word boundaries."""

MIN_CHARACTERS = 1000
"""Shorter prompts fit any context."""

MIN_COUNTED = 256
"""Smaller counts come from servers that leave out cached tokens."""

MARGIN = 0.9
SAME_COUNT_PROMPTS = 5
SAME_COUNT_RATIO = 1.3
"""If this many prompts have the same count, and the longest is longer by this factor, the count is the limit."""

MAX_CASES = 20


def min_tokens(text: str) -> int:
    """Lower bound of a text's tokens: one per word, or per four characters of Chinese, Thai and similar scripts."""
    if text.isascii():
        return len(text.encode().translate(ASCII_WORDS).split())
    return sum(-(-len(unspaced) // MAX_TOKEN) if unspaced else 1 for unspaced in WORD.findall(text))


def checked_prompts(client: ChatClient, requests: Iterable[Request], truncated: Counter[str]) -> Iterator[Completion]:
    """The client's completions; counts prompts that the server probably truncated.

    Args:
        client: its usage counts are checked, also those of stored answers.
        requests: to complete.
        truncated: updated; keys are the counted tokens and the lower bound, as `counted/least`.
    """
    check = _Check(truncated)
    for completion in client.complete(check.record_lengths(requests)):
        check.compare(completion)
        yield completion


def truncation_warning(truncated: Mapping[str, int]) -> str | None:
    """Warning for a summary; None if no prompt was truncated."""
    if not truncated:
        return None
    case, _ = Counter(truncated).most_common(1)[0]
    counted, least = map(int, case.split("/"))
    why = f"a prompt has at least {least:,}" if least > counted else "prompts have very different lengths"
    return (
        f"warning: the server probably truncated {sum(truncated.values()):,} prompts: it counted {counted:,} tokens "
        f"where {why}. Raise its context length (Ollama: num_ctx), or shorten the texts."
    )


@dataclass(slots=True)
class _Bounds:
    """Range of the lower bounds of the prompts with the highest count."""

    prompts: int = 0
    smallest: float = math.inf
    largest: int = 0

    def add(self, least: int) -> None:
        """Add a prompt."""
        self.prompts += 1
        self.smallest = min(self.smallest, least)
        self.largest = max(self.largest, least)


class _Check:
    """State of the check during one call of a client."""

    def __init__(self, truncated: Counter[str]) -> None:
        self._truncated = truncated
        self._least: dict[int, int] = {}
        self._known: dict[str, int] = {}
        self._highest = 0
        self._same = _Bounds()
        self._is_limit = False

    def record_lengths(self, requests: Iterable[Request]) -> Iterator[Request]:
        """Pass requests through and remember their lengths until they are answered."""
        for request in requests:
            characters = 0
            for message in request.messages:
                characters += len(message.content)
            if characters >= MIN_CHARACTERS:
                *before, last = request.messages
                self._least[request.key] = sum(self._cached(message.content) for message in before) + min_tokens(
                    last.content
                )
            yield request

    def compare(self, completion: Completion) -> None:
        """Compare the server's count with the lower bound of the prompt."""
        least = self._least.pop(completion.key, None)
        # Some servers leave cached tokens out of the prompt tokens, so both are added: the check is conservative.
        counted = completion.usage.prompt_tokens + completion.usage.cached_tokens
        if least is None or completion.failure is not None or counted < MIN_COUNTED:
            return
        if counted > self._highest:
            self._highest, self._same, self._is_limit = counted, _Bounds(), False
        if counted < MARGIN * least:
            # A truncated prompt fills the context; a much smaller count leaves out cached tokens.
            if 2 * counted >= self._highest:
                self._add(counted, least, 1)
        elif counted == self._highest:
            self._same.add(least)
            if self._is_limit:
                self._add(counted, counted, 1)
            elif self._same.prompts >= SAME_COUNT_PROMPTS and self._same.largest >= (
                SAME_COUNT_RATIO * self._same.smallest
            ):
                self._is_limit = True
                self._add(counted, counted, self._same.prompts)

    def _add(self, counted: int, least: int, prompts: int) -> None:
        case = f"{counted}/{least}"
        if case not in self._truncated and len(self._truncated) >= MAX_CASES:
            case = next(iter(self._truncated))
        self._truncated[case] += prompts

    def _cached(self, text: str) -> int:
        """Lower bound of a part that all prompts share, such as the system prompt."""
        if text not in self._known:
            if len(self._known) >= 64:
                self._known.clear()
            self._known[text] = min_tokens(text)
        return self._known[text]
