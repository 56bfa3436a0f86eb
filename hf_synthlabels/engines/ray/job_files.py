"""Files of a job, locally or in an object store: atomic writes, tables of labels, and the finished result."""

from __future__ import annotations

import io
import json
import os
import re
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.annotation.builder import UNFINISHED
from hf_synthlabels.errors import ConfigError, DataError, StoreError
from hf_synthlabels.labels import STATUSES

if TYPE_CHECKING:
    import pyarrow as pa

RECORD = "provenance.json"

ROW_ID = "__row_id__"
"""Column of row IDs in label files."""

STATS = b"hf_synthlabels.tally"
"""Key of the schema metadata of a label file that holds the run statistics."""

UNFINISHED_CODES = frozenset(STATUSES.index(status) for status in UNFINISHED)
"""Codes of the statuses whose rows are sent again."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of any file system that fsspec supports; its files are written atomically."""

    system: Any
    """An `fsspec.AbstractFileSystem`; pickling keeps its arguments, not its state."""
    path: str
    address: str
    """Path or URL without a password."""

    @classmethod
    def at(cls, address: str) -> Self:
        """The folder at a path or a URL such as `s3://bucket/folder`; it need not exist.

        Raises:
            ConfigError: fsspec does not know the protocol, or its package is not installed.
        """
        from fsspec.core import url_to_fs
        from fsspec.implementations.local import LocalFileSystem

        try:
            system, path = url_to_fs(address)
        except (ImportError, ValueError) as error:
            # The whole address may contain a password.
            protocol = address.partition("://")[0]
            cause = " ".join(str(error).split())
            raise ConfigError(f"`output`: the protocol {protocol!r} is not available: {cause}.") from None
        path = path.rstrip("/")
        if isinstance(system, LocalFileSystem):
            return cls(system, path, path)
        return cls(system, path, re.sub(r"//[^/@]*@", "//", address).rstrip("/"))

    def __str__(self) -> str:
        return self.address

    def folder(self, *names: str) -> Folder:
        """A subfolder."""
        return Folder(self.system, "/".join([self.path, *names]), "/".join([self.address, *names]))

    def names(self) -> list[str]:
        """Sorted names of the files and folders in it, without files that are being written."""
        # Other machines write here, too, so cached listings are out of date.
        self.system.invalidate_cache()
        try:
            paths = self.system.ls(self.path, detail=False)
        except FileNotFoundError:
            return []
        names = {str(path).rstrip("/").rpartition("/")[2] for path in paths}
        return sorted(name for name in names if not name.endswith(".part"))

    def write(self, name: str, content: bytes) -> None:
        """Write a file; if the process is killed, the file is complete or missing."""
        from fsspec.implementations.local import LocalFileSystem

        self.system.makedirs(self.path, exist_ok=True)
        path, part = f"{self.path}/{name}", f"{self.path}/{name}.{uuid.uuid4().hex[:8]}.part"
        if isinstance(self.system, LocalFileSystem):
            with open(part, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
            return
        # Some systems show a file while it is being written; renaming is atomic on all.
        self.system.pipe_file(part, content)
        self.system.mv(part, path)

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if it does not exist."""
        try:
            return bytes(self.system.cat_file(f"{self.path}/{name}"))
        except FileNotFoundError:
            return None

    def write_json(self, name: str, content: Any) -> None:
        """Write plain values as JSON."""
        self.write(name, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """The plain values in a JSON file; None if it does not exist."""
        content = self.read(name)
        return None if content is None else json.loads(content)

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a Parquet file with the schema's metadata, which holds the features."""
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        self.write(name, buffer.getvalue())

    def read_table(self, name: str) -> pa.Table:
        """The table in a Parquet file.

        Raises:
            FileNotFoundError: the file does not exist.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        content = self.system.cat_file(f"{self.path}/{name}")
        return pq.ParquetFile(pa.BufferReader(content)).read()

    def remove(self, name: str) -> None:
        """Delete a file, or a folder with its content, if it exists."""
        self.system.invalidate_cache()
        try:
            self.system.rm(f"{self.path}/{name}", recursive=True)
        except FileNotFoundError:
            return


def finished_rows(parts: Sequence[pa.Table], column: str) -> set[str]:
    """IDs of the rows that are final; `column` is the label column."""
    return {
        row
        for part in parts
        for row, code in zip(part.column(ROW_ID).to_pylist(), part.column(f"{column}_status").to_pylist(), strict=True)
        if code not in UNFINISHED_CODES
    }


def join_labels(ids: Sequence[str], parts: Sequence[pa.Table], column: str) -> pa.Table:
    """The label columns of rows in a given order.

    If a row occurs several times, a finished occurrence wins, else the last one: the earliest part comes first.

    Raises:
        StoreError: a row is in no table.
    """
    import pyarrow as pa

    labels = pa.concat_tables([part.replace_schema_metadata(None) for part in parts])
    codes = labels.column(f"{column}_status").to_pylist()
    places: dict[str, int] = {}
    for place, row in enumerate(labels.column(ROW_ID).to_pylist()):
        earlier = places.get(row)
        if earlier is None or codes[place] not in UNFINISHED_CODES or codes[earlier] in UNFINISHED_CODES:
            places[row] = place
    missing = [row for row in ids if row not in places]
    if missing:
        raise StoreError(
            f"{len(missing)} rows have no labels, the first is {missing[0]!r}; run the same command again."
        )
    return labels.take([places[row] for row in ids]).drop_columns([ROW_ID])


def label_stats(labels: pa.Table, parts: Sequence[pa.Table], column: str) -> RunStats:
    """Final statuses of the rows, and requests over all attempts."""
    stats = RunStats()
    for part in parts:
        stats.add(json.loads(part.schema.metadata[STATS]))
    statuses = [STATUSES[code] for code in labels.column(f"{column}_status").to_pylist()]
    reasons = labels.column(f"{column}_note").to_pylist()
    # A row with two attempts counts once.
    stats.rows = labels.num_rows
    stats.statuses = Counter(statuses)
    stats.failures = Counter(reason for reason, status in zip(reasons, statuses, strict=True) if status == "failed")
    stats.reasons = Counter()
    for reason, status in zip(reasons, statuses, strict=True):
        if status not in ("labelled", "failed"):
            stats.count_reason(status, reason or "")
    return stats


@dataclass(frozen=True, slots=True)
class Sharded:
    """The result for one split."""

    split: str
    files: tuple[str, ...]
    """Paths or URLs of Parquet files, in the order of the rows."""
    record: dict[str, Any]
    """Provenance of the labels, which is also in `provenance.json`."""


def read_result(output: Folder, fingerprint: str) -> list[Sharded] | None:
    """The result of a job; None if it is missing, or has rows that are sent again."""
    content = output.read_json(RECORD)
    if not isinstance(content, dict) or content.get("job") != fingerprint or content.get("unfinished") != 0:
        return None
    names = set(output.folder("data").names())
    splits = [Sharded(split["split"], tuple(split["files"]), split["record"]) for split in content["splits"]]
    if not all(file.rpartition("/")[2] in names for split in splits for file in split.files):
        return None
    return splits


def begin_result(output: Folder, fingerprint: str, files: Sequence[str]) -> None:
    """Record the names of the result's files, before the first one is written.

    Raises:
        DataError: the folder contains data files of another program.
    """
    content = output.read_json(RECORD) or {}
    own = set(content.get("files", []))
    if foreign := [name for name in output.folder("data").names() if name not in own]:
        raise DataError(f"`output` {str(output)!r} contains the foreign file 'data/{foreign[0]}'; name another folder.")
    # Files of an earlier job stay listed until they are deleted.
    output.write_json(RECORD, {"job": fingerprint, "files": sorted(own | set(files))})


def finish_result(
    output: Folder, fingerprint: str, splits: Mapping[str, tuple[Sequence[str], dict[str, Any]]], unfinished: int
) -> list[Sharded]:
    """Record that the result is complete, and delete the files of earlier jobs."""
    data = output.folder("data")
    files = [name for names, _ in splits.values() for name in names]
    for name in data.names():
        if name not in files:
            data.remove(name)
    result = [
        Sharded(split, tuple(f"{data}/{name}" for name in names), record) for split, (names, record) in splits.items()
    ]
    content = {"job": fingerprint, "files": sorted(files), "unfinished": unfinished}
    output.write_json(RECORD, {**content, "splits": [asdict(split) for split in result]})
    return result
