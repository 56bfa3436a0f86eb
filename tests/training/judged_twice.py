"""A judge as compute_metrics of a plain Trainer and of a StudentTrainer, in as many processes as it is started in.

Run by test_once.py: judged_twice.py SERVER OUT
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import BertConfig, BertForSequenceClassification, EvalPrediction, Trainer, TrainingArguments

import hf_synthlabels
from hf_synthlabels.training import StudentConfig, StudentTrainer, main_process_only


def main(server: str, out: str) -> None:
    import evaluate

    state = PartialState(cpu=True)
    judge = {"model": "tiny", "base_url": server, "api_key_env": None, "response_format": "text"}
    # Every process loads the metric; only the first one asks.
    with tempfile.TemporaryDirectory() as folder:
        metric = evaluate.load(
            hf_synthlabels.metric_path("llm_judge"),
            "pointwise",
            judge=judge,
            cache_dir=folder,
            experiment_id=str(state.process_index),
        )
        found = [evaluated(kind, metric, folder) for kind in ("plain", "student", "failing")]
    Path(f"{out}.{state.process_index}").write_text(json.dumps(found))


def evaluated(kind: str, metric: Any, folder: str) -> Any:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, num_labels=2
    )
    rows = Dataset.from_dict({"input_ids": [[1, 2 + number % 20, 3] for number in range(10)], "labels": [0, 1] * 5})

    def metrics(prediction: EvalPrediction) -> dict[str, Any]:
        if kind == "failing":
            raise ValueError("no judge today")
        count = len(prediction.predictions)
        result = metric.compute(predictions=[f"{kind} answer {number}" for number in range(count)])
        return {"judge": result["mean"], "n": result["n"]}

    options: dict[str, Any] = {"output_dir": folder, "report_to": [], "use_cpu": True, "per_device_eval_batch_size": 2}
    given = {"model": BertForSequenceClassification(config), "eval_dataset": rows}
    trainer: Trainer = (
        StudentTrainer(args=StudentConfig(model="tiny", **options), compute_metrics=metrics, **given)
        if kind == "student"
        else Trainer(args=TrainingArguments(**options), compute_metrics=main_process_only(metrics), **given)
    )
    try:
        return {name: value for name, value in trainer.evaluate().items() if name in ("eval_judge", "eval_n")}
    except (ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main(*sys.argv[1:])
