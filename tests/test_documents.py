"""What the documents show is run, block by block, in one folder for each document."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.documents import Block, blocks

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = ("bash", "console", "sh")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_code_block_of_the_document_runs(document: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copy(ROOT / "train.py", tmp_path)
    session: list[str] = []
    for block in blocks(document.read_text(encoding="utf-8")):
        where = f"{document.name}:{block.line}"
        if block.no_run is not None:
            assert block.no_run, f"{where}: says not why it is not run"
        elif block.file is not None:
            (tmp_path / block.file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            # Blocks build on each other, as their reader's session does.
            session.append(block.text)
            run_or_fail([sys.executable, "-c", "\n".join(session)], tmp_path, where)
        elif block.language in SHELL:
            for line in block.text.replace("\\\n", " ").splitlines():
                run_line(line, tmp_path, where)
        else:
            assert block.language in ("text", "yaml", "json", "csv"), f"{where}: language {block.language!r}"


def run_line(line: str, folder: Path, where: str) -> None:
    """Run a command of this package; check that other commands could be run."""
    words = shlex.split(line, comments=True)
    if not words:
        return
    match words[0]:
        case "hf-synthlabels":
            run_or_fail([str(Path(sys.executable).parent / "hf-synthlabels"), *words[1:]], folder, where)
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
    for verb in ("annotate", "validate", "train", "study", "report", "demo"):
        assert f"hf-synthlabels {verb}" in readme
