"""What the Hub answers when it does not do what it was asked: one line that says the repair."""

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

AGAIN = "Run it again: what was uploaded is not sent twice."

NO_TOKEN = (
    "there is no token for the Hub. Make one that may write at https://huggingface.co/settings/tokens, and run "
    "`hf auth login` or set HF_TOKEN."
)

PASSING = frozenset({408, 409, 412, 429, 500, 502, 503, 504})
"""Statuses that another attempt can mend."""

SECRET = re.compile(r"hf_[A-Za-z0-9]{8,}")

STATUSES = {
    400: "it refuses what was sent",
    401: "it does not accept the token, which may have expired. Run `hf auth login`, or set another HF_TOKEN",
    402: "it asks for a payment",
    403: "the token may not do that. Take one that may write there, or another name",
    404: "it is not there, or the token may not see it. Look at the name",
    409: f"another change is under way. {AGAIN[:-1]}",
    412: f"it was changed in the meantime. {AGAIN[:-1]}",
    413: "it is too large",
    429: f"too many requests. Wait a while, and run it again{AGAIN.removeprefix('Run it again')[:-1]}",
}


@contextmanager
def told(repo: str, doing: str) -> Iterator[None]:
    """Tell the many errors of the Hub's client as one.

    Args:
        repo: the name of the repository.
        doing: what is tried, such as `cannot be published`.

    Raises:
        HubError: the Hub cannot be reached, or refuses.
    """
    try:
        yield
    except SynthLabelsError:
        raise
    except Exception as error:
        words = _words(error)
        if words is None:
            raise
        # Not `from error`: it holds the request with its headers, and the token among them.
        raise HubError(SECRET.sub("hf_...", f"`{repo}` {doing}: {words}")) from None


def passes(error: BaseException) -> bool:
    """Whether another attempt can succeed."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in PASSING
    return isinstance(error, httpx2.TransportError) and not isinstance(error, httpx2.UnsupportedProtocol)


def retry_after(error: BaseException) -> float | None:
    """Seconds that the Hub asks to wait; None where it does not say."""
    if not isinstance(error, HfHubHTTPError):
        return None
    return retry_after_s(error.response.headers)


def _words(error: BaseException) -> str | None:
    """What went wrong and what to do; None for what is not the Hub's."""
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so no request is sent to the Hub. Unset it."
    if isinstance(error, LocalTokenNotFoundError):
        return NO_TOKEN
    if isinstance(error, HFValidationError):
        return "a name on the Hub is `user/name`, of letters, digits, '-', '_' and '.'."
    if isinstance(error, HfHubHTTPError):
        return _status(error)
    if isinstance(error, httpx2.TimeoutException):
        return f"the Hub did not answer in time. {AGAIN}"
    if isinstance(error, httpx2.ConnectError):
        return "the Hub cannot be reached. Look at the connection, and at HF_ENDPOINT if it is set."
    if isinstance(error, httpx2.TransportError):
        return f"the connection was cut. {AGAIN}"
    if isinstance(error, ValueError) and "metadata in README.md" in str(error):
        return f"the Hub refuses the card: {_line(str(error).partition('.md.')[2])}"
    cause = error.__cause__
    if isinstance(error, LocalEntryNotFoundError | RuntimeError) and cause is not None:
        # An upload of one file, or a download, tells its cause so.
        return _words(cause)
    return None


def _status(error: HfHubHTTPError) -> str:
    status = error.response.status_code
    if isinstance(error, RepositoryNotFoundError):
        # So it also answers, without a token, for what is private.
        return f"{STATUSES[404]}."
    said = _line(error.server_message or "")
    known = STATUSES.get(status)
    if known is None:
        known = f"the Hub has trouble. {AGAIN[:-1]}" if status >= 500 else "it refuses"
    wait = retry_after(error)
    more = f" It asks to wait {wait:g} s." if wait else ""
    return f"{known} (status {status}{': ' + said if said else ''}).{more}"


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
