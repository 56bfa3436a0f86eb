"""A codebook over recorded answers of several models and tasks gives what the recipe of each variable gives."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels import annotate, validate
from hf_synthlabels.annotation import read_recipe

DATA = Path(os.environ.get("HF_SYNTHLABELS_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
"""Read before any test hides the variable."""

TASKS = {
    "emotion": "emotion",
    "politeness": "wiki_politeness",
    "humor": "reddit_humor",
    "ideology": "ibc",
    "stance_trump": "semeval_stance",
}
MODELS = ("gpt_4", "gpt_3_5", "mixtral_8x7b", "llama_13b", "flan_t5_base")
PARTS = ("", "_status", "_raw", "_note", "_confidence")


def rows_of(*parts: str) -> Iterator[dict[str, Any]]:
    file = DATA.joinpath(*parts)
    if not file.is_file():
        pytest.skip(f"no local copy of {'/'.join(parts)} in HF_SYNTHLABELS_DATA")
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def codebook(variables: dict[str, Any], column: str) -> dict[str, Any]:
    return {
        "name": "recorded",
        "source": {"path": "json"},
        "task": {"variables": variables},
        "annotator": {"client": "recorded", "column": column},
    }


def keys_of(recipe: str, **more: Any) -> dict[str, Any]:
    task = read_recipe(recipe).task
    return {"kind": task.kind, "labels": task.labels, "instructions": task.instructions, **more}


def scores(rows: Dataset, human: str, llm: str) -> dict[str, Any]:
    report = validate(rows, human=human, llm=llm, resamples=200).to_dict()
    return {key: value for key, value in report.items() if key not in ("human", "llm", "rows", "statuses")}


def test_tasks_of_social_science_in_one_codebook_equal_their_recipes() -> None:
    alone = {name: list(rows_of("css_ziems", f"{file}.jsonl")) for name, file in TASKS.items()}
    rows: list[dict[str, Any]] = []
    for name, part in alone.items():
        for row in part:
            given = {f"{name}_chatgpt": row["llm:chatgpt"], f"{name}_human": row["label"]}
            empty = {f"{other}_{kind}": None for other in TASKS for kind in ("chatgpt", "human")}
            rows.append({"text": row["text"], "task": name, **empty, **given})
    assert len(rows) == sum(map(len, alone.values())) > 2000
    variables = {name: keys_of(name, human=f"{name}_human") for name in TASKS}
    coded = annotate(Dataset.from_list(rows), codebook(variables, "{variable}_chatgpt"))
    for name, part in alone.items():
        single = annotate(
            Dataset.from_list([{k: row[k] for k in ("text", "label", "llm:chatgpt")} for row in part]), name
        )
        own = coded.filter(lambda task, name=name: task == name, input_columns="task")
        for suffix in PARTS:
            assert own[f"{name}{suffix}"] == single[f"llm_label{suffix}"], (name, suffix)
        assert scores(own, f"{name}_human", name) == scores(single, "label", "llm_label"), name
        # Human labels of a variable are only in its rows, so the other rows change no score.
        whole, expected = (scores(data, f"{name}_human", name)["scores"] for data in (coded, own))
        assert whole["accuracy"] == expected["accuracy"], name


@pytest.mark.parametrize("form", ["a column for each variable", "joint answers"])
def test_answers_of_several_models_about_the_same_rows_equal_their_recipes(form: str) -> None:
    rows = []
    for row in rows_of("media_bias_babe", "babe_train_dev.jsonl"):
        answers = {f"llm:{model}": row[f"llm:{model}"] for model in MODELS}
        joint = json.dumps({model: row[f"llm:{model}"] for model in MODELS})
        rows.append({"text": row["text"], "label": row["label"], "joint": joint, **answers})
    assert len(rows) == 3021
    is_joint = form == "joint answers"
    # Without an answer to read a row is skipped, but a joint answer without a value for a model is unparsed.
    complete = [row for row in rows if None not in row.values()]
    assert len(complete) > 2900
    table = Dataset.from_list(complete if is_joint else rows)
    variables = dict.fromkeys(MODELS, keys_of("babe", human="label"))
    coded = annotate(table, codebook(variables, "joint" if is_joint else "llm:{variable}"))
    for model in MODELS:
        recipe = codebook({}, f"llm:{model}") | {"task": keys_of("babe", human="label")}
        single = annotate(table, recipe)
        for suffix in ("",) if is_joint else PARTS:
            assert coded[f"{model}{suffix}"] == single[f"llm_label{suffix}"], (model, suffix)
        assert scores(coded, "label", model) == scores(single, "label", "llm_label"), model
