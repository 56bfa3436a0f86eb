"""Runs that label nothing: they stop after 50 asked rows, say what to change, and go on when told to."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels.annotation import Recipe, annotate, load, provenance
from hf_synthlabels.annotation.compiler import compile_recipe, open_annotator
from hf_synthlabels.clients import Completion, Failure, ScriptedClient
from hf_synthlabels.errors import NothingLabeledError

UNREAD = Completion(0, text="music, I think")
TRUNCATED = Completion(0, text="The film", finish_reason="length")
REFUSED = Completion(0, text="I cannot", refusal=True)
BROKE = Completion(0, failure=Failure("over_budget", "the budget is used up"))
READ = Completion(0, text="film")


def recipe(**annotator: Any) -> dict[str, Any]:
    return {
        "name": "films",
        "source": {"path": "json"},
        "task": {"kind": "text-classification", "labels": ["film", "sport"], "abstain": True},
        "annotator": {"client": "openai", "model": "tiny", "api_key_env": None, **annotator},
    }


def run(answers: list[Completion], *, blank: int = 0, **annotator: Any) -> tuple[Dataset, ScriptedClient]:
    client = ScriptedClient(answers)
    rows = Dataset.from_dict({"text": [""] * blank + [f"row {number}" for number in range(len(answers))]})
    return annotate(rows, recipe(**annotator), client=client), client


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        (UNREAD, "task"),
        (TRUNCATED, "annotator.max_tokens"),
        (REFUSED, "annotator.model"),
        (BROKE, "annotator.budget_usd"),
    ],
)
@pytest.mark.parametrize("blank", [0, 60])
def test_a_run_without_labels_stops_after_fifty_asked_rows(answer: Completion, field: str, blank: int) -> None:
    with pytest.raises(NothingLabeledError) as caught:
        run([READ] * 24 + [answer] * 2000, blank=blank)
    assert f"`{field}`" in str(caught.value)
    assert "26 of the first 50 rows" in str(caught.value)
    assert (repr(answer.text) in str(caught.value)) == bool(answer.text)
    assert "\n" not in str(caught.value)


def test_other_runs_go_on(subtests: pytest.Subtests) -> None:
    cases: list[list[Completion]] = [
        [READ] * 25 + [UNREAD] * 100,
        [UNREAD] * 49,
        [Completion(0, text="abstain")] * 60,
        [READ] * 50 + [BROKE] * 500,
    ]
    for answers in cases:
        with subtests.test(repr(answers)):
            found, _ = run(answers)
            assert len(found) == len(answers)


@pytest.mark.parametrize(("answers", "ends"), [([BROKE] * 60, False), ([UNREAD] * 60, True)])
def test_a_budget_that_others_share_does_not_end_a_run(answers: list[Completion], ends: bool) -> None:
    """The other processes may have used it up before this one began; its own unread answers still end it."""
    rows = [{"text": f"row {number}"} for number in range(len(answers))]
    parsed = Recipe.from_dict(recipe())
    with (
        open_annotator(compile_recipe(parsed), {}, client=ScriptedClient(answers), alone=False) as annotator,
        pytest.raises(NothingLabeledError) if ends else nullcontext(),
    ):
        assert len(list(annotator.annotate(rows))) == len(rows)


def test_a_run_goes_on_when_told_to() -> None:
    found, client = run([UNREAD] * 300, keep_going=True)
    assert len(found) == len(client.requests) == 300
    assert set(found["llm_label"][:]) == {None}


def test_the_builder_stops_and_goes_on_as_well(tmp_path: Path) -> None:
    lines = "".join(f'{{"text": "row {number}", "said": "music {number}"}}\n' for number in range(80))
    (tmp_path / "rows.jsonl").write_text(lines)
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "name: films\nsource: {path: json, data_files: rows.jsonl}\n"
        "task: {kind: text-classification, labels: [film, sport]}\nannotator: {client: recorded, column: said}\n"
    )
    with pytest.raises(NothingLabeledError, match="'music 0' and 'music 1'"):
        load(path)
    assert len(load(path, keep_going=True)["train"]) == 80


def test_reasons_are_counted_without_what_differs_between_rows() -> None:
    answers = [Completion(0, text=f'{{"label": "music {number}"}}') for number in range(20)]
    client = ScriptedClient([*answers, READ, TRUNCATED])
    rows = Dataset.from_dict({"text": [f"row {number}" for number in range(22)]})
    (record,) = provenance(annotate(rows, recipe(), client=client))
    assert record["tally"]["reasons"] == {
        "truncated: the answer was cut at `max_tokens`": 1,
        "unparsed: `label` is …, not in the schema": 20,
    }
