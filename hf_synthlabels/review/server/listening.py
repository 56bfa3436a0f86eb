"""Serving: the review page on a port of this machine."""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hf_synthlabels.errors import ConfigError, import_extra
from hf_synthlabels.review.annotation_session import AnnotationSession
from hf_synthlabels.review.server.access import AccessPolicy, is_loopback
from hf_synthlabels.review.server.app import review_app


@dataclass(frozen=True, slots=True)
class ListeningSocket:
    """A port that is held, and who may come in."""

    listener: socket.socket
    trust: AccessPolicy
    url: str
    """What a browser is given, with the key where there is one."""


def bind_socket(host: str = "127.0.0.1", port: int = 7862, names: Sequence[str] = ()) -> ListeningSocket:
    """Take a port; for other machines than this one a key is made.

    Args:
        host: the address to listen at.
        port: 0 for any that is free.
        names: further names under which the page is asked for.

    Raises:
        ConfigError: the port is in use, or the address is not one of this machine.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"`--port` is {port}: give a number from 0 to 65535.")
    listener: socket.socket | None = None
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        if listener is not None:
            listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"`--port` {port} is in use on {host}, by another review perhaps: give another one, or 0 for any."
            ) from None
        raise ConfigError(f"`--host` {host!r} cannot be listened at: {error.strerror or error}.") from None
    taken = listener.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    if is_loopback(host):
        trust = AccessPolicy(hosts=frozenset({"localhost", "127.0.0.1", "::1", host, *map(str.lower, names)}))
        return ListeningSocket(listener, trust, f"http://{shown}:{taken}/")
    key = secrets.token_urlsafe(24)
    trust = AccessPolicy(
        hosts=frozenset({"localhost", host.lower(), *map(str.lower, names)}),
        addresses=True,
        key=key,
    )
    named = names[0] if names else socket.gethostname() if host in ("0.0.0.0", "::") else shown
    own = trust if trust.takes_host(named.strip("[]").lower()) else _with_name(trust, named)
    return ListeningSocket(listener, own, f"http://{named}:{taken}/?key={key}")


def serve_review(
    desk: AnnotationSession, door: ListeningSocket, *, title: str = "", ready: Callable[[str], None] | None = None
) -> None:
    """Serve the page until the program is stopped.

    Args:
        desk: what is reviewed.
        door: the port that it is served on.
        title: the name of the data.
        ready: called with the URL once the page can be opened.

    Raises:
        MissingExtraError: the extra `app` is not installed.
    """
    import_extra("uvicorn", "app")
    import uvicorn

    app = review_app(desk, title=title, trust=door.trust)
    # The page has no websockets: whether a library for them is installed must not change who may connect.
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=2, ws="none"
    )
    if ready is not None:
        # The port is held and its queue open: a browser that comes before the loop runs is served when it does.
        ready(door.url)
    uvicorn.Server(config).run(sockets=[door.listener])


def _with_name(trust: AccessPolicy, name: str) -> AccessPolicy:
    return AccessPolicy(hosts=trust.hosts | {name.lower()}, addresses=trust.addresses, key=trust.key)
