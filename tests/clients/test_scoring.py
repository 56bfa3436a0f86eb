"""The parts of weighing and writing that need no model."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from hf_synthlabels.clients.local.model_files import folder_fingerprint
from hf_synthlabels.errors import ClientError

torch = pytest.importorskip("torch")

from hf_synthlabels.clients.local.generation import gumbel_noise  # noqa: E402
from hf_synthlabels.clients.local.prefill import beginning  # noqa: E402
from hf_synthlabels.clients.local.scoring import terminated  # noqa: E402

NAMES = ("one", "two", "three")


def test_answers_end_only_where_one_begins_another() -> None:
    assert terminated(NAMES, [[1], [2], [3, 1]], 9) == [[1], [2], [3, 1]]
    assert terminated(NAMES, [[1], [2], [1, 3]], 9) == [[1, 9], [2, 9], [1, 3, 9]]
    assert terminated(NAMES, [[1, 2], [1, 3], [1, 4, 5]], None) == [[1, 2], [1, 3], [1, 4, 5]]


@pytest.mark.parametrize(("answers", "end"), [([[1], [2], [1]], 9), ([[1], [2], [1, 3]], None)])
def test_answers_that_can_not_be_told_apart_are_named(answers: list[list[int]], end: int | None) -> None:
    with pytest.raises(ClientError, match=r"can not tell the labels 'one' and 'three' apart"):
        terminated(NAMES, answers, end)


@pytest.mark.parametrize(
    ("prompts", "same"),
    [
        ([[1, 2, 3, 4], [1, 2, 3, 5]], [1, 2, 3]),
        # Something is left of each.
        ([[1, 2, 3], [1, 2, 3]], [1, 2]),
        ([[1, 2], [1, 2, 3]], [1]),
        ([[1, 2, 3], [1, 9, 3], [1, 2, 4]], [1]),
        ([[5], [5, 6]], []),
        ([[1, 2], [2, 2]], []),
    ],
)
def test_what_prompts_begin_with(prompts: list[list[int]], same: list[int]) -> None:
    assert beginning(prompts) == same
    assert beginning(prompts[::-1]) == same


def split_mix(state: int) -> int:
    """SplitMix64's finaliser in whole numbers without end, from its authors' C code."""
    mask = 2**64 - 1
    mixed = state & mask
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
    return mixed ^ (mixed >> 31)


def test_noise_is_a_function_of_seed_step_and_place() -> None:
    seeds, count, step = [0, 7, -5, 2**62], 50, 3
    noise = gumbel_noise(seeds, step, count, torch.device("cpu"))
    assert noise.shape == (4, 50)
    for row, seed in enumerate(seeds):
        for place in range(count):
            mixed = split_mix(seed + (step * count + place) * 0x9E3779B97F4A7C15)
            uniform = ((mixed >> 11) + 0.5) * 2.0**-53
            assert float(noise[row, place]) == pytest.approx(-math.log(-math.log(uniform)), abs=1e-12)


def test_noise_has_the_moments_of_the_gumbel_distribution() -> None:
    noise = gumbel_noise([1, 2], 0, 400_000, torch.device("cpu"))
    # Mean: Euler's constant; variance: pi squared over six; five standard errors.
    assert noise.mean(1).tolist() == pytest.approx([0.5772157] * 2, abs=5 * math.pi / 6**0.5 / 400_000**0.5)
    assert noise.var(1).tolist() == pytest.approx([math.pi**2 / 6] * 2, rel=0.02)
    assert abs(float(torch.corrcoef(noise)[0, 1])) < 0.01


def test_drawing_by_noise_follows_the_softmax() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0], dtype=torch.float64)
    chosen = (logits + gumbel_noise(list(range(50_000)), 0, 4, torch.device("cpu"))).argmax(1)
    seen = torch.bincount(chosen, minlength=4) / 50_000
    assert seen.tolist() == pytest.approx(logits.softmax(0).tolist(), abs=0.011)


def test_a_fingerprint_is_of_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    first = folder_fingerprint(tmp_path)
    assert len(first) == 16
    for ignored in ("README.md", "optimizer.bin", ".hidden.json", "checkpoint-5/model.safetensors", "runs/a.json"):
        (tmp_path / ignored).parent.mkdir(exist_ok=True)
        (tmp_path / ignored).write_text("x")
    assert folder_fingerprint(tmp_path) == first
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text("{}")
    second = folder_fingerprint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"WEIGHTS")
    assert len({first, second, folder_fingerprint(tmp_path)}) == 3


def test_a_large_file_is_known_by_beginning_size_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_synthlabels.clients.local.model_files.WHOLE_FILE_BYTES", 4)
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    first = folder_fingerprint(tmp_path)
    assert folder_fingerprint(tmp_path) == first
    os.utime(file, (1, 1))
    assert folder_fingerprint(tmp_path) != first
