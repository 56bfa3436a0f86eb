"""A source of any size goes into a file as it is labelled."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, disable_progress_bars, enable_progress_bars, load_dataset
from tqdm import tqdm

from hf_synthlabels.annotation import Recipe, annotate, annotate_to_files
from hf_synthlabels.annotation.run import progress_bars as bars
from hf_synthlabels.annotation.run import run_progress as progress_module
from hf_synthlabels.annotation.run.run_progress import Progress, status_line
from hf_synthlabels.annotation.run.run_stats import RunStats
from hf_synthlabels.clients import ScriptedClient
from hf_synthlabels.errors import DataError
from tests.servers.chat import LabelServer


def recipe(folder: Path, count: int, base_url: str, **annotator: Any) -> Recipe:
    rows = [{"id": number, "text": f"{number} {'film' if number % 3 else 'sport'}"} for number in range(count)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    content = {
        "name": "films",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "task": {"kind": "text-classification", "labels": ["film", "sport"]},
        "annotator": {
            "client": "openai",
            "model": "tiny",
            "base_url": base_url,
            "api_key_env": None,
            "price": {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2},
            **annotator,
        },
    }
    return Recipe.from_dict(content, folder=folder)


def by_word(text: str) -> str:
    return "film" if "film" in text else "sport"


@pytest.mark.parametrize("count", [1, 999, 2500])
def test_parquet_with_its_features_and_provenance(tmp_path: Path, count: int) -> None:
    with LabelServer(by_word) as server:
        (written,) = annotate_to_files(recipe(tmp_path, count, server.base_url), tmp_path / "out" / "films.parquet")
    table = Dataset.from_parquet(str(written.path), cache_dir=str(tmp_path / "cache"))
    assert table["id"] == list(range(count)) or list(table["id"]) == list(range(count))
    feature = table.features["llm_label"]
    assert isinstance(feature, ClassLabel)
    assert [feature.int2str(code) for code in table["llm_label"]] == [by_word(text) for text in table["text"]]
    beside = json.loads((tmp_path / "out" / "films.parquet.provenance.json").read_text())
    assert [beside] == written.records
    assert beside["tally"]["rows"] == beside["tally"]["requests"] == count
    # Each answer has 10 tokens in and 1 out.
    assert beside["cost_usd"] == pytest.approx(count * 12 / 1e6)
    assert not list(tmp_path.glob("**/*.part"))


def test_json_lines_have_names(tmp_path: Path) -> None:
    with LabelServer(lambda text: "nonsense" if text == "4 film" else by_word(text)) as server:
        (written,) = annotate_to_files(recipe(tmp_path, 6, server.base_url), tmp_path / "films.jsonl")
    lines = [json.loads(line) for line in written.path.read_text().splitlines()]
    assert [line["llm_label"] for line in lines] == ["sport", "film", "film", "sport", None, "film"]
    assert lines[4]["llm_label_status"] == "unparsed"
    assert lines[4]["llm_label_raw"] == "nonsense"


def test_a_file_for_each_split(tmp_path: Path) -> None:
    with LabelServer(by_word) as server:
        plan = recipe(tmp_path, 5, server.base_url)
        both = {"train": "rows.jsonl", "test": "rows.jsonl"}
        plan = plan.model_copy(update={"source": plan.source.model_copy(update={"data_files": both})})
        written = annotate_to_files(plan, tmp_path / "films.jsonl")
    assert [part.path.name for part in written] == ["films-train.jsonl", "films-test.jsonl"]
    # The second split has the same texts, so it costs nothing.
    assert (written[1].records[0]["tally"]["requests"], written[1].records[0]["tally"]["stored"]) == (0, 5)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"`output` 'films\.xlsx'"):
        annotate_to_files(recipe(tmp_path, 1, "http://127.0.0.1:9/v1"), tmp_path / "films.xlsx")


CHILD = """
import sys
from pathlib import Path
from hf_synthlabels.annotation import annotate_to_files
from tests.annotation.test_output import recipe
annotate_to_files(recipe(Path(sys.argv[1]), 3000, sys.argv[2], max_in_flight=16), Path(sys.argv[1]) / "films.jsonl")
"""


@pytest.mark.slow
def test_after_a_kill_the_file_is_not_there_and_nothing_kept_is_asked_again(tmp_path: Path) -> None:
    many = threading.Event()

    def answer(text: str) -> str:
        if len(server.requests) > 1500:
            many.set()
        return by_word(text)

    with LabelServer(answer) as server:
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), server.base_url])
        assert many.wait(60)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert not (tmp_path / "films.jsonl").exists()
        (written,) = annotate_to_files(recipe(tmp_path, 3000, server.base_url), tmp_path / "films.jsonl")
        assert len(server.requests) <= 3000 + 16
    labels = load_dataset("json", data_files=str(written.path), split="train", cache_dir=str(tmp_path / "cache"))
    assert [by_word(text) for text in labels["text"]] == list(labels["llm_label"])


def test_what_a_run_has_come_to_in_one_line(tmp_path: Path) -> None:
    plan = recipe(tmp_path, 1, "http://127.0.0.1:9/v1", budget_usd=3.0)
    tally = RunStats(rows=500, prompt_tokens=400_000, completion_tokens=50_000, stored=7)
    tally.statuses.update({"labelled": 497, "failed": 2, "refused": 1})
    # 400,000 at 1 and 50,000 at 2 a million: half a dollar for half of the rows.
    assert status_line(plan.annotator.client, tally, 1000) == (
        "1 refused, 2 failed, 7 from store, 450k tokens, $0.5 of about $1 (budget $3)"
    )
    assert status_line(plan.annotator.client, RunStats(), None) == "0 tokens, $0 (budget $3)"


REASON = "waiting 59 s: HTTP 429: slow down"


def test_the_bar_says_why_nothing_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while no row is finished."""

    class Client:
        waiting: str | None = REASON

    monkeypatch.setattr(progress_module, "TICK_S", 0.01)
    shown = io.StringIO()
    client, config = Client(), recipe(tmp_path, 1, "http://127.0.0.1:9/v1").annotator.client
    with (
        tqdm(total=5, file=shown, mininterval=0.0, ncols=200) as bar,
        Progress(bar, config, RunStats(), 5, client).kept_current(),
    ):
        deadline = time.monotonic() + 10
        while REASON not in shown.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        client.waiting = None
    frames = shown.getvalue().split("\r")
    assert any("0/5" in frame and f"{REASON}; 0 tokens" in frame for frame in frames)
    assert "waiting" not in frames[-1]


class Terminal(io.StringIO):
    """Standard error of somebody who looks at it."""

    def isatty(self) -> bool:
        return True


class WaitingClient(ScriptedClient):
    """A client that says why it has to wait."""

    waiting = REASON


@pytest.mark.parametrize("name", ["data, training rows", None])
def test_annotate_shows_its_bar_with_the_reason_of_a_wait(
    name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a study shows it, too."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "200")
    # A command that ran in this process before leaves its own choice of bars behind.
    monkeypatch.setattr(bars, "_hidden", None)
    enable_progress_bars()
    try:
        rows = Dataset.from_dict({"text": ["a film", "a match"]})
        client = WaitingClient(lambda request: by_word(request.text))
        done = annotate(rows, recipe(tmp_path, 1, "http://127.0.0.1:9/v1"), client=client, progress=name)
    finally:
        disable_progress_bars()
    assert done["llm_label"][:] == [0, 1]
    shown = terminal.getvalue()
    assert (f"{name}: 100%" in shown) is (name is not None)
    assert (REASON in shown) is (name is not None)
