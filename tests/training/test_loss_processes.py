"""Loss, gradients, row coverage and evaluation of every head on one process and on two; see loss_proof.py."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerate.state import AcceleratorState

from tests.training import loss_proof
from tests.training.loss_proof import HEADS
from tests.training.processes import launch

Report = dict[str, Any]
ROWS = list(range(64))
FAST = (
    *("classes/bert", "classes/xlnet", "classes/modernbert", "classes/mistral", "multi/bert", "scale/bert"),
    *("ordinal/bert", "heads/bert", "tokens/bert", "tokens/modernbert", "answers/bert", "text/llama"),
)
"""Heads that differ; the slow test has all."""


def reported(folder: Path, heads: Iterable[str]) -> Report:
    # In this process: a program of its own would spend most of its time on imports. As JSON, like those of the others.
    AcceleratorState._reset_state()
    report: Report = json.loads(json.dumps(dict(loss_proof.report(folder, heads))))
    return report


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return reported(tmp_path_factory.mktemp("one"), FAST)


@pytest.fixture(scope="module")
def every(one: Report, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return one | reported(tmp_path_factory.mktemp("every"), [head for head in HEADS if head not in FAST])


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("two")
    launch(folder, 2, "loss_proof.py", str(folder / "report.json"))
    report: Report = json.loads((folder / "report.json").read_text())
    return report


def check_updates(report: Report, one: Report, steps: tuple[int, ...], heads: Iterable[str] = FAST) -> None:
    # Two updates: the second starts from parameters that the first gradient made.
    for head in heads:
        for weights in ("even", "weighted"):
            expected = one[f"{head}/student/{weights}/1"]
            for count in steps:
                loss = report[f"{head}/student/{weights}/{count}"]
                np.testing.assert_allclose(loss, expected, rtol=1e-4, err_msg=f"{head}, {weights}, {count} steps")


def check_evaluation(report: Report, heads: Iterable[str] = FAST) -> None:
    for name in (*heads, "sorted"):
        result = report[f"{name}/evaluation"]
        # Equal outputs for all rows would hide a wrong order.
        assert result["spread"] > 0.01, name
        assert result["difference"] < 1e-4, name
        assert result["metrics_see_the_same"], name
        assert result["label_ids"] == result["labels"], name
        assert [result["eval_loss"], result["test_loss"]] == pytest.approx([result["expected_loss"]] * 2, rel=1e-4)


def growth(report: Report, one: Report, head: str, steps: int) -> Any:
    """The factors by which plain Trainer's first loss and gradient norm differ from one process and one step."""
    return np.divide(report[f"{head}/plain/even/{steps}"][0], one[f"{head}/plain/even/1"][0])


def check_plain(one: Report, heads: Iterable[str] = FAST) -> None:
    classes = [head for head in heads if head.startswith("classes")]
    for head in (*classes, "scale/bert", "tokens/bert", "text/llama"):
        loss, plain = (one[f"{head}/{trainer}/even/1"] for trainer in ("student", "plain"))
        np.testing.assert_allclose(loss, plain, rtol=1e-4, err_msg=head)
    # huggingface/transformers#47688. If this fails, upstream has repaired it, and StudentTrainer.compute_loss is needed
    # for soft labels and weights only.
    for head in (*classes, "multi/bert", "scale/bert"):
        np.testing.assert_allclose(growth(one, one, head, 4), 4, rtol=1e-4, err_msg=head)


def test_accumulation_is_one_big_batch(one: Report) -> None:
    check_updates(one, one, (4,))


def test_one_big_batch_has_the_loss_of_plain_trainer_which_multiplies_it_by_accumulation_steps(one: Report) -> None:
    check_plain(one)
    # Of tokens it also takes the mean of the batches' means, which is near the mean of all tokens and not it.
    np.testing.assert_allclose(growth(one, one, "tokens/bert", 4), 4, rtol=0.2)
    # It is right about the next token.
    np.testing.assert_allclose(growth(one, one, "text/llama", 4), 1, rtol=1e-4)
    # Answers it does not multiply, but padding is a candidate: smaller batches have less of it, and so another loss.
    assert 1e-4 < np.abs(growth(one, one, "answers/bert", 4) - 1).max() < 0.2


def test_evaluation_is_in_row_order_and_over_all_items(one: Report) -> None:
    check_evaluation(one)


def test_every_row_is_read_once_also_when_resumed(one: Report) -> None:
    assert one["coverage"] == [ROWS] * 3
    assert one["resumed"] == ROWS


@pytest.mark.slow
def test_two_processes_report_what_one_reports(every: Report, two: Report) -> None:
    check_plain(every, HEADS)
    check_updates(every, every, (4,), HEADS)
    check_updates(two, every, (1, 4), HEADS)
    for report in (every, two):
        check_evaluation(report, HEADS)
        assert report["coverage"] == [ROWS] * 3
        assert report["resumed"] == ROWS
    for head in HEADS:
        for steps, factor in ((1, 2), (4, 8)) if head.startswith("classes") else ():
            np.testing.assert_allclose(growth(two, every, head, steps), factor, rtol=1e-4, err_msg=head)
