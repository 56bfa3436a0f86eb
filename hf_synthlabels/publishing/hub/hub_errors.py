"""Errors of the Hub as one line that names the repair."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from hf_synthlabels.clients.retry import retry_after_s
from hf_synthlabels.errors import HubError, SynthLabelsError

RETRY = "Run it again: uploaded files are not sent twice."

NO_TOKEN = (
    "there is no token for the Hub. Create one with write permission at https://huggingface.co/settings/tokens, and "
    "run `hf auth login` or set HF_TOKEN."
)

TRANSIENT = frozenset({408, 409, 412, 429, 500, 502, 503, 504})
"""Statuses that are worth another attempt."""

SECRET = re.compile(r"hf_[A-Za-z0-9]{8,}")

STATUSES = {
    400: "the Hub rejects the request",
    401: "the Hub does not accept the token, which may have expired. Run `hf auth login`, or set another HF_TOKEN",
    402: "the Hub asks for a payment",
    403: "the token lacks the permission. Use a token with write permission, or another name",
    404: "it does not exist, or the token cannot see it. Check the name",
    409: f"another change is in progress. {RETRY[:-1]}",
    412: f"the repository was changed in the meantime. {RETRY[:-1]}",
    413: "it is too large",
    429: "too many requests. Run it again later: uploaded files are not sent twice",
}


@contextmanager
def translate_errors(repo: str, failure: str) -> Iterator[None]:
    """Translate the errors of the Hub's client.

    Args:
        repo: name of the repository.
        failure: what failed, such as `cannot be published`.

    Raises:
        HubError: the Hub cannot be reached, or refuses.
    """
    try:
        yield
    except SynthLabelsError:
        raise
    except Exception as error:
        explanation = _explanation(error)
        if explanation is None:
            raise
        # Not `from error`, which holds the request's headers with the token.
        raise HubError(SECRET.sub("hf_...", f"`{repo}` {failure}: {explanation}")) from None


def is_transient(error: BaseException) -> bool:
    """Whether another attempt can succeed."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in TRANSIENT
    return isinstance(error, httpx2.TransportError) and not isinstance(error, httpx2.UnsupportedProtocol)


def retry_after(error: BaseException) -> float | None:
    """Seconds that the Hub asks to wait; None if it does not."""
    if not isinstance(error, HfHubHTTPError):
        return None
    return retry_after_s(error.response.headers)


def _explanation(error: BaseException) -> str | None:
    """Cause and repair; None for an error that is not of the Hub."""
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so no request is sent to the Hub. Unset it."
    if isinstance(error, LocalTokenNotFoundError):
        return NO_TOKEN
    if isinstance(error, HFValidationError):
        return "a name on the Hub is `user/name`, of letters, digits, '-', '_' and '.'."
    if isinstance(error, HfHubHTTPError):
        return _status(error)
    if isinstance(error, httpx2.TimeoutException):
        return f"the Hub did not answer in time. {RETRY}"
    if isinstance(error, httpx2.ConnectError):
        return "the Hub cannot be reached. Check the connection, and HF_ENDPOINT if it is set."
    if isinstance(error, httpx2.TransportError):
        return f"the connection was cut. {RETRY}"
    if isinstance(error, ValueError) and "metadata in README.md" in str(error):
        return f"the Hub rejects the card: {_line(str(error).partition('.md.')[2])}"
    cause = error.__cause__
    if isinstance(error, LocalEntryNotFoundError | RuntimeError) and cause is not None:
        # The client wraps errors of uploads and downloads.
        return _explanation(cause)
    return None


def _status(error: HfHubHTTPError) -> str:
    status = error.response.status_code
    if isinstance(error, RepositoryNotFoundError):
        # Without a token, the answer for a private repository, too.
        return f"{STATUSES[404]}."
    detail = _line(error.server_message or "")
    other = f"the Hub has an internal error. {RETRY[:-1]}" if status >= 500 else "the Hub refuses"
    wait_s = retry_after(error)
    more = f" The Hub asks to wait {wait_s:g} s." if wait_s else ""
    return f"{STATUSES.get(status, other)} (status {status}{': ' + detail if detail else ''}).{more}"


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
