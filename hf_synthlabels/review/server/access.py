"""AccessMiddleware: requests are accepted from the page itself on this machine, or with a key."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import orjson

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "hf_synthlabels_review"

HEADERS = {
    # Scripts and styles come from the package's own files; nothing in a row can be one.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """Which requests are accepted."""

    hosts: frozenset[str] = frozenset({"localhost", "127.0.0.1", "::1"})
    """Accepted host names, without ports, since a tunnel may have another."""
    addresses: bool = False
    """Whether any IP address is accepted as host, if the server listens for other machines. A name that an attacker
    points at this machine is never an IP address."""
    key: str | None = None
    """Required key, if the server listens for other machines."""

    def takes_host(self, name: str) -> bool:
        """Whether a name in a `Host` header is accepted."""
        return name in self.hosts or (self.addresses and _is_address(name))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


class AccessMiddleware:
    """Middleware that rejects requests of other pages and for other host names, and all websockets; adds headers.

    `Host` must name this machine, which protects against DNS rebinding. `Origin`, if present, must be the page itself,
    and `Sec-Fetch-Site` must not be another site, except to open the page from a link. Requests that change something
    must be JSON, which a form of another page cannot send.
    """

    def __init__(self, app: App, policy: AccessPolicy | None = None) -> None:
        self.app = app
        self.policy = policy or AccessPolicy()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or reject it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if scope["type"] == "websocket":
            # The page opens none; before it is accepted, closing one is a plain 403.
            await send({"type": "websocket.close", "code": 1008, "reason": refusal or "There are no websockets here."})
            return
        if refusal is not None:
            await _answer(send, 403, {"error": refusal})
            return
        if self.policy.key is not None and not await self._let_in(scope, send, self.policy.key):
            return
        await self.app(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> str | None:
        hosts = _header(scope, b"host")
        if len(hosts) != 1 or not self.policy.takes_host(_host_name(hosts[0])):
            return f"`Host` is {', '.join(hosts)!r}: this page is not served under that name. Use its address."
        origins = _header(scope, b"origin")
        if origins and not (len(origins) == 1 and _same_origin(origins[0], hosts[0])):
            return f"`Origin` is {', '.join(origins)!r}: requests from other pages are refused."
        sites = _header(scope, b"sec-fetch-site")
        opens_page = (
            scope["type"] == "http"
            and scope["method"] == "GET"
            and scope["path"] == "/"
            and _header(scope, b"sec-fetch-mode") == ["navigate"]
        )
        if any(site not in ("same-origin", "none") for site in sites) and not opens_page:
            return f"`Sec-Fetch-Site` is {', '.join(sites)!r}: requests from other pages are refused."
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            kinds = _header(scope, b"content-type")
            if [kind.partition(";")[0].strip().lower() for kind in kinds] != ["application/json"]:
                return f"`Content-Type` is {', '.join(kinds)!r}: send JSON."
        return None

    async def _let_in(self, scope: Scope, send: Send, key: str) -> bool:
        """Whether the request has the key; a request with the key in its URL gets a cookie and is redirected."""
        if hmac.compare_digest(_cookie(scope).encode(), key.encode()):
            return True
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("key", [""])[0]
        if scope["path"] == "/" and hmac.compare_digest(given.encode(), key.encode()):
            cookie = f"{COOKIE}={quote(key)}; HttpOnly; SameSite=Strict; Path=/"
            await _answer(send, 303, {}, {"location": "/", "set-cookie": cookie})
            return False
        await _answer(send, 401, {"error": "`key` is missing or wrong: open the URL that the server printed."})
        return False


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name for name, _ in message["headers"]}
            more = [(name.encode(), text.encode()) for name, text in HEADERS.items() if name.encode() not in present]
            message["headers"] = [*message["headers"], *more]
        await send(message)

    return sent


async def _answer(send: Send, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
    body = orjson.dumps(content)
    lines = {"content-type": "application/json", "content-length": str(len(body)), **HEADERS, **(headers or {})}
    listed = [(name.encode(), text.encode()) for name, text in lines.items()]
    await send({"type": "http.response.start", "status": status, "headers": listed})
    await send({"type": "http.response.body", "body": body})


def _header(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _host_name(host: str) -> str:
    """The name of `name:port`, `[::1]:port` or either without a port, in lower case; empty where it is none of them."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _same_origin(origin: str, host: str) -> bool:
    scheme, _, rest = origin.partition("://")
    return scheme in ("http", "https") and rest.lower() == host.lower()


def _cookie(scope: Scope) -> str:
    for line in _header(scope, b"cookie"):
        try:
            cookie = SimpleCookie(line).get(COOKIE)
        except CookieError:
            continue
        if cookie is not None:
            return cookie.value
    return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
