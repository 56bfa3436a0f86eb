"""One attempt to send a request: the response, and what it says about billing and retries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.clients.base import Completion, Failure, Usage
from hf_synthlabels.clients.openai.transport import BrokenConnectionError, Transport
from hf_synthlabels.clients.protocol.error_replies import BillingState, RetryDecision
from hf_synthlabels.clients.protocol.replies import parse_reply
from hf_synthlabels.clients.retry import rate_limit_reset_s, retry_after_s


@dataclass(frozen=True, slots=True)
class Attempt:
    """Outcome of one attempt."""

    completion: Completion | None = None
    failure: Failure | None = None
    retry: RetryDecision = "never"
    wait_s: float | None = None
    """How long the server asks to wait."""
    billed: BillingState = "not_billed"
    usage: Usage | None = None
    """Tokens that the server counted, also for an error."""
    is_quota: bool = False
    """The account has no money left."""

    @property
    def cause(self) -> str:
        """The failure as text."""
        if self.failure is None:
            return ""
        status = self.failure.http_status
        return f"HTTP {status}: {self.failure.message}" if status else self.failure.message


async def send(
    transport: Transport, key: int, body: Mapping[str, Any], *, timeout_s: float, redact: Callable[[str], str]
) -> Attempt:
    """Send a body once.

    Args:
        transport: an open transport.
        key: key of the request.
        body: of the chat completion.
        timeout_s: for messages only; the transport enforces it.
        redact: removes secrets from a server's message, which may quote the key that it rejects.
    """
    try:
        response = await transport.post(body)
    except TimeoutError:
        failure = Failure("timeout", f"no answer within {timeout_s:g} s")
        return Attempt(failure=failure, retry="backoff", billed="unknown")
    except BrokenConnectionError as error:
        failure = Failure("connection", redact(str(error)))
        return Attempt(failure=failure, retry="backoff", billed="unknown" if error.sent else "not_billed")
    reply = parse_reply(key, response.content, status=response.status, redact=redact)
    if isinstance(reply, Completion):
        reset_s = rate_limit_reset_s(response.headers)
        return Attempt(reply, billed="billed", usage=reply.usage, wait_s=reset_s)
    wait_s = retry_after_s(response.headers)
    if wait_s is None and reply.retry == "throttled":
        wait_s = rate_limit_reset_s(response.headers)
    return Attempt(None, reply.failure, reply.retry, wait_s, reply.billed, reply.usage, reply.is_quota)
