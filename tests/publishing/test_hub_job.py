"""The script that labels a data set of the Hub: read from a Hub, labeled by a server, and published there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.cli._uv_script_header import parse_uv_script_header

from hf_synthlabels.publishing import pull
from hf_synthlabels.tables import read_table
from tests.publishing.conftest import TOKEN
from tests.publishing.hub_server import HubServer
from tests.servers.chat import LabelServer

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "label_hub_dataset.py"
TEXTS = ["The box was damaged", "I was charged twice", "The parcel is late", "The invoice is wrong"]


def label(text: str) -> str:
    return "delivery" if "box" in text or "parcel" in text else "billing"


def test_the_script_reads_labels_and_publishes(hub: HubServer, tmp_path: Path) -> None:
    api = HfApi()
    api.create_repo("user/raw", repo_type="dataset", private=True)
    table = "text,truth\n" + "".join(f"{text},{label(text)}\n" for text in TEXTS)
    api.upload_file(path_or_fileobj=table.encode(), path_in_repo="train.csv", repo_id="user/raw", repo_type="dataset")
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("HF_", "OPENAI_"))},
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "OPENAI_API_KEY": "key-of-the-server",
    }
    with LabelServer(label) as server:
        words = ["user/raw", "user/labeled", "--labels", "billing, delivery", "--human", "truth", "--model", "tiny"]
        words += ["--base-url", server.base_url, "--budget-usd", "1", "--price", "1", "2", "--license", "mit"]
        command = [sys.executable, str(SCRIPT), *words]
        run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120)
        assert run.returncode == 0, run.stderr[-3000:]
        assert sorted(server.requests) == sorted(TEXTS)
        assert server.keys == {"Bearer key-of-the-server"}
    assert "train: 4 rows, labelled 4" in run.stdout
    assert not {TOKEN, "key-of-the-server"} & set((run.stdout + run.stderr).split())
    pulled = pull("user/labeled", tmp_path / "labeled")
    assert pulled.kind == "dataset"
    rows = read_table(tmp_path / "labeled")["train"]
    names = rows.features["llm_label"].names
    assert [names[code] for code in rows["llm_label"]] == [label(text) for text in rows["text"]]
    card = (tmp_path / "labeled" / "README.md").read_text(encoding="utf-8")
    assert "license: mit" in card
    assert hub.url not in card


def test_the_header_is_read_by_the_command_of_the_hub() -> None:
    header = parse_uv_script_header(SCRIPT.read_text(encoding="utf-8"))
    assert header is not None
    assert header.secrets == ["HF_TOKEN", "OPENAI_API_KEY"]
