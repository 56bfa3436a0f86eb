"""A recipe on two machines: the labels of one, within the limits of one, whoever is killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, load_dataset

from hf_synthlabels.annotation import Recipe, load
from hf_synthlabels.engines import Sharded, annotate_with_ray
from hf_synthlabels.engines.ray import engine as ray_engine
from hf_synthlabels.errors import AllFailedError, DataError, StoreError
from hf_synthlabels.tables import read_table
from tests.engines.object_store import ObjectServer
from tests.servers.chat import LabelServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of two machines with one processor each, both of them this one."""
    # Read when Ray is imported: it tells nobody that it is used, and is reachable from this machine alone.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    pytest.importorskip("ray", reason="needs the extra `ray`")
    from ray.cluster_utils import Cluster

    # Sockets have short names.
    folder = tempfile.mkdtemp(prefix="hfsl-", dir="/tmp")
    node = {"num_cpus": 1, "node_ip_address": "127.0.0.1"}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False, "temp_dir": folder})
    cluster.add_node(**node)
    yield cluster.address
    cluster.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


class Busy:
    """Answers by a word in the text, and counts how many it is asked at once.

    Until it was asked `gathered` at once, it keeps all of them waiting.
    """

    def __init__(self, latency_s: float, gathered: int = 0) -> None:
        self.latency_s = latency_s
        self.gathered = gathered
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, text: str) -> str:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        if self.gathered:
            wait_for(lambda: self.most >= self.gathered)
        time.sleep(self.latency_s)
        with self._lock:
            self.now -= 1
        return "film" if "film" in text else "sport"


class Case:
    """A recipe over rows of its own, in a folder of its own."""

    def __init__(self, folder: Path, server: LabelServer, address: str) -> None:
        self.folder = folder
        self.server = server
        self.address = address
        self.out = str(folder / "out")
        self.content: dict[str, Any] = {
            "name": "films",
            "source": {"path": "json", "data_files": {"train": "train.jsonl"}},
            "task": {"kind": "text-classification", "labels": ["film", "sport"]},
            "annotator": {
                "client": "openai",
                "model": "tiny",
                "base_url": server.base_url,
                "api_key_env": None,
                "max_in_flight": 16,
                "max_retries": 0,
            },
            "engine": {"name": "ray", "address": address, "rows_per_shard": 100},
        }

    def write(self, count: int, split: str = "train") -> list[str]:
        texts = [f"{split} {number} {'film' if number % 3 else 'match'}" for number in range(count)]
        self.write_texts(texts, split)
        return texts

    def write_texts(self, texts: list[str], split: str = "train") -> None:
        rows = [json.dumps({"id": f"{split}/{number}", "text": text}) for number, text in enumerate(texts)]
        (self.folder / f"{split}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")

    def recipe(self) -> Recipe:
        return Recipe.from_dict(self.content, folder=self.folder)

    def file(self) -> Path:
        path = self.folder / "recipe.yaml"
        path.write_text(json.dumps(self.content))
        return path

    def annotate(self) -> list[Sharded]:
        return annotate_with_ray(self.recipe(), self.out)

    def result(self, split: str = "train") -> Dataset:
        cache = tempfile.mkdtemp(dir=self.folder)
        return load_dataset(self.out, split=split, cache_dir=cache)


@pytest.fixture
def case(tmp_path: Path, address: str) -> Iterator[Case]:
    with LabelServer(Busy(0.01)) as server:
        yield Case(tmp_path, server, address)


def names(rows: Dataset) -> list[str | None]:
    feature = rows.features["llm_label"]
    return [None if code is None else feature.int2str(code) for code in rows["llm_label"]]


def right(texts: list[str]) -> list[str]:
    return ["film" if "film" in text else "sport" for text in texts]


def wait_for(what: Callable[[], bool], timeout_s: float = 240.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.01)


def test_the_labels_are_those_of_one_machine(
    case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # However slowly a machine starts, the other one's requests are held until both are at work.
    busy = Busy(0.01, gathered=9)

    def answer(text: str) -> str | tuple[int, str]:
        if "77" in text:
            return 400, "too hard"
        return "perhaps" if "55" in text else busy(text)

    case.server.answer = answer
    texts = case.write(330)
    case.write_texts([*texts[:120], "", "  ", *texts[120:]])
    case.write(40, "test")
    case.content["source"]["data_files"]["test"] = "test.jsonl"
    case.content["output"] = {"column": "llm_label", "probabilities": True}
    # The second phase too is for the actors, however few the shards are.
    monkeypatch.setattr(ray_engine, "MAX_LOCAL_SHARDS", 0)
    train, test = case.annotate()
    assert (train.split, len(train.files), test.split, len(test.files)) == ("train", 4, "test", 1)
    assert len(case.server.requests) == 330 + 40
    # The limit is that of all together, and both had their part of it.
    assert 9 <= busy.most <= 16

    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path_factory.mktemp("other")))
    alone = load(case.recipe(), cache_dir=str(case.folder / "cache"))
    for split in ("train", "test"):
        assert case.result(split).features == alone[split].features
        assert case.result(split).to_list() == alone[split].to_list()
    # 77, 177 and 277 have failed; the others are as they should be.
    assert train.record["tally"]["statuses"] == {"labelled": 324, "unparsed": 3, "skipped": 2, "failed": 3}
    assert train.record["tally"]["requests"] == 330
    assert train.record["tally"]["failures"] == {"too hard (HTTP 400)": 3}
    assert json.loads((case.folder / "out" / "provenance.json").read_text())["unfinished"] == 3


