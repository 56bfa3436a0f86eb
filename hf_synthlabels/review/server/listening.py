"""Serving of the review page on a port of this machine."""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hf_synthlabels.errors import ConfigError, import_extra
from hf_synthlabels.review.annotation_session import AnnotationSession
from hf_synthlabels.review.codebook.codebook_session import CodebookSession
from hf_synthlabels.review.server.access import AccessPolicy, is_loopback
from hf_synthlabels.review.server.app import review_app


@dataclass(frozen=True, slots=True)
class ListeningSocket:
    """A bound port, and the access policy for it."""

    listener: socket.socket
    policy: AccessPolicy
    url: str
    """Address for a browser, with the key if there is one."""


def bind_socket(host: str = "127.0.0.1", port: int = 7862, names: Sequence[str] = ()) -> ListeningSocket:
    """Bind a port; if other machines can reach it, access requires a key.

    Args:
        host: address to listen on.
        port: port; 0 picks a free one.
        names: further host names of the page.

    Raises:
        ConfigError: the port is in use, or the address does not belong to this machine.
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
            raise ConfigError(f"`--port` {port} is in use on {host}: give another port, or 0 for a free one.") from None
        raise ConfigError(f"`--host` {host!r} cannot be used: {error.strerror or error}.") from None
    bound_port = listener.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    allowed = {"localhost", host.lower(), *map(str.lower, names)}
    if is_loopback(host):
        policy = AccessPolicy(hosts=frozenset(allowed | {"127.0.0.1", "::1"}))
        return ListeningSocket(listener, policy, f"http://{shown}:{bound_port}/")
    key = secrets.token_urlsafe(24)
    name = names[0] if names else socket.gethostname() if host in ("0.0.0.0", "::") else shown
    if not AccessPolicy(frozenset(allowed), addresses=True).takes_host(name.strip("[]").lower()):
        allowed.add(name.lower())
    policy = AccessPolicy(frozenset(allowed), addresses=True, key=key)
    return ListeningSocket(listener, policy, f"http://{name}:{bound_port}/?key={key}")


def serve_review(
    session: AnnotationSession | CodebookSession,
    listening: ListeningSocket,
    *,
    title: str = "",
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve the page until the program is stopped.

    Args:
        session: the review.
        listening: bound port.
        title: name of the data.
        ready: called with the URL once the page can be opened.

    Raises:
        MissingExtraError: the extra `app` is not installed.
    """
    import_extra("uvicorn", "app")
    import uvicorn

    app = review_app(session, title=title, policy=listening.policy)
    # The page has no websockets: whether a library for them is installed must not change who may connect.
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=2, ws="none"
    )
    if ready is not None:
        # The socket is listening: a browser that connects before the loop runs is served when it does.
        ready(listening.url)
    uvicorn.Server(config).run(sockets=[listening.listener])
