"""Several processes: the launch configurations, sharded weights, and what happens when one process dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from datasets import Dataset
from safetensors.numpy import load_file

from tests.training.dry import without_dropout

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
CONFIGS = sorted((ROOT / "configs" / "accelerate").glob("*.yaml"))
TORCHRUN = ("-m", "torch.distributed.run", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0")
Done = subprocess.CompletedProcess[str]


def run(folder: Path, *arguments: str, timeout_s: float = 150) -> Done:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    environment |= {"PYTHONPATH": str(ROOT), "HF_DATASETS_CACHE": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_launch_configuration_is_read_as_it_is_meant(file: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    read = load_config_from_file(str(file))
    kinds = {"fsdp2": "FSDP", "zero3": "DEEPSPEED", "cpu": "NO", "one_gpu": "NO"}
    assert str(read.distributed_type.value) == kinds.get(file.stem, "MULTI_GPU")
    assert read.use_cpu == file.stem.startswith("cpu")
    # A machine of the documentation has eight GPUs.
    expected = {"cpu": 1, "one_gpu": 1, "cpu_2": 2, "cpu_4": 4, "two_nodes": 16}
    assert read.num_processes == expected.get(file.stem, 8)


@pytest.mark.slow
def test_four_processes_learn_what_one_learns(toy: Callable[..., Dataset], encoder: str, tmp_path: Path) -> None:
    toy(80).to_json(tmp_path / "rows.jsonl")
    data = {"path": "json", "data_files": "rows.jsonl", "names": ["film", "sport"]}
    for name, rows, config in (("one", 16, None), ("four", 4, "cpu_4")):
        student = {"model": encoder, "max_length": 32, "learning_rate": 3e-3, "num_train_epochs": 4, "use_cpu": True}
        student |= {"per_device_train_batch_size": rows, "output_dir": name}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"student": student, "data": data}))
        launcher = [
            "-m",
            "accelerate.commands.launch",
            "--config_file",
            str(ROOT / f"configs/accelerate/{config}.yaml"),
        ]
        launcher = [] if config is None else [*launcher, "--main_process_port", "0"]
        done = run(tmp_path, *launcher, str(ROOT / "train.py"), f"{name}.yaml")
        assert done.returncode == 0, done.stderr[-2000:]
        # One process prints and saves, however many there are.
        assert done.stdout.count("16 rows held out") == 1
        metrics = json.loads((tmp_path / name / "student.json").read_text(encoding="utf-8"))["metrics"]
        assert (metrics["train_steps"], metrics["eval_rows"]) == (16, 16)
        assert metrics["train_loss"] == pytest.approx(0.69, abs=0.1)
    one, four = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "four"))
    assert {name: value.shape for name, value in one.items()} == {name: value.shape for name, value in four.items()}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["raises", "killed"])
def test_a_dead_process_ends_the_run_with_its_own_error(tmp_path: Path, how: str) -> None:
    began = time.monotonic()
    done = run(tmp_path, *TORCHRUN, "--nproc-per-node", "2", str(HERE / "dying_rank.py"), how, str(tmp_path))
    # The other process waits in a collective that would time out after half an hour.
    assert time.monotonic() - began < 120
    assert done.returncode != 0
    assert {"raises": "the disk of this machine is on fire", "killed": "Signal 9 (SIGKILL)"}[how] in done.stderr
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in left


@pytest.mark.slow
def test_sharded_weights_train_and_are_saved_whole(toy: Callable[..., Dataset], encoder: str, tmp_path: Path) -> None:
    rows, dry = str(tmp_path / "rows.jsonl"), without_dropout(encoder, tmp_path / "dry")
    toy(80).to_json(rows)
    for name, launcher in (("one", ()), ("two", (*TORCHRUN, "--nproc-per-node", "2"))):
        (tmp_path / name).mkdir()
        done = run(tmp_path, *launcher, str(HERE / "fsdp_proof.py"), dry, rows, str(tmp_path / name))
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("one", "two"))
    assert (one["kinds"], two["kinds"]) == (["Parameter"], ["DTensor"])
    assert one["sharded"] == 1
    assert two["sharded"] == pytest.approx(0.5, abs=0.1)
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
    whole, gathered = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    before = load_file(Path(dry) / "model.safetensors")
    assert whole.keys() == gathered.keys()
    for name, value in whole.items():
        np.testing.assert_allclose(gathered[name], value, atol=5e-6, err_msg=name)
    # They have learnt far more than they are apart.
    assert max(np.abs(whole[f"bert.{name}"] - value).max() for name, value in before.items()) > 2e-4
