"""Programs that test_processes.py starts on one or several processes: programs.py NAME OUT ARGUMENTS.

Each process writes what its program returns to OUT.RANK.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState
from datasets import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    EvalPrediction,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

import hf_synthlabels
from hf_synthlabels.training import StudentConfig, StudentTrainer, main_process_only, train_student

NAMES = ["film", "sport"]
SHAPE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


class At(TrainerCallback):  # type: ignore[misc]
    """Does something after an update of the second process, or of the only one."""

    def __init__(self, step: int, action: Any) -> None:
        self.step, self.action = step, action

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        if state.global_step == self.step:
            self.action(args)


class PowerCutError(Exception):
    """Ends a run."""


def resume(out: str, model: str, rows: str) -> Any:
    """Whether a run that is interrupted and resumed ends with the weights of one that is not, bit for bit."""
    folder = Path(out).parent

    def cut(args: Any) -> None:
        raise PowerCutError

    def run(name: str, *, callbacks: tuple[Any, ...] = (), resume: bool | None = None) -> dict[str, torch.Tensor]:
        config = StudentConfig(
            model=model,
            max_length=32,
            output_dir=str(folder / name),
            per_device_train_batch_size=8,
            gradient_accumulation_steps=2,
            learning_rate=1e-3,
            num_train_epochs=3,
            save_strategy="steps",
            save_steps=4,
            save_total_limit=1,
            use_cpu=True,
            resume_from_checkpoint=resume,  # type: ignore[arg-type, unused-ignore]
        )
        student = train_student(config, Dataset.from_json(rows), names=NAMES, callbacks=callbacks)
        return dict(student.trainer.model.state_dict())

    whole = run("whole")
    interrupted = False
    try:
        run("cut", callbacks=(At(5, cut),))
    except PowerCutError:
        interrupted = True
    left = sorted(path.name for path in (folder / "cut").iterdir())
    resumed = run("cut", resume=True)
    same = all(torch.equal(whole[name], resumed[name]) for name in whole)
    return {"interrupted": interrupted, "left": left, "same": same}


def tasks(out: str, encoder: str, writer: str) -> Any:
    """Predictions and evaluation of students of several tasks after a step at a rate of nothing."""
    from tests.training.tasks.test_tasks import entity_rows, question_rows

    def trained(rows: Dataset, **options: Any) -> dict[str, Any]:
        names = NAMES if options["task"] == "token-classification" else []
        rate: dict[str, Any] = {"max_steps": 1, "learning_rate": 1e-12, "per_device_eval_batch_size": 4}
        with tempfile.TemporaryDirectory() as folder:
            config = StudentConfig(output_dir=folder, use_cpu=True, **rate, **options)
            student = train_student(config, rows, names=names, eval=rows)
        metrics = {name: value for name, value in student.metrics.items() if name.startswith("eval_")}
        return {"labels": student.predict(rows).column(), "metrics": metrics}

    written = {"text": ["film " * (1 + row) for row in range(7)], "label": [f"plot {row}" for row in range(7)]}
    span = {"model": encoder, "max_length": 32}
    text = {"model": writer, "max_length": 128, "max_new_tokens": 8, "packing": False}
    questions = {"task": "question-answering", "text_columns": ["question", "context"]}
    return {
        "entities": trained(entity_rows(11), task="token-classification", **span),
        "answers": trained(question_rows(11), **questions, **span),
        "texts": trained(Dataset.from_dict(written), task="text-generation", **text),
    }


def finetune(out: str, encoder: str, batch: str) -> Any:
    """The student of a training in two stages, and the steps of each: on LLM labels, then on human ones."""
    texts = ("the film of an actor", "a goal of the team", "the plot and the scene", "a match and a score")
    rows = Dataset.from_dict(
        {
            "text": [texts[row % 4] + " the" * (row % 5) for row in range(64)],
            # An LLM calls most texts sport; humans labeled half of them, mostly film.
            "llm": ["film" if row % 16 == 0 else "sport" for row in range(64)],
            "human": [NAMES[row % 4 == 1] if row < 32 else None for row in range(64)],
        }
    )
    config = StudentConfig(
        model=encoder,
        output_dir=str(Path(out).parent / "student"),
        label_column="llm",
        human_column="human",
        human_strategy="finetune",
        correction="forward",
        human_epochs=10.0,
        human_learning_rate=0.1,
        learning_rate=0.1,
        # Adam would hide gradients that are counted twice.
        optim="sgd",
        max_grad_norm=0.0,
        per_device_train_batch_size=int(batch),
        num_train_epochs=2,
        max_length=16,
        use_cpu=True,
    )
    student = train_student(config, rows, names=NAMES)
    steps = {name: student.metrics[name] for name in ("train_steps", "human_train_steps")}
    return {**steps, "film": student.predict(rows).probabilities[:, 0].tolist()}


def judge(out: str, server: str) -> Any:
    """A judge as `compute_metrics` of a plain Trainer and of a StudentTrainer, and metrics that fail."""
    import evaluate

    rank = PartialState(cpu=True).process_index
    answering = {"model": "tiny", "base_url": server, "api_key_env": None, "response_format": "text"}
    # Every process loads the metric; only the first one sends requests.
    with tempfile.TemporaryDirectory() as folder:
        metric = evaluate.load(
            hf_synthlabels.metric_path("llm_judge"),
            "pointwise",
            judge=answering,
            cache_dir=folder,
            experiment_id=str(rank),
        )
        return [_judged(kind, metric, folder) for kind in ("plain", "student", "failing")]


def _judged(kind: str, metric: Any, folder: str) -> Any:
    torch.manual_seed(0)
    rows = Dataset.from_dict({"input_ids": [[1, 2 + number % 20, 3] for number in range(10)], "labels": [0, 1] * 5})

    def metrics(prediction: EvalPrediction) -> dict[str, Any]:
        if kind == "failing":
            raise ValueError("no judge today")
        answers = [f"{kind} answer {number}" for number in range(len(prediction.predictions))]
        result = metric.compute(predictions=answers)
        return {"judge": result["mean"], "n": result["n"]}

    options: dict[str, Any] = {"output_dir": folder, "report_to": [], "use_cpu": True, "per_device_eval_batch_size": 2}
    given = {"model": BertForSequenceClassification(BertConfig(vocab_size=30, **SHAPE)), "eval_dataset": rows}
    trainer: Trainer = (
        StudentTrainer(args=StudentConfig(model="tiny", **options), compute_metrics=metrics, **given)
        if kind == "student"
        else Trainer(args=TrainingArguments(**options), compute_metrics=main_process_only(metrics), **given)
    )
    try:
        return {name: value for name, value in trainer.evaluate().items() if name in ("eval_judge", "eval_n")}
    except (ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"


def shard(out: str, model: str, rows: str) -> Any:
    """A training under FSDP2, or plainly on one process; the student is saved next to OUT."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1:
        _shard_on_the_cpu()
    config = StudentConfig(
        model=model,
        max_length=32,
        output_dir=str(Path(out).parent),
        use_cpu=True,
        # Plain gradient descent over all 80 rows in two halves: a gradient that is wrongly distributed shows.
        optim="sgd",
        learning_rate=1.0,
        num_train_epochs=6,
        per_device_train_batch_size=40 // world,
        gradient_accumulation_steps=2,
    )
    student = train_student(config, Dataset.from_json(rows), names=NAMES)
    weights = list(student.trainer.model.parameters())
    held = sum((weight.to_local() if hasattr(weight, "to_local") else weight).numel() for weight in weights)
    student.save(Path(out).parent)
    return {
        "loss": student.metrics["train_loss"],
        "kinds": sorted({type(weight).__name__ for weight in weights}),
        "share": held / sum(weight.numel() for weight in weights),
    }


