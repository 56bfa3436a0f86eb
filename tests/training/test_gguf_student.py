"""The example that makes a student's folder of a GGUF file, on a file with known weights."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.servers.llama import write_gguf
from tests.tiny_models import tiny_model

SCRIPT = Path(__file__).parents[2] / "examples" / "gguf_student.py"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Run the script in this process, which has loaded transformers, and return its exit status."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_the_folder_has_the_weights_and_tokens_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gguf")
    (tmp_path / "given").mkdir()
    source = tiny_model(tmp_path / "given", initializer_range=0.05)
    write_gguf(Path(source), tmp_path / "tiny.gguf")
    capsys.readouterr()
    assert run(monkeypatch, tmp_path / "tiny.gguf", "-o", tmp_path / "made") == 0
    before, after = (AutoModelForCausalLM.from_pretrained(folder) for folder in (source, tmp_path / "made"))
    weights = after.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in before.state_dict().items())
    assert f"{before.num_parameters():,} weights: {tmp_path / 'made'}\n" in capsys.readouterr().out
    tokenizers = [AutoTokenizer.from_pretrained(folder) for folder in (source, tmp_path / "made")]
    messages = [{"role": "user", "content": "the film of an actor"}]
    assert tokenizers[0].apply_chat_template(messages) == tokenizers[1].apply_chat_template(messages)


def test_files_that_are_no_model_are_errors_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gguf")
    (tmp_path / "other.gguf").write_text("no weights")
    for name in ("none.gguf", "other.gguf"):
        assert run(monkeypatch, tmp_path / name, "-o", tmp_path / "made") == 2
        assert f"{name}'" in capsys.readouterr().err
        assert not (tmp_path / "made").exists()
