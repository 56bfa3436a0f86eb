"""A server and what it is sent with each request: key and headers, whose secrets stay in environment variables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hf_synthlabels.clients.protocol.base_url import check_base_url
from hf_synthlabels.errors import MissingKeyError

NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
RESERVED = frozenset({"content-type", "content-length", "content-encoding", "host", "connection", "transfer-encoding"})
"""Headers that the transport sets."""

SECRET_NAME = re.compile(
    r"authorization|cookie|token|secret|password|passwd|credential|signature|(?:api|access|subscription)[-_]?key|^key$",
    re.IGNORECASE,
)
SECRET_VALUE = re.compile(r"^(?:Bearer|Basic|Token) |^(?:sk|pk|hf|ghp|gsk|xai|AKIA|AIza)[-_]?[A-Za-z0-9_-]{12,}")

ATTRIBUTION = frozenset({"http-referer", "referer", "x-title", "user-agent", "x-request-id", "x-client-request-id"})
"""Headers that identify the caller and cannot change an answer."""


@dataclass(frozen=True, slots=True)
class RequestHeaders:
    """Headers sent with each request.

    Secret values are read when they are sent: they are in no attribute, file, cache key or error.
    """

    plain: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret: Mapping[str, str] = field(default_factory=dict)
    """Header names and the environment variables that hold their values."""

    def read(self) -> dict[str, str]:
        """All headers with their values.

        Raises:
            MissingKeyError: a variable is not set, or its value is not valid in a header.
        """
        return {**self.plain, **{name: _value(name, variable) for name, variable in self.secret.items()}}

    @property
    def changing(self) -> dict[str, str] | None:
        """The headers that may change an answer, in lower case; None if there are none.

        Secret headers identify an account, not an answer.
        """
        sent = {name.lower(): value for name, value in self.plain.items() if name.lower() not in ATTRIBUTION}
        return dict(sorted(sent.items())) or None


NO_HEADERS = RequestHeaders()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server, with the name of the environment variable that holds its key: the key itself is in no attribute."""

    base_url: str
    api_key_env: str | None
    """None for a server without keys."""
    headers: RequestHeaders = NO_HEADERS

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", check_base_url(self.base_url))

    def check(self) -> None:
        """Require the key and the headers.

        Raises:
            MissingKeyError: an environment variable is not set or is empty.
        """
        self.api_key()
        self.headers.read()

    def api_key(self) -> str:
        """The key; empty for a server without keys.

        Raises:
            MissingKeyError: the variable is not set or is empty.
        """
        if self.api_key_env is None:
            return ""
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise MissingKeyError(
                f"`api_key_env` names {self.api_key_env!r}, which is not set. "
                f"Run: export {self.api_key_env}=... (or `api_key_env: null` for a server without keys)."
            )
        return key

    def redact(self, text: str) -> str:
        """Replace the key and the secret values of headers in a text."""
        for variable in (self.api_key_env, *self.headers.secret.values()):
            if variable is not None and (value := os.environ.get(variable, "").strip()):
                text = text.replace(value, "***")
        return text


def header_problem(name: str, value: str | None) -> str | None:
    """Why a header cannot be sent or must not be in a file; None if it is valid.

    Args:
        name: of the header.
        value: None if it comes from an environment variable.
    """
    if not NAME.fullmatch(name):
        return "is not a header name. Use letters, digits and hyphens."
    if name.lower() in RESERVED:
        return "is set by this package. Remove it."
    if value is None:
        return None
    if SECRET_NAME.search(name) or SECRET_VALUE.search(value):
        return "looks like a secret. Name the environment variable that holds it: `{env: NAME}`."
    if not value.isascii() or not value.isprintable():
        return "has a value that is not valid in a header. Use printable ASCII characters."
    return None


def _value(name: str, variable: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise MissingKeyError(f"`headers.{name}` names {variable!r}, which is not set. Run: export {variable}=...")
    if not value.isascii() or not value.isprintable():
        raise MissingKeyError(
            f"`headers.{name}` names {variable!r}, whose value is not valid in a header. "
            "Use printable ASCII characters."
        )
    return value