def test_rows_that_failed_are_asked_again_and_no_others(case: Case) -> None:
    case.server.answer = lambda text: (400, "too hard") if "7" in text else "film"
    texts = case.write(100)
    (first,) = case.annotate()
    assert first.record["tally"]["statuses"] == {"labelled": 81, "failed": 19}
    case.server.requests.clear()
    case.server.answer = Busy(0.0)
    (second,) = case.annotate()
    assert sorted(case.server.requests) == sorted(text for text in texts if "7" in text)
    assert second.record["tally"]["statuses"] == {"labelled": 100}
    assert second.record["tally"]["requests"] == 119
    labels = names(case.result())
    assert [label for label, text in zip(labels, texts, strict=True) if "7" in text] == right(
        [text for text in texts if "7" in text]
    )
    # What is finished is handed out as it is, even without a server or a cluster.
    case.content["engine"]["address"] = "127.0.0.1:9"
    assert case.annotate() == [second]
    assert len(case.server.requests) == 19


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A process of its own, which does not outlive the test: it would hold the processors of the cluster."""
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


CHILD = """
import sys
from hf_synthlabels.engines import annotate_with_ray
annotate_with_ray(sys.argv[1], sys.argv[2])
"""


def test_after_a_kill_nothing_is_asked_again_but_what_was_on_the_way(case: Case) -> None:
    texts = case.write(2000)
    with running([sys.executable, "-c", CHILD, str(case.file()), case.out]) as child:
        wait_for(lambda: len(case.server.requests) > 900)
        assert actors(case)
        os.kill(child.pid, signal.SIGKILL)
    # The actors end by themselves.
    wait_for(lambda: not actors(case))
    assert len(case.server.requests) < 2000
    assert not (case.folder / "out" / "data").exists()
    finished = list((case.folder / "out").glob("_work/films-*/labels/*.parquet"))
    assert finished
    (part,) = case.annotate()
    assert names(case.result()) == right(texts)
    assert len(case.server.requests) <= 2000 + 16
    # Rows of finished shards were not even looked up.
    assert part.record["tally"]["rows"] == 2000
    assert part.record["tally"]["stored"] < 2000 - 100 * len(finished)


def actors(case: Case, kind: str = "ray::MapWorker") -> list[int]:
    """The numbers of the processes that label, or of others, in the cluster of these tests."""
    lines = subprocess.run(["ps", "-ewwo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    actual = [line.split(maxsplit=2) for line in lines.splitlines()]
    parents = {pid for pid, _, title in actual if "raylet" in title and case.address in title}
    return [int(pid) for pid, parent, title in actual if parent in parents and title.startswith(kind)]


def test_the_death_of_a_worker_costs_its_requests_in_flight(case: Case) -> None:
    texts = case.write(2000)
    killed: list[int] = []

    def kill() -> None:
        wait_for(lambda: len(case.server.requests) > 600)
        killed.append(actors(case)[0])
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    case.annotate()
    killer.join()
    assert killed
    assert names(case.result()) == right(texts)
    # Each of two has half of the 16.
    assert 2000 <= len(case.server.requests) <= 2000 + 8


def test_an_interrupt_waits_for_what_is_on_the_way(case: Case) -> None:
    texts = case.write(1000)
    command = [str(Path(sys.executable).parent / "hf-synthlabels"), "annotate", str(case.file()), "-o", case.out]
    with running(command) as child:
        wait_for(lambda: len(case.server.requests) > 300)
        os.kill(child.pid, signal.SIGINT)
        _, stderr = child.communicate(timeout=60)
    assert child.returncode == 130
    assert stderr.splitlines()[-1].startswith("hf-synthlabels: stopped.")
    assert "Traceback" not in stderr
    assert len(case.server.requests) < 1000
    case.annotate()
    assert len(case.server.requests) == 1000
    assert names(case.result()) == right(texts)


def test_a_budget_is_never_exceeded_and_all_of_it_is_used(case: Case) -> None:
    texts = case.write(300)
    case.content["annotator"] |= {
        "price": {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0},
        "max_tokens": 4,
        # 200 answers of 10 tokens in and 1 out, at 12 millionths of a dollar.
        "budget_usd": 200 * 12e-6,
    }
    (part,) = case.annotate()
    statuses = part.record["tally"]["statuses"]
    assert statuses["over_budget"] + statuses["labelled"] == 300
    assert len(case.server.requests) == statuses["labelled"] <= 200
    # The rest does not hold the most that one more request can cost: a prompt of less than 1,200 bytes.
    assert (200 - statuses["labelled"]) * 12e-6 < 1200e-6
    case.content["annotator"]["budget_usd"] = 1.0
    (part,) = case.annotate()
    assert part.record["tally"]["statuses"] == {"labelled": 300}
    assert len(case.server.requests) == 300
    assert names(case.result()) == right(texts)


def several(message: str) -> str:
    rows = re.findall(r"<row \d+>\n(.*?)\n</row \d+>", message, re.S)
    return "\n".join(f"{number}. {label}" for number, label in enumerate(right(rows), 1))


def test_an_object_store_holds_all_that_another_machine_needs(
    case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    case.server.answer = several
    texts = case.write(200)
    case.write_texts(["", *texts])
    case.content["engine"] |= {"id": "id", "rows_per_shard": 30}
    case.content["task"]["rows_per_call"] = 7
    with ObjectServer() as objects:
        case.out = f"objects://{objects.host}/bucket/films"
        (part,) = case.annotate()
        # 200 rows, seven at a time.
        assert len(case.server.requests) == 29
        assert part.files[0] == f"{case.out}/data/train-00000-of-00006.parquet"
        files = [name for name in objects.objects if name.startswith("bucket/films/data/")]
        assert len(files) == len(part.files) == 6
        assert not any(name.endswith(".part") or "/labels/" in name for name in objects.objects)

        def labels() -> list[Any]:
            local = case.folder / "copy"
            for name in sorted(files):
                (local / name).parent.mkdir(parents=True, exist_ok=True)
                (local / name).write_bytes(objects.objects[name])
            rows = Dataset.from_parquet([str(local / name) for name in sorted(files)], cache_dir=str(local / "c"))
            assert rows["text"] == ["", *texts]
            return names(rows)

        assert labels() == [None, *right(texts)]
        # Another machine, with a store of its own; of the result only the answers are left.
        for name in [name for name in objects.objects if "/answers/" not in name]:
            del objects.objects[name]
        monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path_factory.mktemp("other")))
        (again,) = case.annotate()
        assert len(case.server.requests) == 29
        assert (again.record["tally"]["requests"], again.record["tally"]["stored"]) == (0, 29)
        assert labels() == [None, *right(texts)]


def test_errors_are_those_of_one_machine(case: Case) -> None:
    case.write(100)
    case.server.answer = lambda _: (401, "no such key")
    with pytest.raises(AllFailedError, match="no such key"):
        case.annotate()
    case.content["task"]["text"] = "words"
    with pytest.raises(DataError, match=r"`task\.text`"):
        case.annotate()


@pytest.mark.parametrize("progress_s", [0.01, 10.0])
def test_a_run_whose_budget_actor_dies_can_be_resumed(
    case: Case, monkeypatch: pytest.MonkeyPatch, progress_s: float
) -> None:
    # The progress bar notices it first, or the thread that collects the outcomes.
    monkeypatch.setattr(ray_engine, "PROGRESS_S", progress_s)
    texts = case.write(1000)

    def kill() -> None:
        wait_for(lambda: len(case.server.requests) > 300)
        os.kill(actors(case, "ray::BudgetActor")[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(StoreError, match="has died"):
        case.annotate()
    killer.join()
    case.annotate()
    assert len(case.server.requests) <= 1000 + 16
    assert names(case.result()) == right(texts)


def test_the_command_line(case: Case, home: Path) -> None:
    case.write(60)
    address = case.content["engine"].pop("address")
    command = [str(Path(sys.executable).parent / "hf-synthlabels"), "annotate", str(case.file())]
    environment = {**os.environ, "RAY_ADDRESS": address}
    bad = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("hf-synthlabels: `engine: ray` ")
    good = subprocess.run([*command, "-o", case.out], capture_output=True, text=True, timeout=120, env=environment)
    assert good.returncode == 0, good.stderr
    lines = good.stdout.splitlines()
    assert lines[0] == "train: 60 rows, labelled 60"
    assert lines[-1] == f"written: {case.out}/data/train-00000-of-00001.parquet"
    assert "Traceback" not in good.stderr
    # The other verbs read the folder.
    assert read_table(case.out)["train"]["text"] == case.result()["text"]
    assert names(case.result()) == right(case.result()["text"])
