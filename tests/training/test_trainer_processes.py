"""What one process and two processes report on the same rows; see loss_proof.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerate.state import AcceleratorState

from tests.training import loss_proof

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("loss_proof.py")
HEADS = [
    *("bert", "distilbert", "roberta", "xlnet", "modernbert", "electra", "deberta"),
    *("mistral", "llama", "qwen2"),
]
Report = dict[str, Any]


def run(folder: Path, processes: int) -> Report:
    out = folder / "report.json"
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, *launcher, str(SCRIPT), str(out)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report: Report = json.loads(out.read_text())
    return report


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Report:
    # In this process: a program of its own would spend most of its time on imports. As JSON, like those of the others.
    AcceleratorState._reset_state()
    made: Report = json.loads(json.dumps(dict(loss_proof.report(tmp_path_factory.mktemp("one")))))
    return made


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run(tmp_path_factory.mktemp("two"), 2)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_accumulation_does_not_change_loss_and_gradient(one: Report, head: str, labels: str) -> None:
    # Two updates: the second starts from parameters that the first gradient made.
    np.testing.assert_allclose(one[f"{head}/student/{labels}/4"], one[f"{head}/student/{labels}/1"], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("labels", ["hard", "soft"])
@pytest.mark.parametrize("steps", [1, 4])
def test_processes_do_not_change_loss_and_gradient(
    one: Report, two: Report, head: str, labels: str, steps: int
) -> None:
    np.testing.assert_allclose(two[f"{head}/student/{labels}/{steps}"], one[f"{head}/student/{labels}/1"], rtol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_one_big_batch_has_the_loss_of_plain_trainer(one: Report, head: str) -> None:
    np.testing.assert_allclose(one[f"{head}/student/hard/1"], one[f"{head}/plain/hard/1"], rtol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_plain_trainer_multiplies_by_accumulation_steps(one: Report, head: str) -> None:
    # huggingface/transformers#47688. If this fails, upstream has repaired it, and StudentTrainer.compute_loss is
    # needed for soft labels and weights only.
    factors = np.divide(one[f"{head}/plain/hard/4"][0], one[f"{head}/plain/hard/1"][0])
    np.testing.assert_allclose(factors, 4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("steps", "factor"), [(1, 2), (4, 8)])
def test_plain_trainer_multiplies_by_processes_too(
    one: Report, two: Report, head: str, steps: int, factor: int
) -> None:
    factors = np.divide(two[f"{head}/plain/hard/{steps}"][0], one[f"{head}/plain/hard/1"][0])
    np.testing.assert_allclose(factors, factor, rtol=1e-4)


def check_coverage(report: Report) -> None:
    assert report["coverage"] == [list(range(64))] * 3
    assert report["resumed"] == list(range(64))


def check_evaluation(report: Report, strategy: str) -> None:
    found = report[f"evaluation/{strategy}"]
    assert np.ptp(found["expected"], axis=0).min() > 0.01
    np.testing.assert_allclose(found["predicted"], found["expected"], atol=1e-5)
    assert found["label_ids"] == found["labels"]
    # Once for predict, once for evaluate.
    assert found["metric_labels"] == [found["labels"]] * 2
    assert [found["eval_loss"], found["test_loss"]] == pytest.approx([found["expected_loss"]] * 2, rel=1e-5)


def test_one_process_reads_every_row_once_also_when_resumed(one: Report) -> None:
    check_coverage(one)


@pytest.mark.slow
def test_two_processes_read_every_row_once_also_when_resumed(two: Report) -> None:
    check_coverage(two)


@pytest.mark.parametrize("strategy", ["random", "group_by_length"])
def test_one_process_evaluates_in_row_order(one: Report, strategy: str) -> None:
    check_evaluation(one, strategy)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["random", "group_by_length"])
def test_two_processes_evaluate_in_row_order(two: Report, strategy: str) -> None:
    check_evaluation(two, strategy)
