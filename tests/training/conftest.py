"""Tiny models and rows; nothing here or in these tests reaches the network."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from transformers import BertConfig, BertModel, BertTokenizer, set_seed

from hf_synthlabels.training import StudentConfig

FILM = ["film", "actor", "scene", "plot"]
SPORT = ["goal", "match", "team", "score"]
FILLER = ["the", "a", "of", "and", "in", "with", "for", "on"]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small only lose by several threads, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a BERT without a head, two layers of 32, that knows sixteen words."""
    folder = tmp_path_factory.mktemp("encoder")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *FILM, *SPORT, *FILLER]
    tokenizer = BertTokenizer(vocab={word: code for code, word in enumerate(vocabulary)}, model_max_length=64)
    tokenizer.save_pretrained(folder)
    set_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def config(encoder: str, tmp_path: Path) -> Callable[..., StudentConfig]:
    """Make a config that learns the toy task in about a second."""

    def make(**changes: Any) -> StudentConfig:
        options: dict[str, Any] = {
            "model": encoder,
            "max_length": 32,
            "output_dir": str(tmp_path / "student"),
            "learning_rate": 1e-3,
            "num_train_epochs": 6,
            "use_cpu": True,
        }
        return StudentConfig(**options | changes)

    return make


@pytest.fixture(scope="session")
def toy() -> Callable[..., Dataset]:
    """Make rows whose words tell the label, of many lengths; `label` is film (0) or sport (1)."""

    def make(count: int, seed: int = 0) -> Dataset:
        draw = random.Random(seed)
        rows = []
        for row in range(count):
            words = draw.choices(FILLER, k=draw.randint(2, 24))
            for _ in range(1 + len(words) // 4):
                words[draw.randrange(len(words))] = draw.choice((FILM, SPORT)[row % 2])
            rows.append({"text": " ".join(words), "label": row % 2})
        features = Features({"text": Value("string"), "label": ClassLabel(names=["film", "sport"])})
        return Dataset.from_list(rows, features=features)

    return make
