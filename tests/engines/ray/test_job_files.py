"""Folder: atomic files on a disk and in an object store."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from datasets import ClassLabel, Features, Value

from hf_synthlabels.engines.ray.job_files import Folder
from hf_synthlabels.errors import ConfigError
from tests.engines.object_store import ObjectServer


@pytest.fixture(params=["path", "file://", "memory://", "objects://"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    match request.param:
        case "path":
            yield Folder.at(str(tmp_path / "out"))
        case "file://":
            yield Folder.at(f"file://{tmp_path}/out/")
        case "memory://":
            yield Folder.at(f"memory://{tmp_path}/out")
        case _:
            with ObjectServer() as server:
                yield Folder.at(f"objects://{server.host}/bucket/out")


def test_files_are_written_and_read(folder: Folder) -> None:
    assert folder.names() == []
    assert folder.read("a") is None
    folder.write("a", b"1")
    folder.write("a", b"22")
    folder.write_json("b.json", {"ä": [1, None]})
    assert folder.names() == ["a", "b.json"]
    assert folder.read("a") == b"22"
    assert folder.read_json("b.json") == {"ä": [1, None]}
    assert folder.read_json("c.json") is None


def test_folders_in_folders(folder: Folder) -> None:
    folder.folder("x", "y").write("a", b"1")
    folder.folder("x").write("b", b"1")
    assert folder.names() == ["x"]
    assert folder.folder("x").names() == ["b", "y"]
    folder.folder("x").remove("y")
    assert folder.folder("x").names() == ["b"]
    folder.remove("x")
    folder.remove("x")
    assert folder.folder("x").names() == []


def test_a_table_keeps_its_features(folder: Folder) -> None:
    features = Features({"label": ClassLabel(names=["film", "sport"]), "text": Value("string")})
    table = pa.table({"label": [1, None], "text": ["a", "b"]}, schema=features.arrow_schema)
    folder.write_table("t.parquet", table)
    result = folder.read_table("t.parquet")
    assert result.equals(table)
    assert Features.from_arrow_schema(result.schema) == features


def test_a_folder_can_be_pickled(folder: Folder) -> None:
    folder.write("a", b"1")
    other = pickle.loads(pickle.dumps(folder))
    assert (other.read("a"), str(other)) == (b"1", str(folder))


def test_a_file_that_is_being_written_is_not_seen(tmp_path: Path) -> None:
    folder = Folder.at(str(tmp_path))
    content = bytes(200_000)
    seen: list[bytes | None] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.extend(folder.read(name) for name in folder.names())

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(50):
        folder.write("a", content)
    done.set()
    thread.join()
    assert seen
    assert all(result == content for result in seen)


def test_partial_files_are_not_listed(tmp_path: Path) -> None:
    folder = Folder.at(str(tmp_path))
    (tmp_path / "a.0123abcd.part").write_bytes(b"half")
    assert folder.names() == []


@pytest.mark.parametrize(
    ("address", "message"),
    [
        pytest.param("nosuch://user:secret@host/x", "`output`.*'nosuch'", id="unknown"),
        pytest.param("adl://user:secret@host/x", "`output`.*'adl'", id="package missing"),
    ],
)
def test_an_unavailable_protocol_is_an_error_without_the_password(address: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Folder.at(address)
    assert "secret" not in str(caught.value)


def test_a_password_is_in_no_name(tmp_path: Path) -> None:
    with ObjectServer() as server:
        folder = Folder.at(f"objects://user:secret@{server.host}/out").folder("data")
    assert str(folder) == f"objects://{server.host}/out/data"
    assert "secret" not in repr(folder.address)
