"""Error replies: the server's message, whether to retry, and whether the request may be billed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from hf_synthlabels.clients.base import Completion, Failure, Usage

RetryDecision = Literal["never", "backoff", "throttled"]
BillingState = Literal["billed", "not_billed", "unknown"]

BAD_BODY = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""Errors that reading a malformed body can raise."""

QUOTA_CODES = (
    *("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated"),
    *("insufficient_balance", "insufficient_credits", "insufficient_user_quota"),
    *("exceeded_current_quota_error", "Arrearage"),
)
"""Codes of an account without money: OpenAI, several gateways, Moonshot, Alibaba."""

FILTER_CODES = re.compile(
    r"content_?filter|content_policy|responsible_?ai_?policy|prohibited_content|data_?inspection_?failed"
    r"|moderation_(?:blocked|error|failed)|(?:input|output)text(?:sensitive|risk)|sensitive_?content|blocklist",
    re.IGNORECASE,
)
"""Codes with which providers reject a prompt for its content: OpenAI, Azure, Google, Alibaba, Volcengine."""

FILTER_MESSAGES = re.compile(
    r"^content exists risk|flagged as potentially violating|content management policy|requires moderation",
    re.IGNORECASE,
)
"""The same for providers that report it only in the message: DeepSeek, OpenAI reasoning models, Azure, OpenRouter."""

NAMED_STATUSES = {
    **dict.fromkeys(("ratelimit", "ratelimitexceeded", "toomanyrequests", "resourceexhausted", "throttling"), 429),
    **dict.fromkeys(("insufficientquota", "billinghardlimitreached"), 429),
    **dict.fromkeys(("server", "internal", "internalserver", "api", "badgateway"), 500),
    **dict.fromkeys(("overloaded", "unavailable", "serviceunavailable", "engineoverloaded"), 503),
    **dict.fromkeys(("timeout", "deadlineexceeded", "gatewaytimeout"), 504),
    **dict.fromkeys(("badrequest", "invalidrequest", "invalidargument", "contextlengthexceeded", "invalidprompt"), 400),
    **dict.fromkeys(("authentication", "invalidapikey", "unauthenticated", "unauthorized"), 401),
    **dict.fromkeys(("insufficientbalance", "insufficientcredits", "paymentrequired"), 402),
    **dict.fromkeys(("permission", "permissiondenied", "forbidden"), 403),
    **dict.fromkeys(("notfound", "modelnotfound"), 404),
}
"""Statuses by error name, in lower case without `error` and punctuation."""

MESSAGE_KEYS = ("message", "Message", "detail", "details", "msg", "error_message", "status_msg", "faultstring", "title")
NESTED_KEYS = ("error", "errors", "fault", "base_resp")
MAX_MESSAGE = 200

FILTER_STATUSES = (400, 403, 422, 451)
"""Statuses with which providers reject a prompt for its content."""


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """A reply without a completion, and what is known about it."""

    message: str
    """The server's own message in one line."""
    status: int | None = None
    """The HTTP status, or for an error body sent with status 200 the status that it names; None if it names none."""
    code: str = ""
    """The server's codes and types of the error, separated by spaces."""
    retry: RetryDecision = "never"
    """`backoff` after a transient error, `throttled` if the server asks to slow down, `never` if it would recur."""
    usage: Usage | None = None
    """Tokens that the server counted; it bills them."""
    billed: BillingState = "not_billed"
    malformed: bool = False
    """The body is neither a completion nor a recognizable error."""

    @classmethod
    def of(
        cls,
        message: str,
        status: int | None = None,
        *,
        code: str = "",
        retry: RetryDecision = "never",
        usage: Usage | None = None,
        malformed: bool = False,
    ) -> ErrorReply:
        """An error that is billed with the tokens that the server counted, or not at all."""
        counted = usage is not None and usage.prompt_tokens + usage.completion_tokens > 0
        message = _one_line(message)
        return cls(
            message,
            status,
            code,
            retry,
            usage if counted else None,
            "billed" if counted else "not_billed",
            malformed=malformed,
        )

    @property
    def is_quota(self) -> bool:
        """Whether the server says that the account has no money left."""
        return any(code in f"{self.code} {self.message}" for code in QUOTA_CODES)

    @property
    def failure(self) -> Failure:
        """The failure of the request."""
        return Failure("malformed" if self.malformed else "http", self.message, self.status)


