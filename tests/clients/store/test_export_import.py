from __future__ import annotations

import hashlib
import json
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from hf_synthlabels.clients import ResponseStore, Run
from hf_synthlabels.clients.store.export_import import (
    ExportResult,
    ImportResult,
    export_store,
    import_answers,
    json_lines,
)
from hf_synthlabels.clients.store.ledger import UsageRecord
from hf_synthlabels.clients.store.sqlite_file import StoreReader
from hf_synthlabels.errors import DataError, StoreError

COUNT = 3000


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def answer(number: int) -> dict[str, object]:
    # Short ones, and some that go over several pages of the file.
    text = f"Größe {number}\u2028\x00\n" * (1 if number % 100 else 2000)
    content: dict[str, object] = {
        "text": text,
        "model": f"tiny-{number % 3}",
        "usage": {"prompt_tokens": number, "completion_tokens": 1, "cached_tokens": 0},
    }
    if number % 7 == 0:
        content["probabilities"] = {"film": 0.1 + 0.2, "sport": 1 / 3}
    if number % 11 == 0:
        content["tokens"] = [["film", -0.1, [["film", -0.1], ["sport", -2.5]]]]
    return content


def fill(path: Path, count: int = COUNT) -> Path:
    with ResponseStore(path) as store:
        for number in range(count):
            store.put(key(number), answer(number))
        run = Run("films", "tiny", "http://127.0.0.1:8000/v1", budget_usd=5.0)
        store.begin_run(run)
        store.commit_usage(run, UsageRecord(count, 10 * count, count, 0, 1.5))
        store.end_run(run)
        store.execute("INSERT INTO probes VALUES ('http://127.0.0.1:8000/v1', 'tiny', 'json_schema', 1.5, 'works')")
    return path


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("filled") / "responses.sqlite")


@pytest.fixture
def path(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(filled, tmp_path / "responses.sqlite"))


def contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
            for table in ("answers", "runs", "probes")
        }


