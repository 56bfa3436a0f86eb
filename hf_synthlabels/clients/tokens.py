"""How many tokens a text is, without a tokenizer: an estimate to plan with."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hf_synthlabels.clients.base import Message

__all__ = ["estimate_message_tokens", "estimate_tokens"]

PIECE = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"  # Chinese, Japanese and Korean characters: about one token each
    r"|[A-Za-z]+|[^\W\d_A-Za-z\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|\d+|[^\w\s]|\n"
)
CHARACTERS_PER_WORD_TOKEN = 6
CHARACTERS_PER_OTHER_TOKEN = 2.5
DIGITS_PER_TOKEN = 3
TOKENS_PER_MESSAGE = 4


def estimate_tokens(text: str) -> int:
    """About how many tokens a text is: common words are one, long words, numbers and other scripts several.

    Meant for planning only; a budget is kept by what is certain, the number of bytes. Once a server has counted
    real prompts, their ratio to this estimate is better than any rule.
    """
    count = 0
    for match in PIECE.finditer(text):
        piece = match[0]
        if piece[0].isdigit():
            count += -(-len(piece) // DIGITS_PER_TOKEN)
        elif piece.isascii():
            count += -(-len(piece) // CHARACTERS_PER_WORD_TOKEN)
        else:
            count += max(1, round(len(piece) / CHARACTERS_PER_OTHER_TOKEN))
    return count


def estimate_message_tokens(messages: Sequence[Message]) -> int:
    """About how many tokens a conversation is, with what a chat template adds."""
    return sum(estimate_tokens(message.content) + TOKENS_PER_MESSAGE for message in messages) + TOKENS_PER_MESSAGE
