"""Notices prompts that a server truncated without an error: it counted fewer tokens than they can have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from hf_synthlabels.clients.base import ChatClient, Completion, Request

WORD = re.compile(r"([\u0e00-\u0fff\u3040-\u30ff\u3400-\u9fff]+)|[^\W_\u0e00-\u0fff\u3040-\u30ff\u3400-\u9fff]+")
MAX_TOKEN = 4
"""Characters of a token in a script that puts no spaces between words; other tokens end where a word ends."""

MIN_CHARACTERS = 1000
"""Shorter prompts fit into any context."""

MIN_COUNTED = 256
"""Smaller counts are those of servers that leave out what they had cached."""

MARGIN = 0.9
SAME_COUNT_PROMPTS = 5
SAME_COUNT_RATIO = 1.3
"""So many prompts with the same count, the longest longer by this factor: the count is the server's limit."""

MAX_CASES = 20


def min_tokens(text: str) -> int:
    """The fewest tokens that a text can be: one for each word, or for four characters of Chinese, Thai and the like."""
    return sum(-(-len(unspaced) // MAX_TOKEN) if unspaced else 1 for unspaced in WORD.findall(text))


def checked_prompts(client: ChatClient, requests: Iterable[Request], found: Counter[str]) -> Iterator[Completion]:
    """The client's completions; prompts that the server probably truncated are counted.

    Args:
        client: whose usage is checked, also that of stored answers.
        requests: sent to it.
        found: is counted up, by what the server counted and what the prompt has at least.
    """
    check = _Check(found)
    for completion in client.complete(check.noted(requests)):
        check.answered(completion)
        yield completion


def truncation_warning(found: Mapping[str, int]) -> str | None:
    """The warning for a summary; None if no prompt was truncated."""
    if not found:
        return None
    case, _ = Counter(found).most_common(1)[0]
    counted, least = map(int, case.split("/"))
    why = f"a prompt has at least {least:,}" if least > counted else "prompts have very different lengths"
    return (
        f"warning: the server probably truncated {sum(found.values()):,} prompts: it counted {counted:,} tokens where "
        f"{why}. Raise its context length (Ollama: num_ctx), or shorten the texts."
    )


class _Check:
    """What one call of a client showed so far."""

    def __init__(self, found: Counter[str]) -> None:
        self._found = found
        self._least: dict[int, int] = {}
        self._known: dict[str, int] = {}
        self._highest = 0
        self._same: list[int] = []
        """The least tokens of the prompts with the highest count."""
        self._is_limit = False

    def noted(self, requests: Iterable[Request]) -> Iterator[Request]:
        """The requests, whose lengths are remembered until they are answered."""
        for request in requests:
            if sum(len(message.content) for message in request.messages) >= MIN_CHARACTERS:
                *before, last = request.messages
                self._least[request.key] = sum(self._cached(one.content) for one in before) + min_tokens(last.content)
            yield request

    def answered(self, completion: Completion) -> None:
        """Compare what the server counted with what the prompt has at least."""
        least = self._least.pop(completion.key, None)
        # Some servers leave cached tokens out of the prompt's, so both are added: the check is on the safe side.
        counted = completion.usage.prompt_tokens + completion.usage.cached_tokens
        if least is None or completion.failure is not None or counted < MIN_COUNTED:
            return
        if counted > self._highest:
            self._highest, self._same, self._is_limit = counted, [], False
        if counted < MARGIN * least:
            # A truncated prompt fills the context; a much smaller count leaves out what the server had cached.
            if 2 * counted >= self._highest:
                self._add(counted, least, 1)
        elif counted == self._highest:
            self._same.append(least)
            if self._is_limit:
                self._add(counted, counted, 1)
            elif len(self._same) >= SAME_COUNT_PROMPTS and max(self._same) >= SAME_COUNT_RATIO * min(self._same):
                self._is_limit = True
                self._add(counted, counted, len(self._same))

    def _add(self, counted: int, least: int, prompts: int) -> None:
        case = f"{counted}/{least}"
        if case not in self._found and len(self._found) >= MAX_CASES:
            case = next(iter(self._found))
        self._found[case] += prompts

    def _cached(self, text: str) -> int:
        """The length of a part that all prompts share, such as the system prompt."""
        if text not in self._known:
            if len(self._known) >= 64:
                self._known.clear()
            self._known[text] = min_tokens(text)
        return self._known[text]