def test_everything_goes_out_and_comes_back_to_the_letter(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "all.jsonl"
    assert export_store(path, out) == ExportResult(COUNT, 0, 2, ())
    assert [file.name for file in out.parent.iterdir()] == ["all.jsonl"]
    with ResponseStore(tmp_path / "new.sqlite") as new:
        assert import_answers(new, out) == ImportResult(COUNT, 0, 0, 2)
        assert import_answers(new, out) == ImportResult(0, COUNT, 0, 0)
    # With their times, checksums and the ledger, so that a budget goes on where it was.
    assert contents(tmp_path / "new.sqlite") == contents(path)


def test_an_export_can_be_read_by_people(path: Path, tmp_path: Path) -> None:
    export_store(path, tmp_path / "all.jsonl")
    lines = (tmp_path / "all.jsonl").read_text(encoding="utf-8").split("\n")
    assert len(lines) == COUNT + 2 + 1
    answers = {line["request"]: line for line in map(json.loads, lines[:COUNT])}
    assert answers[key(7)]["answer"] == "Größe 7\u2028\x00\n"
    assert "Größe" in lines[0]
    assert {json.loads(line)["table"] for line in lines[COUNT:-1]} == {"runs", "probes"}


def test_damaged_answers_stay_behind(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE answers SET payload = replace(payload, '5', '6') WHERE key = ?", (key(5),))
    assert export_store(path, tmp_path / "all.jsonl") == ExportResult(COUNT - 1, 1, 2, ())
    assert key(5) not in (tmp_path / "all.jsonl").read_text(encoding="utf-8")


def test_an_import_replaces_what_is_damaged(filled: Path, path: Path, tmp_path: Path) -> None:
    export_store(filled, tmp_path / "all.jsonl")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE answers SET payload = 'x' WHERE key = ?", (key(5),))
    with ResponseStore(path) as store:
        assert import_answers(store, tmp_path / "all.jsonl") == ImportResult(1, COUNT - 1, 0, 0)
    assert contents(path) == contents(filled)


# Damaged files


@pytest.mark.parametrize("damage", ["truncated", "pages"])
def test_export_saves_all_readable_answers(path: Path, tmp_path: Path, damage: str) -> None:
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        del content[len(content) * 2 // 3 :]
    else:
        for page in random.Random(0).sample(range(4, len(content) // 4096), 5):
            content[page * 4096 : (page + 1) * 4096] = bytes(4096)
    path.write_bytes(content)
    result = export_store(path, tmp_path / "saved.jsonl")
    # SQLite reads nothing of a file that is shorter than its header says.
    assert result.answers < COUNT
    assert result.answers > 0.8 * COUNT or damage == "truncated"
    assert result.faults
    assert path.read_bytes() == content
    with ResponseStore(tmp_path / "new.sqlite") as new:
        assert import_answers(new, tmp_path / "saved.jsonl").new == result.answers
        expected = {key(number): answer(number) for number in range(COUNT)}
        assert all(expected[name] == stored for name, stored in new.get(expected).items())


def test_a_reader_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    with StoreReader(path) as reader:
        assert sum(entry.is_valid for entry in reader.answers()) == COUNT
        reader.check()
        assert reader.faults == []
        assert list(reader.rows("no_such_table")) == []
    assert path.read_bytes() == before


# What is refused


def imported(store: ResponseStore, file: Path, *lines: object, keep: bool = False) -> ImportResult:
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return import_answers(store, file, keep=keep)


@pytest.fixture
def lines(filled: Path, tmp_path: Path) -> list[dict[str, object]]:
    export_store(filled, tmp_path / "lines.jsonl")
    actual = map(json.loads, (tmp_path / "lines.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n"))
    order = {key(number): number for number in range(COUNT)}
    return sorted(actual, key=lambda line: order.get(line.get("request"), COUNT))


def test_another_answer_to_the_same_request_is_refused_and_nothing_is_imported(
    tmp_path: Path, lines: list[dict[str, object]]
) -> None:
    file = tmp_path / "some.jsonl"
    with ResponseStore(tmp_path / "new.sqlite") as store:
        store.put(lines[1]["request"], answer(999) | {"text": "something else"})  # type: ignore[arg-type]
        store.flush()
        with pytest.raises(DataError, match=r"`some\.jsonl`: 1 .* on line 2"):
            imported(store, file, *lines[:3])
        assert len(store) == 1
        assert imported(store, file, *lines[:3], keep=True) == ImportResult(2, 0, 1, 0)
        assert store.get([key(1)])[key(1)]["text"] == "something else"


def test_a_changed_line_is_refused(tmp_path: Path, lines: list[dict[str, object]]) -> None:
    file = tmp_path / "some.jsonl"
    with ResponseStore(tmp_path / "new.sqlite") as store:
        with pytest.raises(DataError, match=r"`some\.jsonl`, line 2: `checksum`"):
            imported(store, file, lines[0], lines[1] | {"answer": "something else"})
        with pytest.raises(DataError, match=r"`some\.jsonl`, line 1: `checksum`"):
            imported(store, file, lines[0] | {"usage": {"prompt_tokens": 1}})
        assert len(store) == 0


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"id": 3, "answer": "film"}',
        '{"request": "x", "answer": "y", "model": "m", "usage": {}}',
        '{"table": "answers", "row": {"key": "x"}}',
        '{"table": "runs", "row": {"id = 1; DROP TABLE answers; --": 1}}',
        '{"table": ["runs"], "row": {}}',
    ],
)
def test_a_line_that_is_none_of_an_export_is_named(tmp_path: Path, lines: list[dict[str, object]], line: str) -> None:
    with ResponseStore(tmp_path / "new.sqlite") as store:
        with pytest.raises(DataError, match=r"^`some\.jsonl`, line 2: expected a line of `cache export`"):
            imported(store, tmp_path / "some.jsonl", lines[0], line)
        assert len(store) == 0


def test_a_file_that_is_no_text_or_is_not_there_is_told(tmp_path: Path) -> None:
    with ResponseStore(tmp_path / "new.sqlite") as store:
        (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\n")
        with pytest.raises(DataError, match="`binary`, line 1: expected a line of"):
            import_answers(store, tmp_path / "binary")
        with pytest.raises(DataError, match=r"none\.jsonl` cannot be read"):
            import_answers(store, tmp_path / "none.jsonl")
        with pytest.raises(DataError, match="cannot be read"):
            import_answers(store, tmp_path)


def test_an_export_that_fails_leaves_nothing_and_keeps_what_was_there(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "all.jsonl"
    out.parent.mkdir()
    out.write_text("before")

    def fail() -> None:
        with json_lines(out) as lines:
            lines.write("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert {file.name: file.read_text() for file in out.parent.iterdir()} == {"all.jsonl": "before"}
    with pytest.raises(StoreError, match="does not exist"):
        export_store(tmp_path / "none.sqlite", out)
    assert {file.name: file.read_text() for file in out.parent.iterdir()} == {"all.jsonl": "before"}


def test_a_kill_in_the_middle_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "all.jsonl"
    out.write_text("before")
    code = (
        "import os, sys\n"
        "from hf_synthlabels.clients.store.export_import import json_lines\n"
        "with json_lines(sys.argv[1]) as lines:\n"
        "    lines.write('half')\n"
        "    lines.flush()\n"
        "    os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(out)], cwd=Path(__file__).parents[3], timeout=120)
    assert done.returncode == 9
    assert out.read_text() == "before"


@pytest.mark.parametrize("output", ["file/out.jsonl", "folder"])
def test_where_nothing_can_be_written_is_told(path: Path, tmp_path: Path, output: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"`output` .* cannot be written"):
        export_store(path, tmp_path / output)
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told(path: Path) -> None:
    with pytest.raises(DataError, match=r"`output` '/dev/full' cannot be written"):
        export_store(path, "/dev/full")
