"""Downloaded folders: how they are recognized, and what a configuration file in one must not do."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from hf_synthlabels.annotation.trust.key_hosts import OWNERS, is_known_host, may_receive
from hf_synthlabels.annotation.trust.risks import REFERENCE, Risk, Server, hub_token_risks, named_strings, servers
from hf_synthlabels.clients.protocol.base_url import is_loopback

PULLED = ".hf_synthlabels_pulled"
"""The file by which `pull` marks a folder. A repository cannot unmark it: a file of that name is a mark as well."""

MANIFEST = "hf_synthlabels.json"
"""What `push` publishes with every repository: the kind, and every file with its size and hash."""

REPOSITORY = re.compile(r"(?:datasets|models|spaces)--")
SENDING = ("headers", "extra_headers", "default_headers", "extra_query", "proxy")
OWN_SCHEMES = ("memory", "file", "local")
DATA_FOLDER = "${HF_SYNTHLABELS_DATA}"
GLOB = re.compile(r"[*?\[]")


def mark_pulled(folder: Path, origin: str) -> None:
    """Mark a folder as downloaded, so that nothing in it is trusted."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / PULLED
    if not mark.is_dir():
        # Never through a link that the repository brought.
        mark.unlink(missing_ok=True)
        mark.write_text(f"{origin}\nThe configuration files in this folder are not trusted.\n", encoding="utf-8")


def pulled_root(folder: Path | str) -> Path | str | None:
    """The downloaded folder that a folder is in, or the address itself; None for a folder of this machine."""
    if isinstance(folder, str) and "://" in folder:
        return None if folder.split("://")[0] in OWN_SCHEMES else folder
    for place in dict.fromkeys((Path(folder).absolute(), Path(folder).resolve())):
        for parent in (place, *place.parents):
            if REPOSITORY.match(parent.name) and (parent / "snapshots").is_dir():
                return parent
            if os.path.lexists(parent / PULLED) or (parent / MANIFEST).is_file():
                return parent
            # So `hf download --local-dir` and `snapshot_download` leave a folder.
            if (parent / ".cache" / "huggingface" / "download").is_dir():
                return parent
    return None


def pulled_risks(content: Mapping[str, Any], folder: Path | str, root: Path | str) -> list[Risk]:
    """What a file of a downloaded folder may do only with the user's consent.

    It may name files of its folder, data sets of the Hub, and known providers with their own keys.
    """
    risks = []
    for server in servers(content):
        if server.url is not None and not (is_known_host(server.host) or is_loopback(server.host)):
            risks.append(Risk(f"sends rows to {server.host}", f"{server.field}.base_url"))
        for variable in server.variables:
            if not _may_send(variable, server):
                risks.append(Risk(f"sends {variable} to {server.host}", f"{server.field}.api_key_env"))
    risks += [Risk("changes what is sent to the server", field) for field in _keys(content, SENDING)]
    engine = content.get("engine")
    if isinstance(engine, Mapping) and engine.get("address") is not None:
        risks.append(Risk(f"connects to the cluster {engine['address']}", "engine.address"))
    for field, text in named_strings(content):
        if any(name != "HF_SYNTHLABELS_DATA" for name in REFERENCE.findall(text)):
            risks.append(Risk(f"reads the environment by {text}", field))
        elif _points_outside(text, folder, root):
            risks.append(Risk(f"leaves the folder with {text}", field))
    return risks + hub_token_risks(content)


def _may_send(variable: str, server: Server) -> bool:
    """Whether a downloaded file may send a variable: a provider's key to its provider."""
    if server.url is not None and is_loopback(server.host):
        return variable == "OPENAI_API_KEY"
    return variable in OWNERS and (server.url is None or may_receive(variable, server.url))


def _keys(content: Any, wanted: tuple[str, ...], field: str = "") -> Iterator[str]:
    if isinstance(content, list):
        for part in content:
            yield from _keys(part, wanted, field)
    elif isinstance(content, Mapping):
        for key, part in content.items():
            here = f"{field}.{key}".lstrip(".")
            if key in wanted and part:
                yield here
            yield from _keys(part, wanted, here)


def _points_outside(text: str, folder: Path | str, root: Path | str) -> bool:
    """Whether a value points outside the downloaded folder: as a path, URL or symbolic link."""
    inside = text.removeprefix(DATA_FOLDER)
    climbs = ".." in re.split(r"[/\\]", inside)
    if inside != text:
        return climbs
    if text.startswith("hf://") and "::" not in text:
        return climbs
    if "://" in text or "::" in text or text.startswith(("~", "\\")):
        return True
    if PurePosixPath(text).is_absolute() or PureWindowsPath(text).drive:
        return True
    if isinstance(folder, str) or isinstance(root, str):
        return climbs
    if climbs and GLOB.search(text):
        return True
    pattern = GLOB.search(text)
    named = folder.resolve() / (text if pattern is None else os.path.dirname(text[: pattern.start()]))
    base = root.resolve()
    if not Path(os.path.normpath(named)).is_relative_to(base):
        return True
    if not os.path.lexists(named):
        return False
    if not named.resolve().is_relative_to(base):
        return True
    return named.is_dir() and any(not link.resolve().is_relative_to(base) for link in _links(named))


def _links(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place) / name
            if path.is_symlink():
                yield path
