"""License of a dataset or model, and the annotator's terms."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Licenses:
    """License and terms as stated by the publisher; each may be `unknown`.

    Raises:
        ConfigError: The Hub does not know the license, or `other` has no name.
    """

    license: str
    """License of the rows or the model, such as `cc-by-4.0`."""
    outputs: str
    """What the annotator's terms of use permit for its answers, or `unknown`."""
    name: str | None = None
    """Name of an `other` license."""
    link: str | None = None
    """URL of an `other` license."""

    def __post_init__(self) -> None:
        if self.license not in HUB_LICENSES:
            close = difflib.get_close_matches(self.license.lower(), sorted(HUB_LICENSES), n=2, cutoff=0.5)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise ConfigError(
                f"`license` must be a license identifier of the Hub, such as cc-by-4.0 or mit, 'other' or 'unknown', "
                f"got {self.license!r}.{hint}"
            )
        if self.license == "other" and not self.name:
            raise ConfigError("`license` 'other' needs `license_name` and `license_link`.")
        if self.name is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.name):
            raise ConfigError(
                f"`license_name` must have only lower-case letters, digits, '.' and '-', got {self.name!r}."
            )
        if not self.outputs.strip():
            raise ConfigError(
                "`llm_terms` must not be empty: state what the annotator's terms permit for its answers, or 'unknown'."
            )
