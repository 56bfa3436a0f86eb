r"""Train a student on rows with labels, test it, and save it.

    python train.py configs/students/minilm.yaml --data reviews.jsonl
    accelerate launch --config_file configs/accelerate/cpu_2.yaml \
        train.py configs/students/minilm.yaml --data reviews.jsonl

`reviews.jsonl` has one object per line: {"text": "...", "label": "..."}; a label of null is a row without one. Without
`--data` the rows come from the key `data` of the YAML file: a Hub id, files, or a recipe.
"""

from __future__ import annotations

import argparse

__all__ = ["main"]


def main() -> None:
    """Read the arguments and train; the first process prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="YAML file with the keys `student` and `data`, or the name of a packaged one")
    parser.add_argument("--data", help="file or folder to train on instead of the key `data`")
    parser.add_argument("--label", help="label column; default: the config's, or the column that annotate wrote")
    parser.add_argument(
        "--variable", action="append", default=[], help="variable to learn; repeated, one head of the student each"
    )
    arguments = parser.parse_args()

    import hf_synthlabels  # noqa: F401 - makes recipes loadable as data sets
    from hf_synthlabels.errors import SynthLabelsError

    try:
        from hf_synthlabels.cli.train import run_student
        from hf_synthlabels.training import StudentFile

        options = {"data": arguments.data, "label": arguments.label, "variables": arguments.variable}
        run_student(StudentFile.read(arguments.config, **options))
    except SynthLabelsError as error:
        parser.exit(2, f"train.py: {error}\n")


if __name__ == "__main__":
    main()
