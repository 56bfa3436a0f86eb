"""What the documents show is run, block by block, in one folder for each document."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.cli.help import GROUPS
from hf_synthlabels.cli.main import main
from tests.documents import Block, blocks
from tests.publishing.hub_server import User
from tests.publishing.local_hub import local_hub
from tests.servers.base import json_reply
from tests.servers.chat import ChatServer, chat_completion

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = ("bash", "console", "sh")


APART = ("many_machines.md", "grids.md")
"""Documents whose programs start processes that import what started them: they get one of their own."""

SLOW = ("classifier.md", "many_machines.md")
"""Documents that train for more than a minute, or start several processes."""

HUB = ("publishing.md",)
"""Documents that publish and pull: they get a Hub on this machine, with the user `me`."""

PROVIDER = re.compile(r"client: openai(?P<after>, |\n *)")
"""A recipe without an address: its requests go to a server on this machine."""


@pytest.mark.parametrize(
    "document",
    [pytest.param(path, marks=[pytest.mark.slow] if path.name in SLOW else []) for path in DOCUMENTS],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_code_block_of_the_document_runs(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copy(ROOT / "train.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    text = document.read_text(encoding="utf-8")
    with ExitStack() as servers:
        if document.name in HUB:
            users = {"hf_secretsecretsecret": User("me")}
            hub = servers.enter_context(local_hub(users, tmp_path / ".hub", monkeypatch))
            # Read when `datasets` was imported.
            monkeypatch.setattr("datasets.config.HF_ENDPOINT", hub.url)
            monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
        url = servers.enter_context(ChatServer(completion)).base_url if PROVIDER.search(text) else ""
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        read_document(text, document, Reader(tmp_path, monkeypatch, apart=document.name in APART), url)


def read_document(text: str, document: Path, reader: Reader, provider: str) -> None:
    """Run the blocks in order; files of the document are there from the beginning."""
    for block in reversed(list(blocks(text))):
        if block.file is not None:
            reader.file(block, provider)
    for block in blocks(text):
        where = f"{document.name}:{block.line}"
        if block.no_run is not None:
            assert block.no_run, f"{where}: says not why it is not run"
        elif block.file is not None:
            reader.file(block, provider)
        elif block.output is not None:
            missing = block.missing_from(reader.printed)
            assert missing is None, f"{where}: is not printed:\n{missing}\nprinted:\n{reader.printed[-6000:]}"
        elif block.language == "python":
            reader.python(block.text, where)
        elif block.language in SHELL:
            for line in block.text.replace("\\\n", " ").splitlines():
                reader.line(line, where)
        else:
            assert block.language in ("text", "yaml", "json", "csv"), f"{where}: language {block.language!r}"


def completion(body: dict[str, Any]) -> Any:
    """What a model would answer: an instance of the schema that the request names, or a label."""
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    return json_reply(chat_completion("sport" if schema is None else json.dumps(instance(schema))))


def instance(schema: dict[str, Any]) -> Any:
    """A value that a JSON schema allows."""
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "object":
        return {name: instance(inner) for name, inner in schema["properties"].items()}
    return {"array": [], "string": "sport", "number": 1, "integer": 1, "boolean": True}[schema["type"]]


class Reader:
    """Somebody who types what a document shows, in one session: starting Python for each block takes far longer."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, apart: bool) -> None:
        self.folder, self.monkeypatch, self.apart = folder, monkeypatch, apart
        self.session: list[str] = []
        self.printed = ""
        self.names: dict[str, Any] = {"__name__": "__main__"}

    def file(self, block: Block, provider: str) -> None:
        """Write a block that is a file; what it asks of a provider is asked of the server on this machine."""
        assert block.file is not None
        path = self.folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        # No list has the prices of a server on this machine, which budgets in dollars need.
        keys = f"base_url: {provider!r}", "price: {input_usd_per_mtok: 1.0, output_usd_per_mtok: 1.0}"
        text = block.text
        if "base_url" not in text:
            text = PROVIDER.sub(lambda found: "client: openai" + found["after"].join(("", *keys, "")), text)
        path.write_text(text, encoding="utf-8")

    def python(self, text: str, where: str) -> None:
        """Run a block after those before it."""
        self.session.append(text)
        if self.apart:
            self.printed += run_or_fail([sys.executable, "-c", "\n".join(self.session)], self.folder, where)
            return
        with self.recorded(where):
            exec(compile(text, where, "exec"), self.names)

    def command(self, words: list[str], where: str, status: int = 0) -> None:
        """Run `hf-synthlabels` with these words; it must end with this exit status."""
        if self.apart:
            program = str(Path(sys.executable).parent / "hf-synthlabels")
            self.printed += run_or_fail([program, *words], self.folder, where, status)
            return
        self.monkeypatch.setattr(sys, "argv", ["hf-synthlabels", *words])
        with self.recorded(where):
            with pytest.raises(SystemExit) as ended:
                main()
            assert (ended.value.code or 0) == status, f"status {ended.value.code}"

    @contextmanager
    def recorded(self, where: str) -> Iterator[None]:
        """Keep what a block prints, show it if the block fails, and restore the environment."""
        out, err, before = io.StringIO(), io.StringIO(), dict(os.environ)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                yield
        except (Exception, SystemExit) as error:
            raise AssertionError(f"{where}\n{out.getvalue()[-2000:]}\n{err.getvalue()[-2000:]}\n{error!r}") from error
        finally:
            self.printed += out.getvalue()
            os.environ.clear()
            os.environ.update(before)

    def line(self, line: str, where: str) -> None:
        """Run a command of this package; check that other commands could be run."""
        words = shlex.split(line, comments=True)
        if words and words[0] == "hf-synthlabels":
            status = re.search(r"# exit status (\d)$", line)
            self.command(words[1:], where, int(status[1]) if status else 0)
        elif words:
            check_other(words, self.folder, where)


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


def run_or_fail(command: list[str], folder: Path, where: str, status: int = 0) -> str:
    """Run a command, and return what it printed."""
    environment = {**os.environ, "HF_DATASETS_CACHE": str(folder / ".cache")}
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, env=environment)
    assert run.returncode == status, f"{where}\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}"
    return run.stdout


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


@pytest.mark.parametrize(
    ("comment", "text", "missing"),
    [
        ("output", "rows 2\nn = 3\n", None),
        ("output", "rows 2\n...\nend\n", None),
        ("output", "took … s\n", None),
        ("output", "n = 4\n", "n = 4\n"),
        ("output", "n = 3\n...\nrows 2\n", "rows 2\n"),
        ("output: numbers vary", "rows  12\nn = 0.45\n", None),
        ("output: numbers vary", "lines 2\n", "lines 2\n"),
    ],
)
def test_output_blocks_are_compared_with_what_was_printed(comment: str, text: str, missing: str | None) -> None:
    (block,) = blocks(f"<!-- {comment} -->\n```text\n{text}```\n")
    assert block.missing_from("rows 2\nn = 3\ntook 1.5 s\nend\n") == missing


def test_documents_name_every_verb_of_the_command_line() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for verb in {verb for verbs in GROUPS.values() for verb in verbs} - {"version"}:
        assert re.search(rf"hf-synthlabels {verb}\b|`{verb}`", readme), verb
