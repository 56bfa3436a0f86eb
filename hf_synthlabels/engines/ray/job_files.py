"""Files of a job: on this machine, on a shared disk or in an object store, always whole or not there."""

from __future__ import annotations

import io
import json
import os
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from hf_synthlabels.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of any file system that fsspec knows."""

    system: Any
    """An `fsspec.AbstractFileSystem`; it travels to other machines as what it was made from, not with its state."""
    path: str
    address: str
    """How people and readers name it; it holds no password."""

    @classmethod
    def at(cls, address: str) -> Self:
        """The folder at a path or at an address such as `s3://bucket/folder`; it need not be there yet.

        Raises:
            ConfigError: no file system is known for the address, or the package for it is not installed.
        """
        from fsspec.core import url_to_fs
        from fsspec.implementations.local import LocalFileSystem

        try:
            system, path = url_to_fs(address)
        except (ImportError, ValueError) as error:
            # Not the whole address: it may hold a password.
            scheme = address.partition("://")[0]
            words = " ".join(str(error).split())
            raise ConfigError(f"`output` is an address of kind {scheme!r}, which can not be opened: {words}.") from None
        path = path.rstrip("/")
        if isinstance(system, LocalFileSystem):
            return cls(system, path, path)
        return cls(system, path, re.sub(r"//[^/@]*@", "//", address).rstrip("/"))

    def __str__(self) -> str:
        return self.address

    @property
    def _is_local(self) -> bool:
        from fsspec.implementations.local import LocalFileSystem

        return isinstance(self.system, LocalFileSystem)

    def folder(self, *names: str) -> Folder:
        """A folder in this one."""
        return Folder(self.system, "/".join([self.path, *names]), "/".join([self.address, *names]))

    def names(self) -> list[str]:
        """The names of the files and folders in it, sorted; those that are still being written are left out."""
        # Others write here as well, so nothing that was known before counts.
        self.system.invalidate_cache()
        try:
            found = self.system.ls(self.path, detail=False)
        except FileNotFoundError:
            return []
        names = {str(path).rstrip("/").rpartition("/")[2] for path in found}
        return sorted(name for name in names if not name.endswith(".part"))

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        self.system.invalidate_cache()
        return bool(self.system.exists(f"{self.path}/{name}"))

    def write(self, name: str, content: bytes) -> None:
        """Write a file that is there as a whole or not at all, whenever this process is ended."""
        self.system.makedirs(self.path, exist_ok=True)
        place, part = f"{self.path}/{name}", f"{self.path}/{name}.{uuid.uuid4().hex[:8]}.part"
        if self._is_local:
            with open(part, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, place)
            return
        # Some systems show a file while it is being written; all show the new name of one at once.
        self.system.pipe_file(part, content)
        self.system.mv(part, place)

    def read(self, name: str) -> bytes | None:
        """The content of a file; None when it is not there."""
        try:
            return bytes(self.system.cat_file(f"{self.path}/{name}"))
        except FileNotFoundError:
            return None

    def write_json(self, name: str, content: Any) -> None:
        """Write plain values."""
        self.write(name, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """The plain values of a file; None when it is not there."""
        content = self.read(name)
        return None if content is None else json.loads(content)

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a Parquet file; the features of `datasets` in the schema's metadata go with it."""
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        self.write(name, buffer.getvalue())

    def read_table(self, name: str) -> pa.Table:
        """The table of a Parquet file.

        Raises:
            FileNotFoundError: it is not there.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        content = self.system.cat_file(f"{self.path}/{name}")
        return pq.ParquetFile(pa.BufferReader(content)).read()

    def remove(self, name: str) -> None:
        """Remove a file or a folder with all that is in it, where it is there."""
        self.system.invalidate_cache()
        try:
            self.system.rm(f"{self.path}/{name}", recursive=True)
        except FileNotFoundError:
            return
