"""A recipe that is wrong says in one line which field, and how to repair it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hf_synthlabels.annotation import AnnotatorConfig, Recipe, Task, load, read_recipe
from hf_synthlabels.clients.config import CLIENT_KEYS
from hf_synthlabels.errors import RecipeError

GOOD = """\
name: films
source:
  path: json
  data_files: rows.jsonl
task:
  kind: text-classification
  text: text
  instructions: What is it about?
  labels:
    film: moving pictures
    sport: games and matches
annotator:
  client: openai
  model: tiny
"""

RECORDED = "  client: recorded\n  column: answer\n"
OPENAI = "  client: openai\n  model: tiny\n"
LABELS = "  labels:\n    film: moving pictures\n    sport: games and matches\n"


def write(folder: Path, text: str, name: str = "recipe.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def wrong(path: Path | str) -> str:
    """The message of the error that a recipe is: one line that names the file with its folder, left out here."""
    with pytest.raises(RecipeError) as caught:
        Recipe.from_yaml(path)
    message = str(caught.value)
    assert "\n" not in message
    if str(path) != Path(path).name and "cannot be read" not in message:
        assert str(path) in message
        message = message.replace(str(path), Path(path).name)
    return message


def test_the_recipe_that_the_others_are_changed_from_is_right(tmp_path: Path) -> None:
    recipe = Recipe.from_yaml(write(tmp_path, GOOD))
    assert recipe.name == "films"
    assert recipe.task.columns == ["text"]
    assert recipe.schema_of_labels().names == ("film", "sport")
    assert recipe.output.column == "llm_label"
    assert recipe.paths.resolve("rows.jsonl") == str(tmp_path / "rows.jsonl")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            GOOD.replace("annotator:", "annotator1:"),
            "recipe.yaml: `annotator` is missing, and `annotator1` is not a key. Rename it to `annotator`.",
            id="a misspelt section is missing and named",
        ),
        pytest.param(
            GOOD + "outputs:\n  column: a\n",
            "recipe.yaml: `outputs` is not a key. Did you mean `output`? "
            "Valid keys: name, source, task, annotator, output, engine.",
            id="unknown key at the top",
        ),
        pytest.param(
            changed("  instructions:", "  instruction:"),
            "recipe.yaml: `task.instruction` is not a key. Did you mean `instructions`? "
            "Valid keys: " + ", ".join(Task.model_fields) + ".",
            id="unknown key of the task",
        ),
        pytest.param(
            GOOD + "  temprature: 0.5\n",
            "recipe.yaml: `annotator.temprature` is not a key. Did you mean `temperature`? Valid keys: "
            + ", ".join([*CLIENT_KEYS, *list(AnnotatorConfig.model_fields)[1:]])
            + ".",
            id="unknown key of the annotator",
        ),
        pytest.param(
            GOOD + "  zzz: 1\n  price: {input_usd_per_mtok: 1, output_usd_per_mtok: 2}\n",
            "recipe.yaml: `annotator.zzz` is not a key. Valid keys: "
            + ", ".join([*CLIENT_KEYS, *list(AnnotatorConfig.model_fields)[1:]])
            + ".",
            id="no suggestion where nothing is near",
        ),
        pytest.param(
            changed("name: films\n", "name: films\nname: others\n"),
            "recipe.yaml, line 2: `name` stands twice in one mapping. Correct the YAML.",
            id="a key twice at the top",
        ),
        pytest.param(
            changed("    sport: games and matches\n", "    film: games and matches\n"),
            "recipe.yaml, line 11: `film` stands twice in one mapping. Correct the YAML.",
            id="a label twice in a mapping",
        ),
        pytest.param(
            changed(LABELS, "  labels: [film, sport, Film]\n"),
            "recipe.yaml: `task.labels` ",
            id="labels that differ in case only",
        ),
        pytest.param(
            changed(LABELS, "  labels: [film, '']\n"),
            "recipe.yaml: `task.labels` ",
            id="an empty label name",
        ),
        pytest.param(
            changed(LABELS, "  labels: []\n"),
            "recipe.yaml: `task.labels` ",
            id="an empty list of labels",
        ),
        pytest.param(
            changed(LABELS, "  labels: {}\n"),
            "recipe.yaml: `task.labels` ",
            id="an empty mapping of labels",
        ),
        pytest.param(
            changed(LABELS, ""),
            "recipe.yaml: `task.labels` ",
            id="labels missing",
        ),
        pytest.param(
            changed(LABELS, "  labels: [yes, no]\n"),
            "recipe.yaml: `task.labels` has the name True, which YAML reads as a truth value. Put it in quotes.",
            id="truth values as names in a list",
        ),
        pytest.param(
            changed(LABELS, "  labels:\n    off: not on\n    'on': not off\n"),
            "recipe.yaml: `task.labels` has the name False, which YAML reads as a truth value. Put it in quotes.",
            id="truth values as names in a mapping",
        ),
        pytest.param(
            changed(LABELS, "  labels: [1, 2]\n"),
            "recipe.yaml: `task.labels` has the name 1, which YAML reads as int. Put it in quotes.",
            id="numbers as names",
        ),
        pytest.param(
            changed("kind: text-classification", "kind: text-pair"),
            "recipe.yaml: `task.text` is 'text'; kind 'text-pair' compares two columns. Give a list of two.",
            id="a pair of one column",
        ),
        pytest.param(
            changed("kind: text-classification", "kind: question-answering\n  question: title"),
            "recipe.yaml: `task.question` and `task.context` are 'title' and None: kind 'question-answering' needs "
            "both, or `instructions` with one question about `text`; other kinds none.",
            id="a question without its column",
        ),
        pytest.param(
            changed("kind: text-classification", "kind: text-generation"),
            "recipe.yaml: `task.labels` ",
            id="labels for a free text",
        ),
        pytest.param(
            changed("name: films", "name: my films"),
            "recipe.yaml: `name` is 'my films'. Use letters, digits, '.', '_' and '-'.",
            id="a name that can be no folder",
        ),
        pytest.param(
            GOOD + "  num_samples: 3\n",
            "recipe.yaml: `annotator` has `num_samples: 3` at `temperature` 0, where all samples are equal. Raise it.",
            id="draws at temperature 0",
        ),
        pytest.param(
            changed(OPENAI, "  client: recorded\n"),
            "recipe.yaml: `annotator` of client 'recorded' needs either `column` or `file`.",
            id="recorded with neither column nor file",
        ),
        pytest.param(
            changed(OPENAI, RECORDED + "  file: answers.jsonl\n"),
            "recipe.yaml: `annotator` of client 'recorded' needs either `column` or `file`.",
            id="recorded with both column and file",
        ),
        pytest.param(
            changed("  model: tiny\n", ""),
            "recipe.yaml: `annotator` needs `model`: the name on the server, a folder, or a Hub id.",
            id="openai without a model",
        ),
        pytest.param(
            "",
            "recipe.yaml: a recipe is a mapping with `name`, `source`, `task` and `annotator`.",
            id="an empty file",
        ),
        pytest.param(
            "- a\n- b\n",
            "recipe.yaml: a recipe is a mapping with `name`, `source`, `task` and `annotator`.",
            id="a list",
        ),
    ],
)
def test_message_names_the_field(tmp_path: Path, text: str, message: str) -> None:
    assert wrong(write(tmp_path, text)).startswith(message)


def test_unknown_kind_lists_the_kinds(tmp_path: Path) -> None:
    message = wrong(write(tmp_path, changed("kind: text-classification", "kind: text-clasification")))
    assert message.startswith("recipe.yaml: `task.kind` is 'text-clasification'. ")
    assert "'text-classification'" in message
    assert "'multi-label'" in message


def test_unknown_client_lists_the_clients(tmp_path: Path) -> None:
    message = wrong(write(tmp_path, changed("client: openai", "client: opnai")))
    assert message.startswith("recipe.yaml: `annotator.client` is 'opnai'. ")
    assert all(name in message for name in ("'openai'", "'embedding'", "'recorded'"))


@pytest.mark.parametrize("address", ["localhost:8000/v1", "http://localhost:8000/v1/chat/completions", "''"])
def test_an_address_that_is_none_is_an_error_of_the_recipe(tmp_path: Path, address: str) -> None:
    message = wrong(write(tmp_path, GOOD + f"  api_key_env: null\n  base_url: {address}\n"))
    assert message.startswith("recipe.yaml: `annotator.base_url` is ")


def test_draws_of_zero_are_refused(tmp_path: Path) -> None:
    message = wrong(write(tmp_path, GOOD + "  num_samples: 0\n"))
    assert message.startswith("recipe.yaml: `annotator.num_samples` is 0. ")


def test_draws_above_one_need_only_another_temperature(tmp_path: Path) -> None:
    recipe = Recipe.from_yaml(write(tmp_path, GOOD + "  num_samples: 3\n  temperature: 0.7\n"))
    assert recipe.annotator.num_samples == 3
    # Recorded answers have no temperature.
    recorded = changed(OPENAI, RECORDED + "  num_samples: 3\n")
    assert Recipe.from_yaml(write(tmp_path, recorded)).annotator.num_samples == 3


def test_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    assert wrong(path) == (
        f"`recipe` {str(path)!r} cannot be read: No such file or directory. Give the path of a YAML file."
    )


def test_file_that_is_not_yaml(tmp_path: Path) -> None:
    message = wrong(write(tmp_path, "name: [films\nsource: {"))
    assert re.fullmatch(r"recipe\.yaml, line \d+: .+\. Correct the YAML\.", message)


def test_tab_as_indentation_is_told_with_its_line(tmp_path: Path) -> None:
    message = wrong(write(tmp_path, "name: films\nsource:\n\tpath: json\n"))
    assert message.startswith("recipe.yaml, line 3: ")


def test_binary_file(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    assert wrong(path) == "`recipe` 'recipe.yaml' is not UTF-8 text. Give the path of a YAML file."


def test_text_with_a_character_that_yaml_forbids(tmp_path: Path) -> None:
    message = wrong(write(tmp_path, "name: \x00films\n"))
    assert message.startswith("recipe.yaml: ")
    assert message.endswith("Correct the YAML.")


def test_unknown_packaged_recipe_lists_those_that_there_are() -> None:
    with pytest.raises(RecipeError, match=r"`recipe` 'no_such' is neither .* one of: .*conference_titles"):
        read_recipe("no_such")


def test_data_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    text = changed("data_files: rows.jsonl", "data_files: ${HF_SYNTHLABELS_DATA}/rows.jsonl")
    text = text.replace("  path: json\n", "  path: json\n  homepage: https://example.org/rows\n")
    with pytest.raises(RecipeError) as caught:
        load(write(tmp_path, text), cache_dir=str(tmp_path / "cache"))
    assert str(caught.value) == (
        "`${HF_SYNTHLABELS_DATA}/rows.jsonl` needs the environment variable HF_SYNTHLABELS_DATA: the folder with your "
        "copy of the data. It is published at https://example.org/rows."
    )


def test_data_variable_is_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_SYNTHLABELS_DATA", "/data")
    recipe = Recipe.from_yaml(write(tmp_path, GOOD))
    assert recipe.paths.resolve("${HF_SYNTHLABELS_DATA}/a.jsonl") == "/data/a.jsonl"
    assert recipe.paths.resolve("https://example.org/a.jsonl") == "https://example.org/a.jsonl"


def test_examples_file_that_is_not_there(tmp_path: Path) -> None:
    recipe = Recipe.from_yaml(write(tmp_path, GOOD + "  examples: shown.jsonl\n"))
    with pytest.raises(RecipeError) as caught:
        recipe.read_examples()
    path = str(tmp_path / "shown.jsonl")
    assert str(caught.value) == f"`annotator.examples` {path!r} cannot be read: No such file or directory."


@pytest.mark.parametrize("in_file", [False, True])
def test_example_with_a_label_outside_the_schema(tmp_path: Path, in_file: bool) -> None:
    write(tmp_path, '{"text": "a goal", "label": "sports"}\n', "shown.jsonl")
    examples = "  examples: shown.jsonl\n" if in_file else "  examples: [{text: a goal, label: sports}]\n"
    recipe = Recipe.from_yaml(write(tmp_path, GOOD + examples))
    with pytest.raises(RecipeError) as caught:
        recipe.read_examples()
    assert str(caught.value) == "`annotator.examples` has the label 'sports' for 'a goal'. Use one of: film, sport."


def test_example_line_that_is_none_is_told_with_its_number(tmp_path: Path) -> None:
    write(tmp_path, '{"text": "a goal", "label": "sport"}\n{"txt": "a"}\n', "shown.jsonl")
    recipe = Recipe.from_yaml(write(tmp_path, GOOD + "  examples: shown.jsonl\n"))
    with pytest.raises(RecipeError) as caught:
        recipe.read_examples()
    assert str(caught.value) == (
        '`annotator.examples` \'shown.jsonl\', line 2: expected {"text": ..., "label": ...}, got \'{"txt": "a"}\'.'
    )


def test_example_file_that_is_binary(tmp_path: Path) -> None:
    (tmp_path / "shown.jsonl").write_bytes(b"\xff\xfe\x00")
    recipe = Recipe.from_yaml(write(tmp_path, GOOD + "  examples: shown.jsonl\n"))
    with pytest.raises(RecipeError, match=r"^`annotator\.examples` .*shown\.jsonl.* is not UTF-8"):
        recipe.read_examples()


def test_example_file_may_end_in_a_blank_line_and_hold_line_separators(tmp_path: Path) -> None:
    write(tmp_path, '{"text": "a\u2028goal", "label": "sport"}\n\n', "shown.jsonl")
    recipe = Recipe.from_yaml(write(tmp_path, GOOD + "  examples: shown.jsonl\n"))
    assert [(example.text, example.label) for example in recipe.read_examples()] == [("a\u2028goal", "sport")]


def test_fingerprint_ignores_comments_key_order_and_place(tmp_path: Path) -> None:
    first = Recipe.from_yaml(write(tmp_path, GOOD))
    parts = GOOD.split("annotator:\n")
    turned = "# the same\nannotator:\n  model: tiny # a name\n  client: openai\n" + parts[0]
    (tmp_path / "elsewhere").mkdir()
    second = Recipe.from_yaml(write(tmp_path / "elsewhere", turned, "other.yaml"))
    assert second.fingerprint() == first.fingerprint()
    assert re.fullmatch("[0-9a-f]{16}", first.fingerprint())


def test_fingerprint_changes_with_the_content(subtests: pytest.Subtests, tmp_path: Path) -> None:
    cases: list[tuple[str, str]] = [
        ("name: films", "name: movies"),
        ("rows.jsonl", "others.jsonl"),
        ("What is it about?", "What is it about"),
        ("moving pictures", "motion pictures"),
        ("model: tiny", "model: large"),
        ("  model: tiny\n", "  model: tiny\n  temperature: 0.5\n"),
    ]
    for old, new in cases:
        with subtests.test(repr((old, new))):
            first = Recipe.from_yaml(write(tmp_path, GOOD)).fingerprint()
            assert Recipe.from_yaml(write(tmp_path, changed(old, new))).fingerprint() != first


def test_order_of_labels_counts(tmp_path: Path) -> None:
    """The codes of the label column follow it."""
    first = Recipe.from_yaml(write(tmp_path, changed(LABELS, "  labels: [film, sport]\n")))
    second = Recipe.from_yaml(write(tmp_path, changed(LABELS, "  labels: [sport, film]\n")))
    assert first.fingerprint() != second.fingerprint()


def test_order_of_labels_counts_in_a_mapping_too(tmp_path: Path) -> None:
    first = Recipe.from_yaml(write(tmp_path, GOOD))
    turned = "  labels:\n    sport: games and matches\n    film: moving pictures\n"
    second = Recipe.from_yaml(write(tmp_path, changed(LABELS, turned)))
    assert first.schema_of_labels().names == ("film", "sport")
    assert second.schema_of_labels().names == ("sport", "film")
    assert first.fingerprint() != second.fingerprint()


@pytest.mark.parametrize(
    "row",
    [
        {"title": "a goal", "label": "film", "gold": "sport"},
        {"title": "a goal", "gold": "sport"},
        {"title": "a goal", "label": "sport", "gold": None},
    ],
)
def test_examples_that_are_rows_have_the_label_of_the_human_column(tmp_path: Path, row: dict[str, Any]) -> None:
    (tmp_path / "shown.jsonl").write_text(json.dumps(row) + "\n")
    content = yaml.safe_load(GOOD)
    content["task"] = {**content["task"], "text": "title", "human": "gold"}
    content["annotator"]["examples"] = "shown.jsonl"
    recipe = Recipe.from_dict(content, folder=tmp_path)
    assert [example.label for example in recipe.read_examples()] == ["sport"]
