"""Labels for a data set that is at hand: its rows stay, the label columns come beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, IterableDataset, List, Value, load_from_disk

from hf_synthlabels.annotation import annotate, provenance
from hf_synthlabels.clients import Completion, ScriptedClient, Usage
from hf_synthlabels.errors import DataError, RecipeError
from hf_synthlabels.labels import STATUSES

TEXTS = ["a film", "a match", "", "music?", "a film of a match"]
ANSWERS = {"a film": "film", "a match": "Sport.", "music?": "neither", "a film of a match": "film"}


def recipe(**parts: Any) -> dict[str, Any]:
    return {
        "name": "films",
        "source": {"path": "json"},
        "task": {"kind": "text-classification", "labels": ["film", "sport"]},
        "annotator": {"client": "openai", "model": "tiny"},
    } | parts


def data() -> Dataset:
    return Dataset.from_dict({"id": [5, 4, 3, 2, 1], "text": TEXTS})


@pytest.fixture
def client() -> ScriptedClient:
    return ScriptedClient(ANSWERS)


EXPECTED_CODES = [0, 1, None, None, 0]
EXPECTED_STATUSES = ["labelled", "labelled", "skipped", "unparsed", "labelled"]


def test_dataset(client: ScriptedClient) -> None:
    found = annotate(data(), recipe(), client=client)
    assert found["id"] == [5, 4, 3, 2, 1]
    assert found["text"] == TEXTS
    assert found["llm_label"] == EXPECTED_CODES
    assert [STATUSES[code] for code in found["llm_label_status"]] == EXPECTED_STATUSES
    assert found["llm_label_raw"] == ["film", "Sport.", None, "neither", "film"]
    assert found["llm_label_note"][2] == "the row has no text"
    assert found["llm_label_confidence"] == [None] * 5
    assert found.features == data().features | {
        "llm_label": ClassLabel(names=["film", "sport"]),
        "llm_label_status": ClassLabel(names=list(STATUSES)),
        "llm_label_confidence": Value("float32"),
        "llm_label_raw": Value("string"),
        "llm_label_note": Value("string"),
    }
    assert [request.text for request in client.requests] == list(ANSWERS)


def test_soft_labels_follow_the_order_of_the_names() -> None:
    sure = Completion(0, text="sport", probabilities={"sport": 0.75, "film": 0.25})
    found = annotate(
        Dataset.from_dict({"text": ["a", ""]}),
        recipe(output={"column": "llm", "probabilities": True}),
        client=ScriptedClient([sure]),
    )
    assert found.features["llm_probs"] == List(Value("float32"))
    assert found["llm_probs"] == [[0.25, 0.75], None]
    assert found["llm_confidence"] == [0.75, None]


def test_dataset_dict(client: ScriptedClient) -> None:
    splits = DatasetDict({"train": data(), "test": data().select([1, 0])})
    found = annotate(splits, recipe(), client=client)
    assert isinstance(found, DatasetDict)
    assert found["train"]["llm_label"] == EXPECTED_CODES
    assert found["test"]["llm_label"] == [1, 0]
    # The second split has nothing that was not asked for the first.
    assert len(client.requests) == 4


def test_iterable_dataset_is_annotated_as_it_is_read(client: ScriptedClient) -> None:
    stream = annotate(data().to_iterable_dataset(), recipe(), client=client)
    assert isinstance(stream, IterableDataset)
    assert client.requests == []
    table = annotate(data(), recipe(), client=ScriptedClient(ANSWERS))
    assert stream.features == table.features
    assert list(stream) == table.to_list()


def test_iterable_dataset_without_known_features(client: ScriptedClient) -> None:
    def rows() -> Any:
        for text in TEXTS:
            yield {"text": text}

    stream = annotate(IterableDataset.from_generator(rows), recipe(), client=client)
    assert [row["llm_label"] for row in stream] == EXPECTED_CODES


def test_selected_and_shuffled_rows_keep_their_order(client: ScriptedClient) -> None:
    found = annotate(data().select([4, 1, 0]), recipe(), client=client)
    assert found["id"] == [1, 4, 5]
    assert found["llm_label"] == [0, 1, 0]


def test_many_rows_keep_number_and_order() -> None:
    count = 2500
    texts = [f"{number} {'film' if number % 7 else 'match'}" for number in range(count)]
    client = ScriptedClient(lambda request: "film" if "film" in request.text else "sport")
    stream = annotate(Dataset.from_dict({"text": texts}).to_iterable_dataset(), recipe(), client=client)
    rows = list(stream)
    assert [row["text"] for row in rows] == texts
    assert [row["llm_label"] for row in rows] == [0 if number % 7 else 1 for number in range(count)]


def test_progress_counts_every_row(client: ScriptedClient) -> None:
    told: list[int] = []
    annotate(data(), recipe(), client=client, progress=told.append)
    assert sum(told) == 5


def test_taken_column(subtests: pytest.Subtests, client: ScriptedClient) -> None:
    takens: list[str] = ["llm_label", "llm_label_status", "llm_label_raw"]
    streams: list[bool] = [False, True]
    for stream in streams:
        for taken in takens:
            with subtests.test(repr((taken, stream))):
                rows = data().add_column(taken, ["x"] * 5)
                with pytest.raises(RecipeError) as caught:
                    annotate(rows.to_iterable_dataset() if stream else rows, recipe(), client=client)
                assert str(caught.value) == (
                    f"`output.column` 'llm_label' would overwrite the source's column {taken!r}. Choose another name."
                )
                assert client.requests == []


@pytest.mark.parametrize("stream", [False, True])
def test_missing_column(client: ScriptedClient, stream: bool) -> None:
    rows = data().rename_column("text", "texts")
    with pytest.raises(DataError) as caught:
        annotate(rows.to_iterable_dataset() if stream else rows, recipe(), client=client)
    assert str(caught.value).startswith(
        "`task.text` names the column 'text', which is not in the data set. Did you mean 'texts'?"
    )


def test_missing_human_column(client: ScriptedClient) -> None:
    task = recipe()["task"] | {"human": "gold"}
    with pytest.raises(DataError, match=r"`task\.human` names the column 'gold'"):
        annotate(data(), recipe(task=task), client=client)


def test_empty_data_set(client: ScriptedClient) -> None:
    with pytest.raises(DataError, match=r"^`dataset` has no rows\. Give data with rows\.$"):
        annotate(data().select([]), recipe(), client=client)


def test_provenance(client: ScriptedClient) -> None:
    answer = Completion(0, text="film", usage=Usage(100, 10), model="tiny-1")
    annotator = {
        "client": "openai",
        "model": "tiny",
        "price": {"input_usd_per_mtok": 2.0, "output_usd_per_mtok": 5.0},
        "api_key_env": "SOME_KEY",
    }
    found = annotate(data(), recipe(annotator=annotator), client=ScriptedClient([answer] * 4))
    (entry,) = provenance(found)
    assert (entry["column"], entry["recipe"]) == ("llm_label", "films")
    assert entry["annotator"]["model"] == "tiny"
    assert "api_key_env" not in entry["annotator"]
    assert entry["returned_models"] == ["tiny-1"]
    assert entry["tally"] == {
        "rows": 5,
        "statuses": {"labelled": 4, "skipped": 1},
        "requests": 4,
        "stored": 0,
        "prompt_tokens": 400,
        "completion_tokens": 40,
        "cached_tokens": 0,
        "models": {"tiny-1": 4},
        "failures": {},
        "reasons": {"skipped: the row has no text": 1},
        "truncated_prompts": {},
    }
    # 400 tokens at 2 and 40 at 5 dollars a million.
    assert entry["cost_usd"] == pytest.approx(0.001)


def test_cost_is_unknown_without_a_price(client: ScriptedClient) -> None:
    assert provenance(annotate(data(), recipe(), client=client))[0]["cost_usd"] is None


def test_provenance_survives_the_disk(client: ScriptedClient, tmp_path: Path) -> None:
    found = annotate(DatasetDict({"train": data()}), recipe(), client=client)
    found.save_to_disk(str(tmp_path / "saved"))
    again = load_from_disk(str(tmp_path / "saved"))
    assert provenance(again) == provenance(found)
    assert len(provenance(again)) == 1


def test_provenance_keeps_the_description(client: ScriptedClient) -> None:
    rows = data()
    rows.info.description = "Five short texts."
    found = annotate(rows, recipe(), client=client)
    assert found.info.description.startswith("Five short texts.\n\n```json hf_synthlabels\n")
    assert rows.info.description == "Five short texts."


def test_no_provenance_without_annotation() -> None:
    assert provenance(data()) == []


def test_two_columns_keep_both_records(client: ScriptedClient) -> None:
    once = annotate(data(), recipe(), client=client)
    other = ScriptedClient(lambda _: "sport")
    task = recipe()["task"] | {"instructions": "What is it on?"}
    twice = annotate(once, recipe(name="others", task=task, output={"column": "second"}), client=other)
    assert [(entry["column"], entry["recipe"]) for entry in provenance(twice)] == [
        ("llm_label", "films"),
        ("second", "others"),
    ]
    assert provenance(twice)[0] == provenance(once)[0]
    assert twice["llm_label"] == EXPECTED_CODES
    assert twice["second"] == [1, 1, None, 1, 1]
    # The data set that it began with is as it was.
    assert len(provenance(once)) == 1


def test_answers_are_kept_between_calls(client: ScriptedClient) -> None:
    annotate(data(), recipe(), client=client)
    silent = ScriptedClient({})
    found = annotate(data(), recipe(), client=silent)
    assert found["llm_label"] == EXPECTED_CODES
    assert silent.requests == []
