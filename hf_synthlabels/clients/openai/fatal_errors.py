"""Errors that end a run early: a rejected key, an exhausted account, a long wait."""

from __future__ import annotations

from datetime import datetime, timedelta

from hf_synthlabels.clients.base import Failure
from hf_synthlabels.errors import AllFailedError

RESUME = "All answers so far are stored"

REJECTIONS = {
    401: (5, "check the API key"),
    402: (5, "add credit to the account"),
    407: (5, "check the proxy's user and password"),
    403: (20, "check the API key and the account"),
    404: (20, "check `model` and `base_url`"),
    410: (20, "check `model` and `base_url`"),
}
"""By HTTP status: consecutive rejections that end a run, and what to do. Statuses with 5 never concern one row."""


class RejectionCounter:
    """Detects that the key, the account or the model is not accepted: only rejections, and no answer in between."""

    def __init__(self) -> None:
        self._rejections = 0

    def record_success(self) -> None:
        """A request was answered."""
        self._rejections = 0

    def record_rejection(self, failure: Failure) -> None:
        """A request was rejected for good.

        Raises:
            AllFailedError: the next one would be rejected, too.
        """
        limit, advice = REJECTIONS.get(failure.http_status or 0, (0, ""))
        if not limit:
            return
        self._rejections += 1
        if self._rejections >= limit:
            raise AllFailedError(
                f"The server rejected {self._rejections} requests in a row: {failure.message.rstrip('.')} "
                f"(HTTP {failure.http_status}). {RESUME}: {advice}, and run the same command again."
            )


def quota_error(cause: str) -> AllFailedError:
    """The account has no money left."""
    return AllFailedError(
        f"The account is exhausted: {cause.rstrip('.')}. {RESUME}: add credit or use another key, and run the same "
        "command again."
    )


def wait_error(wait_s: float, cause: str) -> AllFailedError:
    """The server asks to wait for longer than a run should."""
    until = (datetime.now().astimezone() + timedelta(seconds=wait_s)).strftime("%Y-%m-%d %H:%M")
    return AllFailedError(
        f"The server asks to wait {format_duration(wait_s)}, until {until}: {cause.rstrip('.')}. {RESUME}: run the "
        "same command again then."
    )


def format_duration(seconds: float) -> str:
    """A duration in its two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
