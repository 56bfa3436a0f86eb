"""Licenses: what the publisher says of the rows and of the annotator's answers; nothing is guessed."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from hf_synthlabels.errors import ConfigError

HUB_LICENSES = frozenset(
    (
        "afl-3.0",
        "agpl-3.0",
        "apache-2.0",
        "apple-amlr",
        "apple-ascl",
        "artistic-2.0",
        "bigcode-openrail-m",
        "bigscience-bloom-rail-1.0",
        "bigscience-openrail-m",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsd-3-clause-clear",
        "bsl-1.0",
        "c-uda",
        "cc",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nc-nd-3.0",
        "cc-by-nc-nd-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
        "cc-by-nd-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc0-1.0",
        "cdla-permissive-1.0",
        "cdla-permissive-2.0",
        "cdla-sharing-1.0",
        "creativeml-openrail-m",
        "deepfloyd-if-license",
        "ecl-2.0",
        "epl-1.0",
        "epl-2.0",
        "etalab-2.0",
        "eupl-1.1",
        "eupl-1.2",
        "fair-noncommercial-research-license",
        "gemma",
        "gfdl",
        "gpl",
        "gpl-2.0",
        "gpl-3.0",
        "grok2-community",
        "h-research",
        "intel-research",
        "isc",
        "lgpl",
        "lgpl-2.1",
        "lgpl-3.0",
        "lgpl-lr",
        "llama2",
        "llama3",
        "llama3.1",
        "llama3.2",
        "llama3.3",
        "llama4",
        "lppl-1.3c",
        "mit",
        "mpl-2.0",
        "ms-pl",
        "ncsa",
        "odbl",
        "odc-by",
        "ofl-1.1",
        "openmdw-1.0",
        "openrail",
        "openrail++",
        "osl-3.0",
        "other",
        "pddl",
        "postgresql",
        "unknown",
        "unlicense",
        "wtfpl",
        "zlib",
    )
)
"""The identifiers that the Hub takes as `license` (its documentation on licenses)."""


@dataclass(frozen=True, slots=True)
class Licenses:
    """What the publisher says may be done with what is published; `unknown` is an answer, too.

    Raises:
        ConfigError: `license` is none that the Hub knows, or `other` without its name.
    """

    license: str
    """Of the rows, or of the model: one of the Hub's identifiers, such as `cc-by-4.0`."""
    outputs: str
    """What the annotator's terms say of its answers, in the publisher's words; `unknown` where nobody looked."""
    name: str | None = None
    """Of a license that is `other`."""
    link: str | None = None
    """Where the text of a license that is `other` stands."""

    def __post_init__(self) -> None:
        if self.license not in HUB_LICENSES:
            close = difflib.get_close_matches(self.license.lower(), sorted(HUB_LICENSES), n=2, cutoff=0.5)
            meant = f" Did you mean {' or '.join(close)}?" if close else ""
            raise ConfigError(
                f"`license` is {self.license!r}, which is no identifier of the Hub: give one such as cc-by-4.0, mit, "
                f"'other' with its name, or 'unknown'.{meant}"
            )
        if self.license == "other" and not self.name:
            raise ConfigError("`license` is 'other': say its name as `license_name`, and where it stands.")
        if self.name is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.name):
            raise ConfigError(f"`license_name` is {self.name!r}: use small letters, digits, '.' and '-'.")
        if not self.outputs.strip():
            raise ConfigError(
                "`llm_terms` is empty: say what the annotator's terms allow to be done with its answers, or 'unknown'."
            )
