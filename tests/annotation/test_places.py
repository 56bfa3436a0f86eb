from __future__ import annotations

from pathlib import Path

import pytest

from hf_synthlabels.resources import home, store_path

VARIABLES = ("HF_SYNTHLABELS_HOME", "HF_HOME", "XDG_CACHE_HOME")


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({}, "/home/me/.cache/huggingface/hf_synthlabels"),
        ({"XDG_CACHE_HOME": "/scratch"}, "/scratch/huggingface/hf_synthlabels"),
        ({"HF_HOME": "/data/hf", "XDG_CACHE_HOME": "/scratch"}, "/data/hf/hf_synthlabels"),
        ({"HF_HOME": "~/hf"}, "/home/me/hf/hf_synthlabels"),
        ({"HF_HOME": "$HOME/hf"}, "/home/me/hf/hf_synthlabels"),
        ({"HF_SYNTHLABELS_HOME": "/mine", "HF_HOME": "/data/hf"}, "/mine"),
        ({"HF_SYNTHLABELS_HOME": "~/mine"}, "/home/me/mine"),
        (
            {"HF_SYNTHLABELS_HOME": "", "HF_HOME": "", "XDG_CACHE_HOME": ""},
            "/home/me/.cache/huggingface/hf_synthlabels",
        ),
    ],
)
def test_the_store_is_where_hugging_face_keeps_its_files(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], folder: str
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in (environment | {"HOME": "/home/me"}).items():
        monkeypatch.setenv(name, value)
    assert home() == Path(folder)
    assert store_path() == Path(folder) / "responses.sqlite"
