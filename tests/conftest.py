"""What all tests share: folders of their own, no network, and tiny models and rows."""

from __future__ import annotations

import os
import tempfile

# Both are read when `datasets` is imported, so they are set before anything imports it.
os.environ["HF_HUB_OFFLINE"] = "1"
# Threads that wait for each other on busy cores make tiny models ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_DATASETS_CACHE"] = tempfile.mkdtemp(prefix="hf_synthlabels-tests-")

import gc
import importlib.util
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import hypothesis
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from tests import oracles
from tests.command_line import Run, command_line

# A busy machine, or a first call that imports a library, is no failure of the code.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

FILM = ["film", "actor", "scene", "plot"]
SPORT = ["goal", "match", "team", "score"]
FILLER = ["the", "a", "of", "and", "in", "with", "for", "on"]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send what a worker of pytest-xdist compared with to the process that prints."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["oracles"] = (oracles.RAN, oracles.SKIPPED)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what a worker compared with."""
    ran, skipped = getattr(node, "workeroutput", {}).get("oracles", ((), ()))
    oracles.RAN.extend(ran)
    oracles.SKIPPED.extend(skipped)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many tests compared with another implementation, so that a log shows that they ran."""
    if oracles.RAN or oracles.SKIPPED:
        names = ", ".join(sorted({name.split(".")[0] for name in oracles.RAN})) or "none"
        terminalreporter.write_line(
            f"independent implementations: {len(oracles.RAN)} tests compared with them ({names}), "
            f"{len(oracles.SKIPPED)} skipped"
        )


@pytest.fixture(scope="session", autouse=True)
def quiet_cache() -> Iterator[None]:
    """No progress bars, and no cache left behind."""
    datasets.disable_progress_bars()
    yield
    shutil.rmtree(os.environ["HF_DATASETS_CACHE"], ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def short_collections() -> None:
    """Each training begins and ends with a full collection, which walks through all libraries: a second in place of ten
    milliseconds. Those stay anyway."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A response store and journals for each test alone."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(folder))
    monkeypatch.delenv("HF_SYNTHLABELS_DATA", raising=False)
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run the command line in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return command_line(monkeypatch, capsys)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a BERT without a head, two layers of 32, that knows sixteen words."""
    from transformers import BertConfig, BertModel, BertTokenizer, set_seed

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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser, gone when the module is: two drivers in one process refuse each other, and keep its loop."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = os.environ.get("CHROMIUM") or next((path for name in names if (path := shutil.which(name))), None)
    if importlib.util.find_spec("playwright") is None or program is None:
        pytest.skip("needs playwright (extra `dev`), and a Chromium on the path or named by CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()
