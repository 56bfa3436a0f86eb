"""Files of models: fingerprints, and folders without a usable model."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hf_synthlabels.clients import Message, Request, TransformersClient
from hf_synthlabels.clients.local.model_files import folder_fingerprint
from hf_synthlabels.errors import ClientError

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.tiny_models import tiny_model


def test_a_fingerprint_covers_the_files_that_are_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    first = folder_fingerprint(tmp_path)
    assert len(first) == 16
    for ignored in ("README.md", "optimizer.bin", ".hidden.json", "checkpoint-5/model.safetensors", "runs/a.json"):
        (tmp_path / ignored).parent.mkdir(exist_ok=True)
        (tmp_path / ignored).write_text("x")
    assert folder_fingerprint(tmp_path) == first
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text("{}")
    second = folder_fingerprint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"WEIGHTS")
    assert len({first, second, folder_fingerprint(tmp_path)}) == 3


def test_a_large_file_is_identified_by_header_size_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_synthlabels.clients.local.model_files.WHOLE_FILE_BYTES", 4)
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    first = folder_fingerprint(tmp_path)
    assert folder_fingerprint(tmp_path) == first
    os.utime(file, (1, 1))
    assert folder_fingerprint(tmp_path) != first


def broken_model(folder: Path, kind: str) -> str:
    """A folder without a usable model."""
    path = folder / "model"
    if kind not in ("missing", "empty", "adapter"):
        tiny_model(path)
    match kind:
        case "empty":
            path.mkdir()
        case "adapter":
            path.mkdir()
            (path / "adapter_config.json").write_text("{}")
        case "encoder":
            (path / "config.json").write_text('{"model_type": "t5", "is_encoder_decoder": true}')
        case "remote code":
            settings = {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine", "AutoModelForCausalLM": "mine.M"}}
            (path / "config.json").write_text(json.dumps(settings))
            (path / "mine.py").write_text("raise SystemExit('run')")
        case "no tokenizer":
            for file in path.glob("tokenizer*"):
                file.unlink()
        case "invalid weights":
            (path / "model.safetensors").write_bytes(b"x" * 100)
        case "missing weights":
            from safetensors.torch import load_file, save_file

            tensors = load_file(path / "model.safetensors")
            del tensors["model.layers.1.mlp.up_proj.weight"]
            save_file(tensors, path / "model.safetensors", {"format": "pt"})
    return str(path)


def test_a_folder_without_a_usable_model_is_an_error_of_one_line(tmp_path: Path, subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str]] = [
        ("missing", "no such folder"),
        ("empty", "config.json"),
        ("adapter", "adapter"),
        ("encoder", "'t5'"),
        ("remote code", "code"),
        ("no tokenizer", "cannot be read"),
        ("invalid weights", "cannot be loaded"),
        ("missing weights", "model.layers.1.mlp.up_proj.weight"),
    ]
    for number, (kind, reason) in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        with subtests.test(kind=kind, reason=reason):
            model = broken_model(folder, kind)
            with pytest.raises(ClientError, match=rf"^`model` '{model}' .*{reason}") as caught:
                next(TransformersClient(model).complete([Request(0, (Message("user", "goal"),))]))
            assert len(str(caught.value).splitlines()) == 1
