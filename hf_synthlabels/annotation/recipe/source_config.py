"""The `source` section of a recipe or a judge file, and the paths in such a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from hf_synthlabels.annotation.recipe.remote import fetched, is_address
from hf_synthlabels.clients.config import ClientConfig, StrictModel
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.registration import is_reader

DATA_VARIABLE = "HF_SYNTHLABELS_DATA"
"""The only environment variable that a file may refer to: the folder of local copies of data."""

OWN_OPTIONS = frozenset(
    {"path", "name", "data_files", "data_dir", "split", "revision", "columns", "features", "token", "streaming"}
    | {"cache_dir", "download_config", "download_mode", "verification_mode", "keep_in_memory", "save_infos"}
    | {"num_proc", "storage_options", "encoding", "sep", "delimiter", "trust_remote_code"}
)
"""Arguments of `load_dataset` that are no options of a reader, or have a key."""


class Source(StrictModel):
    """Where the rows come from: the arguments of `datasets.load_dataset`."""

    path: str
    name: str | None = None
    data_files: str | list[str] | dict[str, str | list[str]] | None = None
    data_dir: str | None = None
    split: str | None = None
    revision: str | None = None
    encoding: str | None = None
    """Of files of text, such as `cp1252`; detected, unless given."""
    separator: str | None = None
    """Between the cells of CSV files, such as `;`; detected, unless given."""
    columns: list[str] | None = None
    """The columns to keep."""
    features: dict[str, Any] | None = None
    """Types of columns, as the card of a data set writes them: `string`, or `{class_label: {names: [...]}}`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Further options of the reader, such as `skiprows` of `csv` or `field` of `json`."""
    homepage: str | None = None
    """The public address of the data, for people and cards."""

    @field_validator("options")
    @classmethod
    def _options(cls, options: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(set(options) & OWN_OPTIONS):
            key = {"sep": "separator", "delimiter": "separator"}.get(taken[0], taken[0])
            raise ValueError(
                f"has {taken[0]!r}, which is no option of a reader. Use `source.{key}` if there is such a key."
            )
        return options


@dataclass(frozen=True, slots=True)
class FilePaths:
    """Finds the files that a configuration file names."""

    folder: Path | str | None
    """Where the configuration file was read, as a folder or an address; relative paths start there."""
    homepage: str | None = None
    """The public address of the data, for errors."""
    error: type[ConfigError] = ConfigError
    """Raised where a file cannot be found."""

    def resolve(self, path: str) -> str:
        """A path that can be opened: relative to the folder, `HF_SYNTHLABELS_DATA` filled in.

        Raises:
            ConfigError: the path needs `HF_SYNTHLABELS_DATA`, which is not set.
        """
        if f"${{{DATA_VARIABLE}}}" in path:
            root = os.environ.get(DATA_VARIABLE)
            if not root:
                where = f" It is published at {self.homepage}." if self.homepage else ""
                raise self.error(
                    f"`{path}` needs the environment variable {DATA_VARIABLE}: the folder with your copy of the data."
                    + where
                )
            path = path.replace(f"${{{DATA_VARIABLE}}}", root)
        if "://" in path or Path(path).is_absolute() or self.folder is None:
            return path
        return f"{self.folder}/{path}" if isinstance(self.folder, str) else str(self.folder / path)

    def local(self, path: str) -> str:
        """A file on this machine; one at an address is fetched.

        Raises:
            ConfigError: it cannot be fetched, or needs `HF_SYNTHLABELS_DATA`.
        """
        resolved = self.resolve(path)
        return str(fetched(resolved, path)) if is_address(resolved) else resolved

    def located_source(self, source: Source) -> Source:
        """A source with paths that can be opened from anywhere.

        As in `load_dataset`, files are relative to a folder or repository that `path` names; of a reader such as `csv`
        they are relative to the configuration file.
        """
        if is_reader(source.path):
            folder = None if source.data_dir is None else self.resolve(source.data_dir)
            files = _located(source.data_files, self.resolve)
            return source.model_copy(update={"data_files": files, "data_dir": folder})
        local = self.resolve(source.path)
        if is_address(local) or not Path(local).exists():
            return source
        files = _located(source.data_files, lambda file: self._within(local, file))
        return source.model_copy(update={"path": local, "data_files": files})

    def located_client(self, client: ClientConfig) -> ClientConfig:
        """A client with paths that can be opened from anywhere.

        A local model is the folder of its name next to the configuration file, if there is one; else the name itself.
        """
        model = client.model
        if model is not None and client.kind in ("transformers", "embedding"):
            folder = self.resolve(model)
            model = folder if Path(folder).is_dir() else model
        return client.located(self.local, model)

    def _within(self, folder: str, file: str) -> str:
        anchored = "://" in file or Path(file).is_absolute() or f"${{{DATA_VARIABLE}}}" in file
        return self.resolve(file) if anchored else str(Path(folder) / file)


def _located(files: Any, locate: Callable[[str], str]) -> Any:
    """Data files of any form with their paths changed."""
    if isinstance(files, str):
        return locate(files)
    if isinstance(files, list):
        return [_located(file, locate) for file in files]
    return None if files is None else {split: _located(part, locate) for split, part in files.items()}
