"""A Hub on this machine for the real client, and small things to publish."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

import hf_synthlabels
from hf_synthlabels.clients import Request, ScriptedClient
from tests.publishing.hub_server import HubServer, User
from tests.publishing.local_hub import local_hub

TOKEN = "hf_" + "secretsecretsecret"
READER = "hf_" + "readerreaderreader"

RECIPE = {
    "name": "tickets",
    "source": {"path": "csv", "data_files": "tickets.csv"},
    "task": {
        "kind": "text-classification",
        "text": "text",
        "instructions": "What does the customer write about?",
        "labels": {"billing": "payments and invoices", "delivery": "uploads", "account": "login and password"},
        "human": "label",
        "guidelines": "A refund is billing.",
    },
    "annotator": {
        "client": "openai",
        "model": "tiny",
        "api_key_env": None,
        "price": {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0},
    },
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A Hub with a writer and a reader; the client of this process speaks to it, as the writer."""
    users = {TOKEN: User("user"), READER: User("user", "read")}
    with local_hub(users, tmp_path_factory.mktemp("hub-cache"), monkeypatch) as server:
        yield server


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits are noted and not waited."""
    waited: list[float] = []
    sleep, own = time.sleep, threading.current_thread()

    def wait(seconds: float) -> None:
        # Other threads, such as those of libraries, wait as they do.
        if threading.current_thread() is own:
            waited.append(seconds)
        else:
            sleep(seconds)

    monkeypatch.setattr("time.sleep", wait)
    return waited


@pytest.fixture
def tickets() -> DatasetDict:
    """Forty annotated tickets in two splits, of which most have a human label."""
    names = ["billing", "delivery", "account"]
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    rows = [{"text": f"{names[row % 3]} no. {row}", "label": None if row % 7 == 0 else row % 3} for row in range(40)]
    plain = DatasetDict(
        {
            "train": Dataset.from_list(rows[:30], features=features),
            "test": Dataset.from_list(rows[30:], features=features),
        }
    )
    return hf_synthlabels.annotate(plain, RECIPE, client=ScriptedClient(answer))


def answer(request: Request) -> str:
    """The first word, but for every tenth ticket something that is no label."""
    return "something else" if request.text.endswith("0") else request.text.split()[0]
