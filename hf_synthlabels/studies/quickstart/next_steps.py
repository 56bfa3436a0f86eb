"""Commands that follow from the verdict of a study."""

from __future__ import annotations

import shlex
from pathlib import Path

import yaml

from hf_synthlabels.annotation import Recipe
from hf_synthlabels.studies.advice.recommendation import Recommendation, recommend
from hf_synthlabels.studies.config import Study
from hf_synthlabels.studies.runs import StudyRuns
from hf_synthlabels.studies.students.saved_regression import SAVED_KINDS, SavedRegression
from hf_synthlabels.studies.tasks.recipes import annotator_recipes, recipe_file
from hf_synthlabels.studies.tasks.task import open_task
from hf_synthlabels.studies.tasks.training_tables import open_tables

TABLE = "mine.csv"
"""The user's table in commands after the demo."""

FEWEST = 50
"""Rows that are drawn where the study does not say how many would settle it."""


def next_steps(study: Study, runs: StudyRuns, output: Path) -> list[str]:
    """Commands that follow from the verdict; none for studies of several tasks, which are about a question.

    Args:
        study: what was run.
        runs: its results.
        output: its folder; the student, or a file for `train`, is written there where the verdict is to use one.
    """
    if len(study.tasks) != 1 or dict(runs.facts or {}).get("missing"):
        return []
    (task,) = study.tasks
    advice = recommend(runs)
    recipe = annotator_recipes(study, task)
    sources = [source for source, keys in study.task_sources(task).items() if keys.is_annotator]
    if len(sources) != 1 or study.prompts or study.task_sources(task)[sources[0]].model_dump(exclude_defaults=True):
        # Labels of a changed recipe come from none of the files that the user has.
        return []
    one = next(iter(recipe.values()))
    file = recipe_file(study.tasks[task].recipe, study.folder)
    labeled = output / "labeled.parquet"
    steps = [f"labels of all rows, from stored answers: {_line('annotate', file, '-o', labeled)}"]
    if advice.verdict == "use the student":
        steps += _use_student(study, runs, advice.student or "", one, output)
    elif advice.verdict in ("use the LLM labels", "use the annotator itself"):
        steps.append(f"then estimates from them, corrected by the human labels: {_line('estimate', labeled)}")
    elif advice.verdict == "no verdict":
        answers = output / "labeled.jsonl"
        return [f"see the answers in {one.output.column}_raw: {_line('annotate', file, '-o', answers)}"]
    elif advice.verdict == "label more by hand":
        steps += _label_more(advice, runs, task, output, labeled)
    elif advice.maker == "encoder":
        steps = ["ask an LLM: the same command with `--model` (and `--base-url`) and another `-o`"]
    else:
        steps = [f"define the labels in {file} and run the study again, or label the other rows by hand"]
    return steps


def first_steps(recipe: Path) -> list[str]:
    """Commands for the user's own table, after the demo.

    Args:
        recipe: a recipe of the demo, to copy from.
    """
    ask = ("--ask", "What is it about?", "--model", "gpt-4.1-mini", "--budget-usd", 2)
    return [
        f"Next: your own table, here {TABLE}, with the columns `text` and, in at least 40 rows, `label`.",
        "  A first look, offline, and the same with an LLM:",
        f"    {_line('study', TABLE, '--quick', '-o', 'results')}",
        f"    {_line('study', TABLE, *ask, '-o', 'results-llm')}",
        "  Each writes recipe.yaml and study.yaml into its folder. Define the labels in the recipe; then step by step:",
        f"    {_line('annotate', 'results/recipe.yaml', '-o', 'labeled.parquet')}",
        f"    {_line('sample', 'labeled.parquet', '-n', 250, '--existing-labels', 'ignore', '-o', 'sampled.parquet')}",
        f"    {_line('review', 'sampled.parquet', '--recipe', 'results/recipe.yaml', '--open')}",
        f"    {_line('review', 'export', 'sampled.parquet', '-o', 'reviewed.parquet')}",
        f"    {_line('validate', 'reviewed.parquet', '--gate', 'macro_f1>=0.7')}",
        f"    {_line('estimate', 'reviewed.parquet')}",
        f"  A recipe with examples is in {recipe}.",
    ]


def _label_more(advice: Recommendation, runs: StudyRuns, task: str, output: Path, labeled: Path) -> list[str]:
    left = runs.unlabelled_rows(task)
    if not left:
        return ["every row has a human label: add rows to the table, or decide with a wider `margin`"]
    # A study of a table tests on half of its human labels.
    rows = min(left, 2 * advice.more if advice.more else FEWEST)
    drawn, sheet = output / "sampled.parquet", output / "to_label.csv"
    return [
        f"draw {rows:,} of the {left:,} rows without a human label: "
        f"{_line('sample', labeled, '-n', rows, '-o', drawn, '--to-label', sheet)}",
        f"fill in {sheet}, then: {_line('merge', drawn, sheet, '-o', drawn)}",
        f"and run a study of {drawn} with another `-o`",
    ]


def _use_student(study: Study, runs: StudyRuns, student: str, recipe: Recipe, output: Path) -> list[str]:
    """Commands for the student of the verdict: a regression is saved at once, an encoder is trained on all labels."""
    labeled, place = output / "labeled.parquet", output / "student"
    use = f"label any table with it: {_line('predict', place, labeled, '-o', output / 'predicted.parquet')}"
    if study.learner(student) == "encoder":
        file = _student_file(study, student, recipe, output)
        return [f"train the student, saved in {place}: {_line('train', file, '--data', labeled)}", use]
    (task,) = study.tasks
    kind = recipe.schema_of_labels().kind
    cells = [
        run.cell
        for run in runs.tasks[0].cells
        if run.cell.student == student and run.cell.strategy == "plain" and study.asks(task, run.cell.source)
    ]
    if kind not in SAVED_KINDS or study.learner(student) not in ("tfidf", "vectors") or not cells:
        return []
    # All labels, and the first seed.
    cell = min(cells, key=lambda each: (each.size is not None, -(each.size or 0), each.seed))
    job = open_task(study, task, output, lambda _: None).job(cell)
    SavedRegression.fit(job, open_tables(job.place)).save(place)
    return [f"the student {student!r} is saved in {place}; {use}"]


def _student_file(study: Study, student: str, recipe: Recipe, output: Path) -> Path:
    """A file for `train` with the options of one of the study's encoders."""
    given, schema = study.students[student], recipe.schema_of_labels()
    assert isinstance(given, dict)
    options = {name: value for name, value in given.items() if name not in ("min_steps", "task")}
    if schema.scale is not None:
        options |= {"task": "text-scale", "scale": [schema.scale.low, schema.scale.high, schema.scale.step or 0]}
    columns, label = list(recipe.task.columns), recipe.output.column
    options |= {"text_columns": columns, "label_column": label, "output_dir": str(output / "student")}
    path = output / "student.yaml"
    path.write_text(yaml.safe_dump({"student": options}, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def _line(*words: object) -> str:
    return shlex.join(["hf-synthlabels", *map(str, words)])