def _shard_on_the_cpu() -> None:
    """PyTorch shards on the CPU over gloo; accelerate 1.15 silently trains with DDP there, so its state is set."""
    import torch.distributed.fsdp as fsdp
    from accelerate import FullyShardedDataParallelPlugin
    from accelerate.utils import DistributedType
    from torch.distributed.device_mesh import init_device_mesh

    fully_shard, begin = fsdp.fully_shard, AcceleratorState.__init__

    def shard_here(*arguments: Any, **options: Any) -> Any:
        # Without a mesh it looks for accelerators.
        mesh = init_device_mesh("cpu", (torch.distributed.get_world_size(),))
        return fully_shard(*arguments, **{**options, "mesh": mesh})

    def init(self: Any, *arguments: Any, **options: Any) -> None:
        fresh = "_mixed_precision" not in AcceleratorState._shared_state
        begin(self, *arguments, **options)
        if fresh and self.num_processes > 1:
            self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
            self.fsdp_plugin = FullyShardedDataParallelPlugin(
                fsdp_version=2, auto_wrap_policy="transformer_based_wrap", state_dict_type="FULL_STATE_DICT"
            )

    fsdp.fully_shard = shard_here
    AcceleratorState.__init__ = init


def die(out: str, how: str) -> Any:
    """A training whose second process dies after two updates."""

    def end(args: Any) -> None:
        if args.process_index == 1 and how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if args.process_index == 1:
            raise RuntimeError("the disk of this machine is on fire")

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        return {name: torch.tensor([row[name] for row in rows]) for name in ("input_ids", "labels")}

    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(vocab_size=50, **SHAPE))
    rows = Dataset.from_list([{"input_ids": [2, 5 + row % 40, 3], "labels": row % 2} for row in range(4000)])
    config = StudentConfig(output_dir=out, use_cpu=True, num_train_epochs=50)
    StudentTrainer(model, config, train_dataset=rows, callbacks=[At(2, end)], data_collator=collate).train()


PROGRAMS = {program.__name__: program for program in (resume, tasks, finetune, judge, shard, die)}

if __name__ == "__main__":
    torch.set_num_threads(1)
    name, out, *arguments = sys.argv[1:]
    result = PROGRAMS[name](out, *arguments)
    state = PartialState()
    Path(f"{out}.{state.process_index}").write_text(json.dumps(result))
    state.wait_for_everyone()
    state.destroy_process_group()
