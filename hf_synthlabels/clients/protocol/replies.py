"""Replies of a chat completions server: a completion, or an error with the server's message."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from hf_synthlabels.clients.base import Completion, FinishReason, Usage
from hf_synthlabels.clients.protocol.error_replies import (
    BAD_BODY,
    BillingState,
    ErrorReply,
    encodable,
    malformed,
    names_error,
    read_error,
    text_error,
)
from hf_synthlabels.clients.protocol.reasoning_parts import answer_tokens, message_text
from hf_synthlabels.labels import Token

COMPLETE = frozenset(
    {"stop", "stop_sequence", "stop_token", "end_turn", "end", "eos", "eos_token", "eosfound", "complete", "completed"}
)
"""Finish reasons of an answer that the model ended by itself, in lower case: OpenAI and most servers send `stop`,
Anthropic `end_turn`, TGI `eos_token`, Together `eos`, Cohere `COMPLETE`."""

TRUNCATED = frozenset({"length", "max_tokens", "model_length", "max_length", "max_output_tokens", "limit"})
TRUNCATED |= frozenset({"model_context_window_exceeded", "error_limit", "context_length", "maxpredictedtokensreached"})

REFUSED = (
    *("content_filter", "content-filter", "contentfilter", "guardrail", "safety", "image_safety", "recitation"),
    *("refusal", "prohibited_content", "blocklist", "spii", "error_toxic", "sensitive", "moderation", "blocked"),
)
"""Prefixes of the reasons of filtered answers; some servers append the category."""

TRANSIENT = frozenset({"error", "abort", "aborted", "cancelled", "network_error", "insufficient_system_resource"})
"""Finish reasons of transient server errors. Other unknown reasons, such as `tool_calls`, would recur."""

ROUNDING = 1e-3


def parse_reply(
    key: int, content: bytes, *, status: int = 200, redact: Callable[[str], str] = str
) -> Completion | ErrorReply:
    """Read the body of an HTTP reply; see `read_reply`."""
    try:
        body = decode_json(content)
    except (ValueError, RecursionError) as error:
        return text_error(content.decode(errors="replace"), status, error, redact)
    return read_reply(key, body, status=status, redact=redact)


def decode_json(content: bytes | str) -> Any:
    """Parse JSON, including lone surrogates, `NaN`, byte order marks and other encodings, which orjson rejects.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    try:
        return orjson.loads(content)
    except ValueError:
        return json.loads(content)


def read_reply(
    key: int, body: Any, *, status: int = 200, redact: Callable[[str], str] = str
) -> Completion | ErrorReply:
    """Read the JSON body of a reply: a completion, or an error, whatever its HTTP status.

    Only the message and its finish reason decide whether an answer is usable. The answer is paid for, so malformed
    log-probabilities or token counts are left out instead of failing it.

    A prompt that the provider's filter rejects is a completion with the finish reason `content_filter`.
    """
    is_ok = 200 <= status < 300
    usage = None
    try:
        if isinstance(body, dict):
            usage = _usage(body.get("usage"))
        if is_ok and not names_error(body):
            choice = body["choices"][0]
            if choice.get("error"):
                return read_error(key, choice, None, usage, redact)
            return _completion(key, body, choice, usage or Usage())
    except BAD_BODY as error:
        if is_ok:
            billed: BillingState = (
                "unknown" if isinstance(body, dict) and (body.get("choices") or body.get("usage")) else "not_billed"
            )
            return malformed(error, redact, billed, usage)
    return read_error(key, body, None if is_ok else status, usage, redact)


def _completion(key: int, body: Mapping[str, Any], choice: Mapping[str, Any], usage: Usage) -> Completion | ErrorReply:
    message = choice["message"]
    split = message_text(message)
    refusal = message.get("refusal")
    reported = choice.get("finish_reason")
    text = encodable(refusal if isinstance(refusal, str) and refusal else split.answer)
    reasoning = encodable(split.reasoning)
    reason = _finish_reason(reported, has_text=bool(text or reasoning))
    if reason is None:
        return _unfinished(reported, usage)
    if not split.complete and reason == "stop":
        reason = "length"
    model = body.get("model")
    return Completion(
        key,
        text=text,
        finish_reason=reason,
        refusal=bool(refusal),
        usage=usage,
        model=encodable(model) if isinstance(model, str) else None,
        tokens=answer_tokens(_tokens(choice.get("logprobs")), text, reasoning),
        reasoning=reasoning,
    )


def _finish_reason(reported: Any, *, has_text: bool) -> FinishReason | None:
    """Map a server's finish reason; None for an unusable answer."""
    if reported is None or reported == "":
        # Some servers never give a reason, and OpenAI left it out for days, so text is enough.
        return "stop" if has_text else None
    name = str(reported).strip().lower()
    if name in COMPLETE:
        return "stop"
    if name in TRUNCATED:
        return "length"
    return "content_filter" if name.startswith(REFUSED) else None


def _unfinished(reported: Any, usage: Usage) -> ErrorReply:
    problem = f"ended with `finish_reason` {str(reported)!r}" if reported else "is empty and has no `finish_reason`"
    return ErrorReply.of(
        f"the answer {problem}",
        code=str(reported or ""),
        retry="backoff" if not reported or str(reported).lower() in TRANSIENT else "never",
        usage=usage,
        malformed=True,
    )


def _usage(usage: Any) -> Usage:
    """Token counts of a server; zero if a main count is malformed, so that a budget charges the maximum."""
    if not isinstance(usage, dict):
        return Usage()
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if prompt is None or completion is None:
        return Usage()
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    return Usage(
        prompt,
        # Some servers count reasoning tokens only in the total; they are billed as part of the answer.
        max(completion, (_count(usage.get("total_tokens")) or 0) - prompt),
        cached or _count(usage.get("prompt_cache_hit_tokens")) or 0,
    )


def _count(value: Any) -> int | None:
    """A number of tokens: 0 if missing, None if malformed."""
    try:
        count = int(value or 0)
    except (TypeError, ValueError, OverflowError):
        return None
    return count if count >= 0 else None


def _tokens(logprobs: Any) -> tuple[Token, ...]:
    """Tokens with log-probabilities; empty if any is malformed, because the answer is usable without them."""
    if not logprobs:
        return ()
    try:
        return tuple(
            Token(
                _token_text(token),
                _logprob(token),
                tuple((_token_text(other), _logprob(other)) for other in token.get("top_logprobs") or ()),
            )
            for token in logprobs.get("content") or ()
        )
    except BAD_BODY:
        return ()


def _token_text(token: Mapping[str, Any]) -> str:
    return encodable(str(token["token"]))


def _logprob(token: Mapping[str, Any]) -> float:
    value = float(token["logprob"])
    # Rounding can push the logarithm of a certain token slightly above 0.
    if not -math.inf < value <= ROUNDING:
        raise ValueError(f"{value} is not a log-probability")
    return min(value, 0.0)
