"""The GPU benchmark runs every arm that needs no GPU on models of a few thousand weights."""

from __future__ import annotations

import time

import pytest
import torch

from benchmarks import gpu


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.skipif(torch.cuda.is_available(), reason="counts the arms of a machine without a GPU")
def test_all_arms_are_measured_or_skipped_with_a_reason() -> None:
    text = gpu.report(gpu.tiny_size(), deadline_s=time.monotonic() + 600)
    rates = [
        line.split("|")[3].strip() for line in text.splitlines() if line.startswith(("| BERT", "| Modern", "| cau"))
    ]
    assert len(rates) == 2 * (len(gpu.ENCODER_ARMS) - 1) + 3
    assert all(float(rate.replace(",", "")) > 0 for rate in rates)
    skipped = [line for line in text.splitlines() if line.startswith("- ")]
    assert len(skipped) == 4
    assert all("needs a" in line or "minutes on a CPU" in line for line in skipped)


def test_no_arm_starts_after_the_deadline() -> None:
    text = gpu.report(gpu.tiny_size(), deadline_s=time.monotonic() - 1)
    assert text.count("no time left") == 2 * (len(gpu.ENCODER_ARMS) - 1) + 3
