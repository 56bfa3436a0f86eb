"""The one place that touches the private table of `datasets`, so that it knows the builder by name."""

from __future__ import annotations

from hf_synthlabels.errors import SynthLabelsError

BUILDER_NAME = "hf_synthlabels"


def register_builder() -> None:
    """Make `load_dataset("hf_synthlabels", data_files=recipe)` work in this process.

    `datasets` has no public way to add a builder; its table of packaged modules is the only one it reads before it
    takes the name for a folder or for a repository. To be replaced as soon as there is an entry point.

    Raises:
        SynthLabelsError: this version of `datasets` has no such table.
    """
    import datasets
    from datasets import packaged_modules

    table = getattr(packaged_modules, "_PACKAGED_DATASETS_MODULES", None)
    if not isinstance(table, dict):
        raise SynthLabelsError(
            f"`datasets` {datasets.__version__} keeps no table of packaged modules where 5.2 has one. "
            "Install a version that this package was tested with: pip install 'datasets>=5,<6'."
        )
    # The second part names the cache folder; what can change a table is in the configuration id already.
    table[BUILDER_NAME] = ("hf_synthlabels.annotation.builder", "1")


def is_reader(path: str) -> bool:
    """Whether the `path` of `load_dataset` names a reader of files, such as `csv`, and no folder or repository."""
    from datasets import packaged_modules

    return path in packaged_modules._PACKAGED_DATASETS_MODULES or path in ("excel", "stata")
