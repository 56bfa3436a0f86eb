"""`hf-synthlabels version`: versions of this package and of its main dependencies."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from hf_synthlabels.cli.help import show_next


def _show_version(show: bool) -> None:
    if show:
        from hf_synthlabels import __version__

        print(f"hf-synthlabels {__version__}")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
]


def version() -> None:
    """Print the versions of this package and of its main dependencies.

    Example: hf-synthlabels version
    """
    from importlib import metadata

    packages = ("hf-synthlabels", "datasets", "huggingface_hub", "openai", "torch", "transformers")
    versions: dict[str, Any] = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    print(json.dumps(versions, indent=1))
    show_next("version")
