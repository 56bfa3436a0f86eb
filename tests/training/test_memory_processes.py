"""Two processes, of which one has less memory than the other; see memory_proof.py."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from datasets import Dataset

from hf_synthlabels.training.distributed.gradient_sync import LateExchange, _buckets
from tests.training.dry import without_dropout
from tests.training.test_many_processes import HERE, TORCHRUN, Done, run


def launched(folder: Path, encoder: str, rows: Dataset, where: str) -> Done:
    dry = without_dropout(encoder, folder / "dry")
    rows.to_json(folder / "rows.jsonl")
    script = str(HERE / "memory_proof.py")
    return run(folder, *TORCHRUN, "--nproc-per-node", "2", script, dry, str(folder / "rows.jsonl"), where, str(folder))


@pytest.mark.slow
@pytest.mark.parametrize("where", ["forward", "backward"])
def test_one_process_halves_and_all_learn_the_same(
    toy: Callable[..., Dataset], encoder: str, tmp_path: Path, where: str
) -> None:
    done = launched(tmp_path, encoder, toy(100), where)
    assert done.returncode == 0, done.stderr[-3000:]
    roomy, tight = (json.loads((tmp_path / f"report.{rank}").read_text()) for rank in (0, 1))
    assert (roomy["pieces"], tight["pieces"]) == (1, 2)
    assert roomy["said"] == []
    assert [text.split("from now on ")[1] for text in tight["said"]] == [
        "4 rows are taken at a time and 2 times as often, which gives the same updates"
    ]
    for report in (roomy, tight):
        assert report["apart"] < 1e-5
        assert report["moved"] > 1e-3
        # 100 rows in updates of 2 x 2 x 8, 4 epochs. Most have nothing larger than before, and exchange as they go.
        assert report["updates"] == 16
        assert report["exchanged"][0] == report["exchanged"][1] < 10


@pytest.mark.slow
def test_memory_that_runs_out_later_ends_all_processes(
    toy: Callable[..., Dataset], encoder: str, tmp_path: Path
) -> None:
    began = time.monotonic()
    done = launched(tmp_path, encoder, toy(100), "later")
    assert time.monotonic() - began < 120
    assert done.returncode != 0
    assert "`per_device_train_batch_size` is 8, which does not fit into memory" in done.stderr
    assert "and the other processes are waiting. Give 4 and twice the `gradient_accumulation_steps`" in done.stderr


def test_updates_that_have_nothing_larger_exchange_as_they_go(monkeypatch: pytest.MonkeyPatch) -> None:
    # The other process never has more.
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda *_, **__: None)
    exchange = LateExchange()
    exchange._group = "two"
    seen = []
    for rows, length in ((8, 30), (8, 20), (8, 20), (8, 19), (9, 18), (4, 30), (8, 30), (8, 30)):
        exchange.begin_update([{"input_ids": torch.ones(2, 3)}, {"input_ids": torch.ones(rows, length)}])
        seen.append(exchange.now)
    # The first tells nothing: the optimizer's state is not there yet. 9 x 18 has more tokens than 8 x 20, and 4 x 30 is
    # longer; then 8 x 30 has more tokens, once.
    assert seen == [True, True, False, False, True, True, True, False]


def test_one_process_never_exchanges() -> None:
    exchange = LateExchange()
    exchange.begin_run(several=True)
    exchange.begin_update([{"input_ids": torch.ones(8, 20)}])
    assert not exchange.now
    exchange.end_run()


def test_gradients_are_sent_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_synthlabels.training.distributed.gradient_sync.BUCKET_BYTES", 40)
    gradients = [torch.ones(5), torch.ones(5), torch.ones(1), torch.ones(4, dtype=torch.bfloat16), torch.ones(99)]
    assert [[len(one) for one in bucket] for bucket in _buckets(gradients)] == [[5, 5], [1], [4], [99]]
    assert list(_buckets([])) == []
