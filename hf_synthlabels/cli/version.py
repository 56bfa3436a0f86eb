"""The versions of this package and of what it is built on."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer


def _show_version(wanted: bool) -> None:
    if wanted:
        from hf_synthlabels.annotation.provenance import package_version

        print(f"hf-synthlabels {package_version()}")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
]


def version() -> None:
    """Say the version of this package and of what it stands on.

    Example: hf-synthlabels version
    """
    from importlib import metadata

    packages = ("hf-synthlabels", "datasets", "evaluate", "huggingface_hub", "openai", "torch", "transformers")
    found: dict[str, Any] = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    print(json.dumps(found, indent=1))
