"""Several processes: launch configurations, students of all kinds, sharded weights, and a process that dies."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from datasets import Dataset
from safetensors.numpy import load_file

from tests.servers.chat import LabelServer
from tests.tiny_models import tiny_model
from tests.training import programs
from tests.training.processes import ROOT, TORCHRUN, launch, start

Toy = Callable[..., Dataset]


def results(folder: Path, processes: int, program: str, *arguments: str) -> list[Any]:
    """What each process returns."""
    out = folder / f"{program}_{processes}" / "out"
    out.parent.mkdir()
    launch(folder, processes, "programs.py", program, str(out), *arguments)
    return [json.loads(Path(f"{out}.{rank}").read_text()) for rank in range(processes)]


@pytest.fixture
def dry(encoder: str, tmp_path: Path) -> str:
    """The folder of the encoder without dropout, which each process draws by itself."""
    folder = shutil.copytree(encoder, tmp_path / "dry")
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    settings = json.loads((folder / "config.json").read_text()) | none
    (folder / "config.json").write_text(json.dumps(settings))
    return str(folder)


@pytest.fixture
def rows(toy: Toy, tmp_path: Path) -> str:
    toy(80).to_json(tmp_path / "rows.jsonl")
    return str(tmp_path / "rows.jsonl")


def test_launch_configurations_are_read_as_they_are_meant(subtests: pytest.Subtests) -> None:
    for file in sorted((ROOT / "configs" / "accelerate").glob("*.yaml")):
        with subtests.test(file=file.stem):
            config = load_config_from_file(str(file))
            kinds = {"fsdp2": "FSDP", "zero3": "DEEPSPEED", "cpu": "NO", "one_gpu": "NO"}
            assert str(config.distributed_type.value) == kinds.get(file.stem, "MULTI_GPU")
            assert config.use_cpu == file.stem.startswith("cpu")
            # A machine of the documentation has eight GPUs.
            expected = {"cpu": 1, "one_gpu": 1, "cpu_2": 2, "cpu_4": 4, "two_nodes": 16}
            assert config.num_processes == expected.get(file.stem, 8)


@pytest.mark.slow
def test_four_processes_learn_what_one_learns(rows: str, encoder: str, tmp_path: Path) -> None:
    data = {"path": "json", "data_files": rows, "names": ["film", "sport"]}
    for name, batch, config in (("one", 16, None), ("four", 4, "cpu_4")):
        student = {"model": encoder, "max_length": 32, "learning_rate": 3e-3, "num_train_epochs": 4, "use_cpu": True}
        student |= {"per_device_train_batch_size": batch, "output_dir": name}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"student": student, "data": data}))
        launcher = ["-m", "accelerate.commands.launch", "--main_process_port", "0", "--config_file"]
        launcher = [] if config is None else [*launcher, str(ROOT / f"configs/accelerate/{config}.yaml")]
        done = start(tmp_path, *launcher, str(ROOT / "train.py"), f"{name}.yaml")
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
    script = [str(Path(programs.__file__)), "die", str(tmp_path / "out"), how]
    done = start(tmp_path, *TORCHRUN, "--nproc-per-node", "2", *script)
    # The other process waits in a collective that would time out after half an hour.
    assert time.monotonic() - began < 120
    assert done.returncode != 0
    assert {"raises": "the disk of this machine is on fire", "killed": "Signal 9 (SIGKILL)"}[how] in done.stderr
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in left


@pytest.mark.slow
def test_sharded_weights_train_and_are_saved_whole(rows: str, dry: str, tmp_path: Path) -> None:
    (one,), (two, _) = (results(tmp_path, processes, "shard", dry, rows) for processes in (1, 2))
    assert (one["kinds"], two["kinds"]) == (["Parameter"], ["DTensor"])
    assert one["share"] == 1
    assert two["share"] == pytest.approx(0.5, abs=0.1)
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
    whole, gathered = (load_file(tmp_path / name / "model.safetensors") for name in ("shard_1", "shard_2"))
    before = load_file(Path(dry) / "model.safetensors")
    assert whole.keys() == gathered.keys()
    for name, value in whole.items():
        np.testing.assert_allclose(gathered[name], value, atol=5e-6, err_msg=name)
    # They have learned far more than they differ.
    assert max(np.abs(whole[f"bert.{name}"] - value).max() for name, value in before.items()) > 2e-4


@pytest.mark.slow
def test_two_processes_resume_bit_for_bit(rows: str, encoder: str, tmp_path: Path) -> None:
    # 80 rows in updates of 8 x 2 x 2 are 3 updates per epoch, the last of them half full.
    report = {"interrupted": True, "left": ["checkpoint-4"], "same": True}
    assert results(tmp_path, 2, "resume", encoder, rows) == [report, report]


@pytest.mark.slow
def test_every_process_predicts_all_rows_in_their_order(encoder: str, tmp_path: Path) -> None:
    writer = tiny_model(tmp_path / "writer")
    (alone,), both = (results(tmp_path, processes, "tasks", encoder, writer) for processes in (1, 2))
    for result in both:
        for kind, expected in alone.items():
            assert result[kind]["labels"] == expected["labels"], kind
            assert result[kind]["metrics"] == pytest.approx(expected["metrics"], rel=1e-5), kind
    assert len(set(alone["texts"]["labels"])) > 1


@pytest.mark.slow
def test_two_stages_learn_the_same_on_two_processes(dry: str, tmp_path: Path) -> None:
    (one,), (two, _) = (results(tmp_path, count, "finetune", dry, str(8 // count)) for count in (1, 2))
    # 64 rows in batches of 8 twice, then 32 rows ten times.
    assert (one["train_steps"], one["human_train_steps"]) == (two["train_steps"], two["human_train_steps"]) == (16, 40)
    np.testing.assert_allclose(one["film"], two["film"], atol=1e-5)
    # The human rows came last, and most of them are films.
    assert np.mean(one["film"]) > 0.6


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_judge_in_compute_metrics_is_paid_once(tmp_path: Path, processes: int) -> None:
    with LabelServer(lambda _: "score: 4") as server:
        if processes == 1:
            reports = [programs.judge("", server.base_url)]
        else:
            reports = results(tmp_path, processes, "judge", server.base_url)
        assert len(server.requests) == 20
    for rank, (plain, student, failing) in enumerate(reports):
        assert plain == student == {"eval_judge": 4.0, "eval_n": 10.0}
        error = "ValueError: no judge today"
        assert failing == (
            error if rank == 0 else f"RuntimeError: `compute_metrics` failed in the main process: {error}"
        )
