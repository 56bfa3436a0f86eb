"""Server URLs: validation, endpoint paths and proxies."""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from hf_synthlabels.errors import ConfigError

COMPLETIONS = "/chat/completions"

HOST = re.compile(r"[\w.-]+|[0-9a-f:.]+(%\w+)?", re.IGNORECASE)
SECRET = re.compile(r"key|token|secret|password|credential|^sig$", re.IGNORECASE)
"""Query parameters that hold secrets. Recipes and the response store keep the URL in clear text."""


def check_base_url(base_url: str) -> str:
    """Validate the base URL of an API; returns it without a trailing slash.

    Raises:
        ConfigError: it is not an HTTP URL, contains a secret, or includes the endpoint.
    """
    # A password may contain any character, and a query a key.
    shown = repr(re.sub(r"^(\w+://)?.*@", r"\1***@", re.split(r"[?#]", base_url)[0], flags=re.DOTALL))
    advice = "Give an address such as 'https://api.openai.com/v1' or 'http://localhost:8000/v1'."
    try:
        parts = urlsplit(base_url)
        port_is_valid = parts.port != 0
    except ValueError:
        raise ConfigError(f"`base_url` is {shown}, which cannot be parsed. {advice}") from None
    if parts.scheme not in ("http", "https"):
        raise ConfigError(f"`base_url` is {shown}, which does not begin with 'http://' or 'https://'. {advice}")
    if not port_is_valid or not HOST.fullmatch(parts.hostname or "") or re.search(r"\s", base_url):
        raise ConfigError(f"`base_url` is {shown}, which names no valid host. {advice}")
    if parts.username is not None or any(SECRET.search(name) for name, _ in parse_qsl(parts.query)):
        # Without the value: it may be a secret.
        raise ConfigError(
            f"`base_url` for the host {parts.hostname!r} contains a secret. Put it into an environment variable and "
            "name that in `api_key_env`."
        )
    if parts.fragment:
        raise ConfigError(f"`base_url` is {shown}. Remove the fragment {'#' + parts.fragment!r}.")
    if parts.path.rstrip("/").endswith(COMPLETIONS):
        raise ConfigError(f"`base_url` is {shown}. Remove {COMPLETIONS!r} from its end: it is added to each request.")
    return base_url.rstrip("/")


def endpoint_url(base_url: str, path: str = COMPLETIONS) -> str:
    """URL of an endpoint; a query such as `?api-version=1` stays after the path."""
    parts = urlsplit(base_url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path))


def split_query(base_url: str) -> tuple[str, dict[str, str]]:
    """The URL without its query, and the query parameters."""
    parts = urlsplit(base_url)
    return urlunsplit(parts._replace(query="")), dict(parse_qsl(parts.query, keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy from the environment."""

    url: str
    user: str | None = None
    password: str = field(default="", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """Headers that authenticate the user."""
        if self.user is None:
            return {}
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return {"Proxy-Authorization": f"Basic {pair}"}


def proxy_for(url: str) -> Proxy | None:
    """The proxy for a URL from `HTTP_PROXY`, `HTTPS_PROXY` or `ALL_PROXY`; None for a direct connection.

    `NO_PROXY` may list host names and networks. Servers on this machine never use a proxy.

    Raises:
        ConfigError: the proxy is not an HTTP proxy.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies()
    address = proxies.get(parts.scheme) or proxies.get("all")
    if not address or is_loopback(host) or proxy_bypass(host) or _in_networks(host, proxies.get("no", "")):
        return None
    proxy = urlsplit(address if "://" in address else f"http://{address}")
    if proxy.scheme not in ("http", "https") or not proxy.hostname:
        raise ConfigError(
            f"`{parts.scheme.upper()}_PROXY` has the unsupported scheme {proxy.scheme!r}: use an HTTP proxy, or add "
            f"{host!r} to `NO_PROXY`."
        )
    bare = proxy._replace(netloc=proxy.netloc.rpartition("@")[2], path="", query="", fragment="")
    user = None if proxy.username is None else unquote(proxy.username)
    return Proxy(urlunsplit(bare), user, unquote(proxy.password or ""))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    name = host.lower().rstrip(".")
    address = ip_address(name)
    if address is None:
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """A host as an IP address, with IPv4-mapped IPv6 addresses as IPv4; None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _in_networks(host: str, no_proxy: str) -> bool:
    """Whether an IP address is in a network listed in `NO_PROXY`, which the standard library does not support."""
    address = ip_address(host)
    if address is None:
        return False
    for entry in no_proxy.split(","):
        try:
            if "/" in entry and address in ipaddress.ip_network(entry.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False
