"""The example that makes a student's folder of a GGUF file, on a file with known weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.servers.llama import write_gguf
from tests.tiny_models import tiny_model

SCRIPT = Path(__file__).parents[2] / "examples" / "gguf_student.py"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True)


def test_the_folder_has_the_weights_and_tokens_of_the_file(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    (tmp_path / "given").mkdir()
    source = tiny_model(tmp_path / "given", initializer_range=0.05)
    write_gguf(Path(source), tmp_path / "tiny.gguf")
    done = run(tmp_path / "tiny.gguf", "-o", tmp_path / "made")
    assert done.returncode == 0, done.stderr
    before, after = (AutoModelForCausalLM.from_pretrained(each) for each in (source, tmp_path / "made"))
    weights = after.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in before.state_dict().items())
    assert done.stdout == f"{before.num_parameters():,} weights: {tmp_path / 'made'}\n"
    there, here = (AutoTokenizer.from_pretrained(each) for each in (source, tmp_path / "made"))
    said = [{"role": "user", "content": "the film of an actor"}]
    assert there.apply_chat_template(said) == here.apply_chat_template(said)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run(tmp_path / "none.gguf", "-o", tmp_path / "made")
    assert done.returncode == 2
    assert "none.gguf', where there is none. Name a GGUF file." in done.stderr


def test_a_file_of_another_kind_is_told_in_a_line(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    (tmp_path / "other.gguf").write_text("no weights")
    done = run(tmp_path / "other.gguf", "-o", tmp_path / "made")
    assert done.returncode == 2
    assert "other.gguf' cannot be read" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "made").exists()
