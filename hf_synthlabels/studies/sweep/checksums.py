"""Whether a local copy of data is the published one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from hf_synthlabels.annotation import Recipe
from hf_synthlabels.errors import DataError, StudyError


def check_sums(task: str, sums: Mapping[str, str], recipe: Recipe) -> None:
    """Compare the recipe's files with their checksums.

    Args:
        task: names the study's task in errors.
        sums: by split the SHA-256 of the one file that it is read from, in hexadecimal digits.
        recipe: names the files.

    Raises:
        StudyError: a split is not read from one local file.
        DataError: a file is another one.
    """
    files = recipe.source.data_files
    for split, expected in sums.items():
        file = files.get(split) if isinstance(files, dict) else files
        if not isinstance(file, str) or "://" in file or not Path(recipe.resolve(file)).is_file():
            raise StudyError(
                f"`tasks.{task}.sha256` names the split {split!r}, which is not read from one local file. Remove it."
            )
        with Path(recipe.resolve(file)).open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != expected.lower():
            where = f" Get it anew from {recipe.source.homepage}." if recipe.source.homepage else ""
            raise DataError(
                f"`tasks.{task}.sha256` of {split!r} is {expected[:12]}…, and {Path(file).name!r} has {found[:12]}…: "
                f"another file.{where}"
            )
