"""Recipes at an address: read by fsspec, as `datasets` reads data files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hf_synthlabels.errors import ConfigError, RecipeError
from hf_synthlabels.resources import home
from hf_synthlabels.tables import write_text


def is_address(path: object) -> bool:
    """Whether a path is an address such as `hf://datasets/user/name/recipe.yaml`."""
    return isinstance(path, str) and "://" in path


def read_address(address: str, what: str, error_type: type[ConfigError] = RecipeError) -> str:
    """The text at an address.

    Raises:
        ConfigError: of the given type: it cannot be read.
    """
    import fsspec
    import huggingface_hub  # noqa: F401  it makes hf:// known

    try:
        with fsspec.open(address, "rb") as file:
            return bytes(file.read()).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise error_type(f"`{what}` {address!r} is not UTF-8 text. Give the address of a YAML file.") from None
    except Exception as error:  # file systems raise different errors
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise error_type(f"`{what}` {address!r} cannot be read: {reason.rstrip('.')}. Check the address.") from None


def fetched(address: str, what: str) -> Path:
    """A file of this machine with the text at an address; it changes only when the text does."""
    text = read_address(address, what)
    suffix = Path(address).suffix
    place = home() / "fetched" / f"{hashlib.sha256(address.encode()).hexdigest()[:24]}{suffix}"
    if not place.is_file() or place.read_text(encoding="utf-8") != text:
        write_text(place, text)
    return place
