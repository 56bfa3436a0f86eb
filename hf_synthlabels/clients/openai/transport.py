"""HTTP transports: aiohttp, which takes little CPU time, or a configured `openai` client."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import urlsplit

from hf_synthlabels.clients.protocol.base_url import proxy_for
from hf_synthlabels.clients.protocol.chat import encode_json
from hf_synthlabels.clients.protocol.request_headers import NO_HEADERS, RequestHeaders
from hf_synthlabels.errors import MissingKeyError

if TYPE_CHECKING:
    import aiohttp
    from openai import AsyncOpenAI

CONNECT_S = 30.0
"""Timeout of connecting; a request without a connection was not sent."""

NOT_SENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"})
"""Errors of httpx before a request is sent."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class BrokenConnectionError(Exception):
    """No complete response arrived."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent
        """Whether the request may have reached the server, and be billed."""


class Transport(Protocol):
    """Sends bodies of chat completions; opened and closed as a context manager inside an event loop."""

    async def post(self, body: Mapping[str, Any]) -> Reply:
        """Send one body.

        Raises:
            TimeoutError: no complete response within the timeout.
            BrokenConnectionError: the connection failed or broke.
        """

    async def __aenter__(self) -> Self:
        """Open connections."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close connections."""


def read_api_key(api_key_env: str | None) -> str:
    """The API key in an environment variable; empty for a server without keys.

    Raises:
        MissingKeyError: the variable is not set or is empty.
    """
    if api_key_env is None:
        return ""
    key = os.environ.get(api_key_env, "").strip()
    if not key:
        raise MissingKeyError(
            f"`annotator.api_key_env` names {api_key_env!r}, which is not set. "
            f"Run: export {api_key_env}=... (or `api_key_env: null` for a server without keys)."
        )
    return key


class HttpTransport:
    """aiohttp with keep-alive: about 0.2 ms of CPU time per request.

    Uses the proxies of the environment as `curl` and the `openai` client do, except for servers on this machine.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key_env: str | None,
        connections: int,
        timeout_s: float,
        headers: RequestHeaders = NO_HEADERS,
    ) -> None:
        self._url = url
        self._extra_headers = headers
        self._api_key_env = api_key_env
        self._connections = connections
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._headers: dict[str, str] = {}
        self._proxy_headers: dict[str, str] = {}

    async def post(self, body: Mapping[str, Any]) -> Reply:
        """Send one body."""
        import aiohttp

        assert self._session is not None
        try:
            async with self._session.post(
                self._url,
                data=encode_json(body),
                headers=self._headers,
                proxy_headers=self._proxy_headers or None,
                allow_redirects=False,
            ) as response:
                if redirect := _redirect(response.status, response.headers):
                    return redirect
                return Reply(response.status, response.headers, await response.read())
        except aiohttp.ConnectionTimeoutError as error:
            raise BrokenConnectionError("connecting timed out", sent=False) from error
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            # Connection, URL and proxy errors occur before the request is sent, so it costs nothing.
            sent = not isinstance(error, _not_sent_errors())
            raise BrokenConnectionError(f"{type(error).__name__}: {error}"[:200], sent=sent) from error

    async def __aenter__(self) -> Self:
        import aiohttp

        # Not session headers, which aiohttp would also send to a proxy.
        self._headers = {"Content-Type": "application/json"}
        if key := read_api_key(self._api_key_env):
            self._headers["Authorization"] = f"Bearer {key}"
        self._headers |= self._extra_headers.read()
        # `trust_env` of aiohttp would read the environment and netrc for each request.
        proxy = proxy_for(self._url)
        if proxy is not None and self._url.startswith("https:"):
            # For the request that opens the tunnel. Without TLS there is no tunnel: the proxy reads each request.
            self._proxy_headers = proxy.headers
        elif proxy is not None:
            self._headers |= proxy.headers
        connect_s = min(CONNECT_S, 0.9 * self._timeout_s)
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, connect=connect_s),
            connector=aiohttp.TCPConnector(limit=self._connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=None if proxy is None else proxy.url,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()


class SdkTransport:
    """An `openai.AsyncOpenAI` that the caller has configured, for Azure, Bedrock or a proxy; slower by far.

    Its own retries are switched off: the limiter must see every refusal.
    """

    def __init__(self, sdk: AsyncOpenAI, *, timeout_s: float, headers: RequestHeaders = NO_HEADERS) -> None:
        self._sdk = sdk.with_options(max_retries=0, timeout=timeout_s, default_headers=headers.read())

    async def post(self, body: Mapping[str, Any]) -> Reply:
        """Send one body."""
        import httpx2
        import openai

        try:
            # Not `chat.completions.create`, which follows redirects and refuses parameters that it does not know.
            response = await self._sdk.post(
                "/chat/completions",
                cast_to=httpx2.Response,
                body=dict(body),
                options={"follow_redirects": False, "security": {"bearer_auth": True}},
            )
            return Reply(response.status_code, response.headers, response.content)
        except openai.APIConnectionError as error:
            # Timeouts are among them. The cause is an error of httpx, of which there are two packages.
            sent = not any(kind.__name__ in NOT_SENT for kind in type(error.__cause__).__mro__)
            if sent and isinstance(error, openai.APITimeoutError):
                raise TimeoutError from error
            raise BrokenConnectionError(f"{type(error).__name__}: {error}"[:200], sent=sent) from error
        except openai.APIStatusError as error:
            response = error.response
            return _redirect(response.status_code, response.headers) or Reply(
                response.status_code, response.headers, response.content
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The client stays open for its owner. Its idle connections belong to the loop of this run, which ends now.
        http: Any = self._sdk._client
        for transport in (http._transport, *http._mounts.values()):
            if pool := getattr(transport, "_pool", None):
                await pool.aclose()


def _redirect(status: int, headers: Mapping[str, str]) -> Reply | None:
    """The response for a redirect, with advice; None for other statuses.

    Redirects are not followed: the other host would receive the row, and a key in a header such as `api-key`.
    """
    if not 300 <= status < 400:
        return None
    host = urlsplit(headers.get("Location", "")).netloc.rpartition("@")[2] or "another path"
    return Reply(status, headers, f"the server redirects to {host}; set `base_url` to the new address".encode())


@functools.cache
def _not_sent_errors() -> tuple[type[Exception], ...]:
    import aiohttp

    return (
        aiohttp.ClientConnectorError,
        aiohttp.ClientHttpProxyError,
        aiohttp.InvalidURL,
        aiohttp.NonHttpUrlClientError,
    )
