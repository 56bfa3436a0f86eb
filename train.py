r"""Train a student on rows with labels, test it, and save it.

    python train.py configs/students/minilm.yaml --data reviews.jsonl
    accelerate launch --config_file configs/accelerate/cpu_2.yaml \
        train.py configs/students/minilm.yaml --data reviews.jsonl

`reviews.jsonl` has one object per line: {"text": "...", "label": "..."}; a label of null is a row without one. Without
`--data` the rows come from the key `data` of the YAML file: a Hub id, files, or a recipe.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

__all__ = ["main"]


def main() -> None:
    """Read the arguments, train, and print the metrics as JSON on the first process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="YAML file with the keys `student` and `data`")
    parser.add_argument("--data", help="CSV, JSON or Parquet file to train on in place of the key `data`")
    arguments = parser.parse_args()

    import hf_synthlabels  # noqa: F401 - makes recipes loadable as data sets
    from hf_synthlabels.errors import SynthLabelsError

    try:
        from hf_synthlabels.annotation import provenance
        from hf_synthlabels.publishing import StudentPublisher, save_student_facts
        from hf_synthlabels.training import StudentFile, train_student

        file = StudentFile.from_yaml(arguments.config, data=arguments.data)
        data = file.data.load(file.student)
        records = provenance(data.train)
        publisher = StudentPublisher.of_file(file, records)
        student = train_student(file.student, data.train, names=data.names, eval=data.test, publish=publisher)
    except SynthLabelsError as error:
        parser.exit(2, f"train.py: {error}\n")
    folder = file.student.output_dir or "student"
    student.save(folder)
    if student.trainer.is_world_process_zero():
        # What its card will need, if it is ever published.
        save_student_facts(student, Path(folder), records)
        hub = {} if publisher is None or publisher.pushed is None else {"hub": publisher.pushed.url}
        sys.stdout.write(json.dumps({**student.metrics, "folder": folder, **hub}, indent=2) + "\n")
    student.trainer.end()


if __name__ == "__main__":
    main()
