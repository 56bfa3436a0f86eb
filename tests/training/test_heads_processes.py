"""What one process and two processes report of heads that say more than one class per row; see head_proof.py."""

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

from tests.training import head_proof

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("head_proof.py")
HEADS = [
    *("multi/bert", "multi/mistral", "scale/bert", "ordinal/bert"),
    *("tokens/bert", "tokens/xlnet", "tokens/modernbert", "tokens/mistral"),
    *("answers/bert", "answers/distilbert", "answers/xlnet", "answers/llama"),
    *("text/mistral", "text/llama", "text/qwen2"),
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
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report: Report = json.loads(out.read_text())
    return report


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Report:
    # In this process: a program of its own would spend most of its time on imports. As JSON, like those of the others.
    AcceleratorState._reset_state()
    made: Report = json.loads(json.dumps(dict(head_proof.report(tmp_path_factory.mktemp("one")))))
    return made


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run(tmp_path_factory.mktemp("two"), 2)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("weights", ["even", "weighted"])
def test_accumulation_is_one_big_batch(one: Report, head: str, weights: str) -> None:
    # Two updates: the second starts from parameters that the first gradient made.
    np.testing.assert_allclose(one[f"{head}/student/{weights}/4"], one[f"{head}/student/{weights}/1"], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("weights", ["even", "weighted"])
@pytest.mark.parametrize("steps", [1, 4])
def test_processes_and_accumulation_are_one_big_batch(
    one: Report, two: Report, head: str, weights: str, steps: int
) -> None:
    np.testing.assert_allclose(two[f"{head}/student/{weights}/{steps}"], one[f"{head}/student/{weights}/1"], rtol=1e-4)


@pytest.mark.parametrize("head", ["scale/bert", "tokens/bert", "text/llama"])
def test_one_big_batch_has_the_loss_of_plain_trainer(one: Report, head: str) -> None:
    np.testing.assert_allclose(one[f"{head}/student/even/1"], one[f"{head}/plain/even/1"], rtol=1e-4)


def grown(report: Report, head: str) -> Any:
    """By what plain Trainer's first loss and gradient norm grow with four accumulation steps."""
    return np.divide(report[f"{head}/plain/even/4"][0], report[f"{head}/plain/even/1"][0])


@pytest.mark.parametrize(("head", "spread"), [("multi/bert", 1e-4), ("scale/bert", 1e-4), ("tokens/bert", 0.2)])
def test_plain_trainer_multiplies_by_accumulation_steps(one: Report, head: str, spread: float) -> None:
    # huggingface/transformers#47688. Of tokens it also takes the mean of the batches' means, which is near the mean of
    # all tokens and not it. If this fails, upstream has repaired it.
    np.testing.assert_allclose(grown(one, head), 4, rtol=spread)


def test_plain_trainer_is_right_about_the_next_token(one: Report) -> None:
    np.testing.assert_allclose(grown(one, "text/llama"), 1, rtol=1e-4)


def test_plain_answers_depend_on_the_padding_of_their_batch(one: Report) -> None:
    # It does not multiply them, but padding is a candidate for the answer: smaller batches have less of it, and so
    # another loss. If this fails, upstream masks it.
    apart = np.abs(grown(one, "answers/bert") - 1)
    assert 1e-4 < apart.max() < 0.2


def check_evaluation(found: dict[str, float]) -> None:
    # Rows that say the same would hide a wrong order.
    assert found["spread"] > 0.1
    assert found["apart"] < 1e-4
    assert [found["eval_loss"], found["test_loss"]] == pytest.approx([found["expected_loss"]] * 2, rel=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_evaluation_is_in_row_order_and_over_all_items(one: Report, head: str) -> None:
    check_evaluation(one[f"{head}/evaluation"])


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_two_processes_evaluate_in_row_order_and_over_all_items(two: Report, head: str) -> None:
    check_evaluation(two[f"{head}/evaluation"])
