"""Result: the files of a finished job, and the record of how their labels were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hf_synthlabels.engines.ray.job_files import Folder
from hf_synthlabels.errors import DataError

RECORD = "provenance.json"


@dataclass(frozen=True, slots=True)
class Sharded:
    """What came of one split."""

    split: str
    files: tuple[str, ...]
    """Paths or addresses of Parquet files, in the order of the rows."""
    record: dict[str, Any]
    """How the labels were made: the provenance, which also stands in `provenance.json` beside `data`."""


def read_result(output: Folder, fingerprint: str) -> list[Sharded] | None:
    """The result of a job if it is there and no row of it is to be asked again; else None."""
    content = output.read_json(RECORD)
    if not isinstance(content, dict) or content.get("job") != fingerprint or content.get("unfinished") != 0:
        return None
    names = set(output.folder("data").names())
    splits = [Sharded(one["split"], tuple(one["files"]), one["record"]) for one in content["splits"]]
    if not all(file.rpartition("/")[2] in names for one in splits for file in one.files):
        return None
    return splits


def begin_result(output: Folder, fingerprint: str, files: Sequence[str]) -> None:
    """Say which files will be the result, before the first of them is written.

    Raises:
        DataError: there are data files that no job wrote.
    """
    content = output.read_json(RECORD) or {}
    own = set(content.get("files", []))
    if foreign := [name for name in output.folder("data").names() if name not in own]:
        raise DataError(
            f"`output` {str(output)!r} has the file 'data/{foreign[0]}', which is of something else. Name another "
            "folder."
        )
    # With those of an earlier job, so that they are known as its own until they are removed.
    output.write_json(RECORD, {"job": fingerprint, "files": sorted(own | set(files))})


def finish_result(
    output: Folder, fingerprint: str, splits: Mapping[str, tuple[Sequence[str], dict[str, Any]]], unfinished: int
) -> list[Sharded]:
    """Say that the result is whole, and remove the files of earlier jobs.

    Args:
        output: where the result is.
        fingerprint: of the job.
        splits: the names of the files of each split, and its record.
        unfinished: rows that are asked again the next time.
    """
    data = output.folder("data")
    files = [name for names, _ in splits.values() for name in names]
    for name in data.names():
        if name not in files:
            data.remove(name)
    found = [Sharded(split, tuple(f"{data}/{name}" for name in names), made) for split, (names, made) in splits.items()]
    content = {"job": fingerprint, "files": sorted(files), "unfinished": unfinished}
    output.write_json(RECORD, {**content, "splits": [asdict(one) for one in found]})
    return found
