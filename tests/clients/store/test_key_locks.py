"""A key is claimed by one holder of the file; without locks, all claims are granted and a warning says why."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.clients.store.key_locks import KeyLocks

KEYS = ("0" * 64, "f" * 64, "0123456789abcdef" * 4)


def test_a_key_is_held_by_one_until_it_is_given_back_or_closed(tmp_path: Path) -> None:
    first, second = KeyLocks(tmp_path / "claims"), KeyLocks(tmp_path / "claims")
    for key in KEYS:
        assert (first.acquire(key), first.acquire(key), second.acquire(key)) == (True, True, False)
    first.release(KEYS[0])
    first.release(KEYS[0])
    assert [second.acquire(key) for key in KEYS] == [True, False, False]
    first.close()
    assert [second.acquire(key) for key in KEYS] == [True, True, True]
    second.close()


HOLDER = """
import sys, time
from pathlib import Path
from hf_synthlabels.clients.store.key_locks import KeyLocks
assert KeyLocks(Path(sys.argv[1])).acquire(sys.argv[2])
print("held", flush=True)
time.sleep(60)
"""


def test_the_claims_of_a_killed_process_are_free(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "claims"), KEYS[0]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        own = KeyLocks(tmp_path / "claims")
        assert not own.acquire(KEYS[0])
        child.kill()
    assert own.acquire(KEYS[0])
    own.close()


@pytest.mark.parametrize("cause", [OSError(errno.ENOLCK, "No locks available"), OSError(errno.EINVAL, "Invalid")])
def test_without_locks_every_claim_is_granted_and_a_warning_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cause: OSError
) -> None:
    def fails(*_: Any) -> Any:
        raise cause

    monkeypatch.setattr("fcntl.fcntl", fails)
    first, second = KeyLocks(tmp_path / "claims"), KeyLocks(tmp_path / "claims")
    for key in KEYS:
        assert (first.acquire(key), second.acquire(key)) == (True, True)
        first.release(key)
    # One for each holder of the file.
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert all(str(cause) in message for message in messages)


@pytest.mark.parametrize(
    ("platform", "layout"),
    [
        # From <fcntl.h>: start, length, pid, type, whence on macOS; type, whence, start, length, pid on Linux.
        ("darwin", struct.Struct("=qqihh")),
        ("linux", struct.Struct("=hh4xqqi4x")),
    ],
)
def test_the_layout_of_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, layout: struct.Struct
) -> None:
    calls: list[tuple[int, bytes]] = []
    monkeypatch.setattr("fcntl.fcntl", lambda _file, command, lock: calls.append((command, lock)))
    monkeypatch.setattr("fcntl.F_OFD_SETLK", 90, raising=False)
    monkeypatch.setattr("hf_synthlabels.clients.store.key_locks.sys.platform", platform)
    KeyLocks(tmp_path / "claims").acquire("0" * 14 + "7" + "f" * 49)
    import fcntl

    fields = (7, 1, 0, fcntl.F_WRLCK, os.SEEK_SET)
    expected = fields if platform == "darwin" else (fields[3], fields[4], *fields[:3])
    assert calls == [(90, layout.pack(*expected))]


WITHOUT_POSIX = """
import sys
sys.modules["fcntl"] = None
import hf_synthlabels, hf_synthlabels.cli.main
from hf_synthlabels.clients import ResponseStore
with ResponseStore(sys.argv[1]) as store:
    assert store.acquire(["0" * 64]) == ["0" * 64]
    store.put("0" * 64, {"text": "good"})
"""


def test_the_package_works_without_a_module_that_windows_lacks(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", WITHOUT_POSIX, str(tmp_path / "responses.sqlite")], capture_output=True, text=True
    )
    assert child.returncode == 0, child.stderr
    assert "may both pay" in child.stderr
