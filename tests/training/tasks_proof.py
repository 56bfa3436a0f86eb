"""What students of several kinds predict in as many processes as it is started in.

Run by test_tasks_processes.py: tasks_proof.py ENCODER WRITER OUT
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from accelerate import PartialState
from datasets import Dataset

from hf_synthlabels.training import StudentConfig, train_student
from tests.training.tasks.test_tasks import entity_rows, question_rows


def trained(folder: str, rows: Dataset, **options: Any) -> dict[str, Any]:
    """Predictions, and the evaluation, after a step at a rate of nothing: the same whatever the processes."""
    names = ["film", "sport"] if options["task"] == "token-classification" else []
    config = StudentConfig(
        output_dir=folder, use_cpu=True, max_steps=1, learning_rate=1e-12, per_device_eval_batch_size=4, **options
    )
    student = train_student(config, rows, names=names, eval=rows)
    measured = {name: value for name, value in student.metrics.items() if name.startswith("eval_")}
    return {"labels": student.predict(rows).column(), "metrics": measured}


def main(encoder: str, writer: str, out: str) -> None:
    state = PartialState(cpu=True)
    written = Dataset.from_dict(
        {"text": ["film " * (1 + row) for row in range(7)], "label": [f"plot {row}" for row in range(7)]}
    )
    with tempfile.TemporaryDirectory() as folder:
        found = {
            "entities": trained(folder, entity_rows(11), model=encoder, task="token-classification", max_length=32),
            "answers": trained(
                folder,
                question_rows(11),
                model=encoder,
                task="question-answering",
                text_columns=["question", "context"],
                max_length=32,
            ),
            "texts": trained(
                folder, written, model=writer, task="text-generation", max_length=128, max_new_tokens=8, packing=False
            ),
        }
    Path(f"{out}.{state.process_index}").write_text(json.dumps(found))
    state.wait_for_everyone()
    state.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