def error_message(text: str, redact: Callable[[str], str] = str) -> str:
    """The server's own message in a body, in one line."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return _plain(text, redact)
    return _one_line(redact(_message(body))) or "no message"


def names_error(body: Any) -> bool:
    """Whether a body that was sent with a success status is an error."""
    if isinstance(body, list):
        # Google's endpoint wraps its errors in a list.
        return any(map(names_error, body[:1]))
    if not isinstance(body, dict):
        return False
    if body.get("error") or body.get("object") == "error":
        return True
    return not body.get("choices") and bool(_message_of(body) or any(body.get(name) for name in NESTED_KEYS))


def read_error(
    key: int, body: Any, status: int | None, usage: Usage | None, redact: Callable[[str], str]
) -> Completion | ErrorReply:
    """Read an error; if a filter rejected the prompt, it is a completion with the finish reason `content_filter`.

    Args:
        key: of the request.
        body: the parsed JSON.
        status: the HTTP status; None for an error that was sent as a success.
        usage: what the server counted.
        redact: removes secrets from the server's message.
    """
    codes = [str(code) for code in _codes(body)]
    message = redact(_message(body))
    if status in (None, *FILTER_STATUSES) and _is_filter(codes, message):
        return Completion(key, finish_reason="content_filter", usage=usage or Usage())
    known = status if status is not None else next(filter(None, map(_status_of, codes)), None)
    return ErrorReply.of(
        message or "no message",
        known,
        code=redact(" ".join(dict.fromkeys(codes))),
        retry="backoff" if known is None else _retry(known),
        usage=usage,
    )


def text_error(text: str, status: int, error: Exception, redact: Callable[[str], str]) -> ErrorReply:
    """The error in a body that is not JSON: a page, plain text, or an incomplete completion."""
    if not 200 <= status < 300:
        return ErrorReply.of(_plain(text, redact), status, retry=_retry(status))
    if re.match(r"\s*<", text):
        page = f"the answer is not a chat completion: a page, {_plain(text, redact)!r}"
        return ErrorReply.of(page, retry="backoff", malformed=True)
    # An incomplete completion was generated, so it may be billed.
    return malformed(error, redact, "unknown" if text.lstrip().startswith("{") else "not_billed")


def malformed(
    error: Exception, redact: Callable[[str], str], billed: BillingState, usage: Usage | None = None
) -> ErrorReply:
    """A body that is neither a completion nor a recognizable error."""
    words = redact(f"the answer is not a chat completion: {type(error).__name__}: {error}")
    counted = ErrorReply.of(words, retry="backoff", usage=usage, malformed=True)
    return counted if counted.usage else replace(counted, billed=billed)


def _retry(status: int) -> RetryDecision:
    if status == 429:
        return "throttled"
    return "backoff" if status in (408, 409, 425) or status >= 500 else "never"


def _is_filter(codes: list[str], message: str) -> bool:
    return any(FILTER_CODES.search(code) for code in codes) or bool(FILTER_MESSAGES.search(message))


def _status_of(code: str) -> int | None:
    if code.isascii() and code.isdigit():
        number = int(code[:4])
        return number if 400 <= number <= 599 else None
    name = re.sub(r"[^a-z]", "", code.lower())
    return NAMED_STATUSES.get(name) or NAMED_STATUSES.get(name.removesuffix("error"))


def _codes(body: Any, depth: int = 0) -> Iterator[Any]:
    """All codes and types of an error, from the outside in."""
    if depth > 4:
        return
    if isinstance(body, list):
        for item in body[:3]:
            yield from _codes(item, depth + 1)
    if isinstance(body, dict):
        for name in ("code", "status_code", "status", "type", "reason"):
            if isinstance(value := body.get(name), str | int) and not isinstance(value, bool):
                yield value
        for name in (*NESTED_KEYS, "innererror", "inner_error", "details"):
            if isinstance(inner := body.get(name), dict | list):
                yield from _codes(inner, depth + 1)


def _message(body: Any) -> str:
    """The message of an error; its place depends on the server."""
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return "; ".join(filter(None, map(_message, body[:3]))) or json.dumps(body)
    if isinstance(body, dict):
        for name in NESTED_KEYS:
            if body.get(name):
                return _message(body[name])
        if words := _message_of(body):
            return words
    return json.dumps(body) if body else ""


def _message_of(body: Mapping[str, Any]) -> str:
    for name in MESSAGE_KEYS:
        value = body.get(name)
        if value and isinstance(value, str | list | dict):
            return value if isinstance(value, str) else _message(value)
    return ""


def _plain(text: str, redact: Callable[[str], str]) -> str:
    """A page or plain text as one line without markup."""
    page = re.search(r"<title>(.*?)</title>|<h1>(.*?)</h1>", text, re.IGNORECASE | re.DOTALL)
    words = (page[1] or page[2] or "") if page else text
    return _one_line(redact(re.sub(r"<[^<>]*>", " ", words) if page else words)) or "no message"


def encodable(text: str) -> str:
    """A text without lone surrogates, which are valid in JSON but not in files and tables."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _one_line(text: str) -> str:
    return encodable(" ".join(text.split())[:MAX_MESSAGE])
