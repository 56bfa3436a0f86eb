"""Registration of the builder in the private table of `datasets`; no other module touches that table."""

from __future__ import annotations

from typing import Any

from wrapt import register_post_import_hook

from hf_synthlabels.errors import SynthLabelsError

BUILDER_NAME = "hf_synthlabels"


def register_builder() -> None:
    """Make `load_dataset("hf_synthlabels", data_files=recipe)` work in this process.

    `datasets` has no public way to add a builder: the table of packaged modules is the only one that it reads before
    it takes the name for a folder or a repository. The entry is added as soon as the program imports `datasets`, so
    that this package itself is imported quickly.

    Raises:
        SynthLabelsError: this version of `datasets` has no such table.
    """
    register_post_import_hook(_add_entry, "datasets.packaged_modules")


def _add_entry(packaged_modules: Any) -> None:
    table = getattr(packaged_modules, "_PACKAGED_DATASETS_MODULES", None)
    if not isinstance(table, dict):
        from importlib.metadata import version

        raise SynthLabelsError(
            f"`datasets` {version('datasets')} keeps no table of packaged modules where 5.2 has one. "
            "Install a version that this package was tested with: pip install 'datasets>=5,<6'."
        )
    # The second part names the cache folder; what can change a table is in the configuration id already.
    table[BUILDER_NAME] = ("hf_synthlabels.annotation.builder", "1")


def is_reader(path: str) -> bool:
    """Whether the `path` of `load_dataset` names a reader of files, such as `csv`, and no folder or repository."""
    from datasets import packaged_modules

    return path in packaged_modules._PACKAGED_DATASETS_MODULES or path in ("excel", "stata")
