"""Tokens as different servers tell them: what is billed must be counted."""

from __future__ import annotations

from typing import Any

import pytest

from hf_synthlabels.clients import Completion, Usage
from hf_synthlabels.clients.protocol.replies import read_reply


def usage(told: Any) -> Usage:
    reply = read_reply(0, {"choices": [{"message": {"content": "film"}}], "usage": told})
    assert isinstance(reply, Completion)
    return reply.usage


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ({"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}, Usage(20, 5)),
        # Thoughts are part of the answer at OpenAI, and in the total alone at gateways to Gemini.
        (
            {
                "prompt_tokens": 20,
                "completion_tokens": 65,
                "total_tokens": 85,
                "completion_tokens_details": {"reasoning_tokens": 60},
            },
            Usage(20, 65),
        ),
        ({"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623}, Usage(20, 603)),
        ({"prompt_tokens": 21, "completion_tokens": 0, "total_tokens": 81}, Usage(21, 60)),
        # A total that is too small or missing changes nothing.
        ({"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 0}, Usage(20, 5)),
        ({"prompt_tokens": 20, "completion_tokens": 5}, Usage(20, 5)),
        (
            {"prompt_tokens": 20, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 16}},
            Usage(20, 5, 16),
        ),
        # DeepSeek has a field of its own.
        ({"prompt_tokens": 20, "completion_tokens": 5, "prompt_cache_hit_tokens": 16}, Usage(20, 5, 16)),
        ({}, Usage()),
        (None, Usage()),
    ],
)
def test_usage(told: Any, read: Usage) -> None:
    assert usage(told) == read
