"""Risks of a configuration: the servers it sends keys to, and the secret files it reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hf_synthlabels.annotation.trust.key_hosts import is_known_host, is_private, may_receive, url_host
from hf_synthlabels.clients.openai.client import DEFAULT_BASE_URL
from hf_synthlabels.clients.protocol.base_url import is_loopback

FREE_TEXT = frozenset(
    {"name", "instructions", "guidelines", "system", "description", "homepage", "labels", "questions", "decide"}
    | {"card", "definition", "label", "reasoning", "row", "text_column", "columns"}
    | {"base_url", "api_key_env", "headers", "extra_body", "extra_query"}
)
"""Keys whose values are free text, or are checked elsewhere; none is opened as a file."""

FREE_PROMPTS = frozenset({"system", "examples", "base_url", "api_key_env"})
"""Keys of a server that refer to no environment variable, or are checked elsewhere."""

REFERENCE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
ADDRESS = re.compile(r"https?://[^\s/?#]*", re.IGNORECASE)
SYSTEM_FOLDERS = frozenset({"etc", "proc", "sys", "dev", "root", "run"})


@dataclass(frozen=True, slots=True, order=True)
class Risk:
    """Something that the user has to agree to."""

    does: str
    """What would happen, such as `sends HF_TOKEN to example.org`."""
    field: str
    """The key of the file that does it."""

    def __str__(self) -> str:
        return f"`{self.field}` {self.does}"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that a part of a configuration asks."""

    field: str
    """The part, such as `annotator`."""
    url: str | None
    """None where the part changes the key only."""
    variables: tuple[str, ...]
    """Environment variables that are sent to it."""

    @property
    def host(self) -> str:
        """The host of the URL."""
        return url_host(self.url or DEFAULT_BASE_URL)


def servers(content: Any, field: str = "") -> Iterator[Server]:
    """Every server that a configuration names, in any depth."""
    if isinstance(content, list):
        for place, part in enumerate(content):
            yield from servers(part, f"{field}.{place}")
    if not isinstance(content, Mapping):
        return
    client = content.get("client")
    if client == "openai" or (client is None and ("base_url" in content or "api_key_env" in content)):
        # A part without `client` changes another file's: what it leaves out is checked there.
        url = content.get("base_url", DEFAULT_BASE_URL if client else None)
        variable = content.get("api_key_env", "OPENAI_API_KEY" if client else None)
        more = _references({key: value for key, value in content.items() if key not in FREE_PROMPTS})
        names = dict.fromkeys([*([str(variable)] if variable else []), *more])
        yield Server(field, None if url is None else str(url), tuple(names))
    for key, part in content.items():
        yield from servers(part, f"{field}.{key}".lstrip("."))


def _references(content: Any) -> list[str]:
    """The environment variables that header values and other keys of a server refer to."""
    if isinstance(content, str):
        return REFERENCE.findall(content)
    if isinstance(content, list):
        return [name for part in content for name in _references(part)]
    if not isinstance(content, Mapping):
        return []
    found = []
    for key, part in content.items():
        if str(key) == "env" or str(key).endswith("_env"):
            values = part.values() if isinstance(part, Mapping) else [part]
            found += [str(value) for value in values if isinstance(value, str)]
        else:
            found += _references(part)
    return found


def own_risks(content: Mapping[str, Any], folder: Path) -> list[Risk]:
    """What a file of unknown origin may do only with the user's consent.

    It must not send the known secret of one service to another, nor hidden and system files to a foreign server.
    """
    risks = []
    asked = list(servers(content))
    for server in asked:
        for variable in server.variables:
            if server.url is not None and not may_receive(variable, server.url):
                risks.append(Risk(f"sends {variable} to {server.host}", f"{server.field}.api_key_env"))
    foreign = [server.host for server in asked if server.url is not None and is_foreign(server.host)]
    for field, text in named_strings(content) if foreign else ():
        if _is_hidden(text, folder):
            risks.append(Risk(f"sends {text} to {foreign[0]}", field))
    return risks + hub_token_risks(content)


def is_foreign(host: str) -> bool:
    """Whether a host is neither here, nor in a private network, nor a known provider's."""
    return not (is_loopback(host) or is_private(host) or is_known_host(host))


def hub_token_risks(content: Any) -> list[Risk]:
    """Addresses that `datasets` takes for the Hub's by their first letters, so that it sends them the Hub's token."""
    from datasets import config

    risks = []
    for field, text in named_strings(content):
        for address in ADDRESS.findall(text):
            if address.startswith(config.HF_ENDPOINT) and url_host(address) != urlsplit(config.HF_ENDPOINT).hostname:
                risks.append(Risk(f"sends the Hub token to {url_host(address)}", field))
    return risks


def named_strings(content: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """The values of a configuration that may name a file or an address, each with its field."""
    if isinstance(content, str):
        if "\n" not in content.strip():
            yield field, content
    elif isinstance(content, list):
        # A list of few-shot examples is text; a single string is the path of a file with them.
        for part in content if not field.endswith("examples") else ():
            yield from named_strings(part, field)
    elif isinstance(content, Mapping):
        for key, part in content.items():
            if key not in FREE_TEXT:
                yield from named_strings(part, f"{field}.{key}".lstrip("."))


def _is_hidden(text: str, folder: Path) -> bool:
    """Whether a path leads to a hidden file or to the operating system's: there keys and passwords are kept."""
    if any(re.match(r"\.[A-Za-z_]", part) for part in re.split(r"[/\\]", text)):
        return True
    try:
        target = (folder / text.removeprefix("file://")).resolve()
    except (OSError, ValueError):
        return False
    if target.is_relative_to(folder.resolve()):
        parts = target.relative_to(folder.resolve()).parts
        return any(re.match(r"\.[A-Za-z_]", part) for part in parts)
    outside = target.exists() and any(re.match(r"\.[A-Za-z_]", part) for part in target.parts)
    return outside or (len(target.parts) > 1 and target.parts[1] in SYSTEM_FOLDERS)
