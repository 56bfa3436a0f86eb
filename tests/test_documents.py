"""What the documents show is run, block by block, in one folder for each document."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.cli import main
from hf_synthlabels.help_cli import GROUPS
from tests.documents import Block, blocks

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = ("bash", "console", "sh")


APART = ("many_machines.md", "grids.md")
"""Documents whose programs start processes that import what started them: they get one of their own."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_code_block_of_the_document_runs(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copy(ROOT / "train.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path, monkeypatch, apart=document.name in APART)
    for block in blocks(document.read_text(encoding="utf-8")):
        where = f"{document.name}:{block.line}"
        if block.no_run is not None:
            assert block.no_run, f"{where}: says not why it is not run"
        elif block.file is not None:
            (tmp_path / block.file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            reader.python(block.text, where)
        elif block.language in SHELL:
            for line in block.text.replace("\\\n", " ").splitlines():
                reader.line(line, where)
        else:
            assert block.language in ("text", "yaml", "json", "csv"), f"{where}: language {block.language!r}"


class Reader:
    """Somebody who types what a document shows, in one session: starting Python for each block takes far longer."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, apart: bool) -> None:
        self.folder, self.monkeypatch, self.apart = folder, monkeypatch, apart
        self.session: list[str] = []
        self.names: dict[str, Any] = {"__name__": "__main__"}

    def python(self, text: str, where: str) -> None:
        """Run a block after those before it."""
        self.session.append(text)
        if self.apart:
            run_or_fail([sys.executable, "-c", "\n".join(self.session)], self.folder, where)
            return
        with told(where):
            exec(compile(text, where, "exec"), self.names)

    def command(self, words: list[str], where: str) -> None:
        """Run `hf-synthlabels` with these words."""
        if self.apart:
            run_or_fail([str(Path(sys.executable).parent / "hf-synthlabels"), *words], self.folder, where)
            return
        self.monkeypatch.setattr(sys, "argv", ["hf-synthlabels", *words])
        with told(where):
            with pytest.raises(SystemExit) as ended:
                main()
            assert not ended.value.code, f"status {ended.value.code}"

    def line(self, line: str, where: str) -> None:
        """Run a command of this package; check that other commands could be run."""
        words = shlex.split(line, comments=True)
        if words and words[0] == "hf-synthlabels":
            self.command(words[1:], where)
        elif words:
            check_other(words, self.folder, where)


@contextmanager
def told(where: str) -> Iterator[None]:
    """What is printed is swallowed, and told where something fails; the environment is put back."""
    out, err, before = io.StringIO(), io.StringIO(), dict(os.environ)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            yield
    except (Exception, SystemExit) as error:
        raise AssertionError(f"{where}\n{out.getvalue()[-2000:]}\n{err.getvalue()[-2000:]}\n{error!r}") from error
    finally:
        os.environ.clear()
        os.environ.update(before)


def check_other(words: list[str], folder: Path, where: str) -> None:
    """What a command of another program names must be there."""
    line = " ".join(words)
    match words[0]:
        case "python" | "accelerate":
            script = [word for word in words if word.endswith((".py", ".yaml"))]
            assert script, f"{where}: {line}"
            assert all((folder / name).exists() for name in script), f"{where}: {line}"
        case "make":
            targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
            assert set(words[1:]) <= set(targets), f"{where}: {line}"
        case "pip":
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            for wanted in re.findall(r"\[(.*?)\]", line):
                assert set(wanted.split(",")) <= set(extras), f"{where}: {line}"
        case "export" | "git" | "cd":
            pass
        case other:
            pytest.fail(f"{where}: what is {other!r}?")


def run_or_fail(command: list[str], folder: Path, where: str) -> None:
    environment = {**os.environ, "HF_DATASETS_CACHE": str(folder / ".cache")}
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, env=environment)
    assert run.returncode == 0, f"{where}\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}"


def test_blocks_know_language_line_file_and_reason() -> None:
    text = (
        "a\n\n```python\nx = 1\n```\n"
        "<!-- file: r.yaml -->\n```yaml\na: 1\n```\n"
        "<!-- no-run: a server -->\n```bash\nls\n```\n"
    )
    assert list(blocks(text)) == [
        Block("python", "x = 1\n", 3),
        Block("yaml", "a: 1\n", 6, file="r.yaml"),
        Block("bash", "ls\n", 10, no_run="a server"),
    ]


def test_documents_name_every_verb_of_the_command_line() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for verb in {verb for verbs in GROUPS.values() for verb in verbs} - {"version"}:
        assert re.search(rf"hf-synthlabels {verb}\b|`{verb}`", readme), verb
