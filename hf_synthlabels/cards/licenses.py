"""License identifiers of the Hub."""

from __future__ import annotations

import difflib
import re

from hf_synthlabels.errors import ConfigError

_IDENTIFIERS = """
    afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
    bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
    cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0
    etalab-2.0 eupl-1.1 eupl-1.2 fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 grok2-community
    h-research intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4
    lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openmdw-1.0 openrail openrail++ osl-3.0 other pddl
    postgresql unknown unlicense wtfpl zlib
"""
HUB_LICENSES = frozenset(_IDENTIFIERS.split())
"""License identifiers of the Hub (https://huggingface.co/docs/hub/repositories-licenses)."""


def check_license(license: str, name: str | None = None) -> None:
    """Check a license identifier.

    Args:
        license: identifier, such as `cc-by-4.0`, or `other` or `unknown`.
        name: name of the license, required for `other`.

    Raises:
        ConfigError: the Hub does not know the license, or the name is missing or invalid.
    """
    if license not in HUB_LICENSES:
        close = difflib.get_close_matches(license.lower(), sorted(HUB_LICENSES), n=2, cutoff=0.5)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise ConfigError(
            f"`license` must be a license identifier of the Hub, such as cc-by-4.0 or mit, 'other' or 'unknown', "
            f"got {license!r}.{hint}"
        )
    if license == "other" and not name:
        raise ConfigError("`license` 'other' needs `license_name` and `license_link`.")
    if name is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise ConfigError(f"`license_name` must have only lower-case letters, digits, '.' and '-', got {name!r}.")
