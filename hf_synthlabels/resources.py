"""Packaged configuration files and metrics, and the folders where this machine keeps answers."""

from __future__ import annotations

import os
from pathlib import Path

from hf_synthlabels.errors import ConfigError

PACKAGE = Path(__file__).resolve().parent


def packaged_file(kind: str, folder: str, name: str, suffix: str, *, error: type[ConfigError] = ConfigError) -> Path:
    """Path of a packaged configuration file.

    Args:
        kind: what the file is, for the error, such as `recipe`.
        folder: its folder in `configs`, such as `recipes`.
        name: its name without the suffix.
        suffix: such as `.yaml`.
        error: the class to raise.

    Raises:
        ConfigError: no packaged file has this name.
    """
    # In a wheel the configurations are inside the package, in a checkout next to it.
    folders = [PACKAGE / "configs" / folder, PACKAGE.parent / "configs" / folder]
    for candidate in folders:
        if (candidate / f"{name}{suffix}").is_file():
            return candidate / f"{name}{suffix}"
    known = sorted({file.stem for candidate in folders for file in candidate.glob(f"*{suffix}")})
    raise error(
        f"`{kind}` {name!r} is neither a file nor the name of a packaged {kind}. Give a path, or one of: "
        f"{', '.join(known)}."
    )


def metric_path(name: str) -> str:
    """Folder of a packaged metric, for `evaluate.load`.

    Raises:
        ConfigError: no packaged metric has this name.
    """
    folders = [PACKAGE / "metrics", PACKAGE.parent / "metrics"]
    for folder in folders:
        if (folder / name / f"{name}.py").is_file():
            return str(folder / name)
    known = sorted({file.stem for folder in folders for file in folder.glob("*/*.py") if file.parent.name == file.stem})
    raise ConfigError(f"`metric` {name!r} does not come with this package. Choose one of: {', '.join(known)}.")


def home() -> Path:
    """Folder of the response store and journals: `HF_SYNTHLABELS_HOME`, else `hf_synthlabels` in `HF_HOME`.

    `HF_HOME` defaults to `huggingface` in `XDG_CACHE_HOME` or `~/.cache`, as in all Hugging Face libraries. Empty
    variables count as unset, as the base directory specification says.
    """
    if own := os.environ.get("HF_SYNTHLABELS_HOME"):
        return _expanded(own)
    if hub := os.environ.get("HF_HOME"):
        return _expanded(hub) / "hf_synthlabels"
    return _expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface" / "hf_synthlabels"


def store_path() -> Path:
    """The file of the response store."""
    return home() / "responses.sqlite"


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(os.path.expanduser(path)))
