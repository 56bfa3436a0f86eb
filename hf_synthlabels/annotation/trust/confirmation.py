"""Access policy: a configuration file from another source sends no secret and no local file to a server it names.

Every recipe, judge, study, student and grid file is checked when it is read. A file in a downloaded folder may name
files of that folder, data sets of the Hub, and known providers with their own keys. Any other file may also name other
files and servers, but not send a known secret to a foreign server. What goes beyond needs the user's confirmation,
which is remembered for exactly these servers, variables and files.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from hf_synthlabels.annotation.trust.downloaded import pulled_risks, pulled_root
from hf_synthlabels.annotation.trust.risks import own_risks, servers
from hf_synthlabels.clients.protocol.base_url import check_base_url
from hf_synthlabels.errors import ConfigError, RecipeError, UntrustedRecipeError
from hf_synthlabels.resources import home

TRUST_VARIABLE = "HF_SYNTHLABELS_TRUST_RECIPE"
"""Set to 1, it confirms every recipe of the process; nothing is remembered."""

_confirming: ContextVar[bool] = ContextVar("confirming", default=False)


@contextmanager
def confirmed(trust_recipe: bool = True) -> Iterator[None]:
    """While this lasts, the user vouches for the files that are read, and the confirmations are remembered."""
    token = _confirming.set(trust_recipe or _confirming.get())
    try:
        yield
    finally:
        _confirming.reset(token)


def check_trust(content: Any, folder: Path | str | None, origin: str) -> None:
    """Refuse a configuration that sends secrets or files where the user has not agreed to send them.

    Args:
        content: what the file holds.
        folder: of the file, or its address; None for values from Python.
        origin: how errors name the file.

    Raises:
        UntrustedRecipeError: the user has to confirm it first.
        RecipeError: the same, but the address of a server is wrong, so there is nothing to confirm yet.
    """
    if not isinstance(content, Mapping):
        return
    root = None if folder is None else pulled_root(folder)
    if root is not None:
        risks = pulled_risks(content, folder or root, root)
    else:
        risks = own_risks(content, Path(folder) if folder is not None else Path.cwd())
    if not risks or os.environ.get(TRUST_VARIABLE, "") not in ("", "0"):
        return
    agreed = {"place": str(root or folder or Path.cwd()), "agreed": sorted({risk.does for risk in risks})}
    name = hashlib.sha256(json.dumps(agreed).encode()).hexdigest()[:32]
    record = home() / "trusted" / f"{name}.json"
    if record.is_file():
        return
    if _confirming.get():
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(agreed, indent=1), encoding="utf-8")
        return
    _check_addresses(content, origin)
    where = "comes from elsewhere" if root is not None else "is not confirmed"
    listed = "; ".join(dict.fromkeys(map(str, risks)))
    raise UntrustedRecipeError(
        f"{origin} {where}: {listed}. Change it (`api_key_env: null` sends no key), or add --trust-recipe "
        f"(in Python trust_recipe=True, or {TRUST_VARIABLE}=1) if you trust it."
    )


def _check_addresses(content: Mapping[str, Any], origin: str) -> None:
    """Report a wrong address before the user has to confirm it."""
    for server in servers(content):
        try:
            if server.url is not None:
                check_base_url(server.url)
        except ConfigError as error:
            part = f"{server.field}." if server.field else ""
            raise RecipeError(f"{origin}: `{part}{str(error).removeprefix('`')}") from None
