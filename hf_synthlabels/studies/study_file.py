"""StudyFile: what the files of all kinds of study have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field

from hf_synthlabels.annotation import StrictModel, read_yaml, validated
from hf_synthlabels.annotation.recipe.strict_yaml import folder_of
from hf_synthlabels.errors import StudyError


class StudyFile(StrictModel):
    """A study as a YAML file holds it; what it names is looked for beside the file."""

    KEYS: ClassVar[str]
    """The keys that a file of this kind has at least, as an error says them."""

    folder: Path | None = Field(default=None, exclude=True)
    """Of the file."""

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read a study file.

        Raises:
            StudyError: the file is not there, is not YAML, or a key is missing, unknown or wrong.
        """
        file = Path(path)
        content = read_yaml(file, "study", StudyError)
        if not isinstance(content, dict):
            raise StudyError(f"{path}: a study is a mapping with {cls.KEYS}.")
        return cls.from_dict(content, folder=Path(folder_of(file)), where=str(path))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], *, folder: Path | None = None, where: str = "study") -> Self:
        """A study from plain values.

        Args:
            content: the keys of the file.
            folder: where what it names is looked for.
            where: how errors name it.

        Raises:
            StudyError: a key is missing, unknown or wrong.
        """
        return validated(cls, {**content, "folder": folder}, where, StudyError)
