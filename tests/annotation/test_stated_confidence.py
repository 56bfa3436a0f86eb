"""Stated confidence: its prompt, its strict reading, its columns, and several variables in one request."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels.annotation import Recipe, Strategy, annotate
from hf_synthlabels.annotation.prompting.answer_format import answer_form
from hf_synthlabels.annotation.prompting.stated_confidence import Elicitation, read_confidence
from hf_synthlabels.clients import Completion, ScriptedClient
from hf_synthlabels.errors import RecipeError
from hf_synthlabels.labels import LabelSchema, Scale, Token
from tests.annotation.test_strategies import annotate as annotated

FILMS = LabelSchema.from_labels({"film": "moving pictures", "sport": "games"}, abstain=True)
PERCENT = Strategy(confidence="elicited")
VERBAL = Strategy(confidence="verbal")
REASONED = Strategy(reasoning=True, confidence="elicited")


@pytest.mark.parametrize(
    ("elicitation", "value", "expected"),
    [
        ("elicited", 85, 0.85),
        ("elicited", 85.0, 0.85),
        ("elicited", "85 %", 0.85),
        ("elicited", 0, 0.0),
        ("elicited", "100", 1.0),
        ("elicited", 0.85, None),
        ("elicited", 101, None),
        ("elicited", -5, None),
        ("elicited", True, None),
        ("elicited", "high", None),
        ("elicited", "80-90", None),
        ("elicited", [85], None),
        ("elicited", None, None),
        ("verbal", "Very  High", 0.9),
        ("verbal", "medium", 0.5),
        ("verbal", "rather high", None),
        ("verbal", 85, None),
    ],
)
def test_values_are_read_strictly(elicitation: Elicitation, value: Any, expected: float | None) -> None:
    confidence, note = read_confidence(elicitation, value)
    assert confidence == expected
    assert bool(note) == (expected is None)


@pytest.mark.parametrize(
    ("strategy", "text", "label", "confidence"),
    [
        (PERCENT, '{"label": "film", "confidence": 85}', "film", 0.85),
        (PERCENT, '```json\n{"confidence": 85, "label": "film"}\n```', "film", 0.85),
        (PERCENT, "label: film\nconfidence: 85", "film", 0.85),
        (PERCENT, "**label:** film\n**confidence:** 85%", "film", 0.85),
        (PERCENT, "film\nconfidence: 85", "film", 0.85),
        # The label is kept without a valid confidence.
        (PERCENT, "label: film", "film", None),
        (PERCENT, "label: film\nconfidence: quite sure", "film", None),
        (PERCENT, '{"label": "film"}', "film", None),
        (PERCENT, '{"label": "film", "confidence": "85-90"}', "film", None),
        (PERCENT, '{"label": "film", "confidence": 20, "confidence": 90}', "film", None),
        # Only the last line is the confidence, and a quoted one is not.
        (PERCENT, "confidence: 20\nlabel: film\nconfidence: 85", "film", 0.85),
        (PERCENT, "confidence: 85\nlabel: film", "film", None),
        # No label, no confidence.
        (PERCENT, "label: cooking\nconfidence: 85", None, None),
        (PERCENT, "label: abstain\nconfidence: 85", None, None),
        (VERBAL, '{"label": "film", "confidence": "very low"}', "film", 0.1),
        (VERBAL, "label: film\nconfidence: High.", "film", 0.7),
        (VERBAL, "label: film\nconfidence: 85", "film", None),
        (REASONED, "Pictures move, says it.\nlabel: film\nconfidence: 85", "film", 0.85),
        (REASONED, '{"reasoning": "confidence: 3", "label": "film", "confidence": 85}', "film", 0.85),
    ],
)
def test_an_answer_gives_its_label_and_its_confidence(
    strategy: Strategy, text: str, label: str | None, confidence: float | None
) -> None:
    (result,), _, _ = annotated(FILMS, strategy, [text], 1)
    assert (result.label, result.confidence) == (label, confidence)
    if label is not None:
        assert ("confidence" in result.reason) == (confidence is None)


@pytest.mark.parametrize("strategy", [PERCENT, VERBAL, REASONED])
def test_prompt_and_schema_request_the_confidence_after_the_label(strategy: Strategy) -> None:
    properties = strategy.response_schema(FILMS)["properties"]
    assert list(properties)[-2:] == ["label", "confidence"]
    for as_json in (False, True):
        form = answer_form(FILMS, strategy, as_json=as_json)
        assert form.index("label") < form.rindex("confidence")
        assert ("very low (10%)" in form) == (strategy is VERBAL)


def test_several_samples_have_the_mean_confidence_of_those_that_agree() -> None:
    answers = [
        "label: film\nconfidence: 90",
        "label: sport\nconfidence: 100",
        "label: film\nconfidence: 70",
        "label: film\nconfidence: unknown",
    ]
    (result,), _, _ = annotated(FILMS, PERCENT, answers, 1, num_samples=4)
    assert result.label == "film"
    assert result.confidence == pytest.approx((0.9 + 0.7) / 2)
    assert result.agreement == 3 / 4


def test_log_probabilities_stay_beside_a_stated_confidence() -> None:
    parts = ["label", ":", " ", "film", "\n", "confidence", ":", " 85"]
    chosen = (("film", math.log(0.8)), ("sport", math.log(0.2)))
    tokens = [Token(part, *((chosen[0][1], chosen) if part == "film" else (0.0, ((part, 0.0),)))) for part in parts]
    (result,), _, _ = annotated(FILMS, PERCENT, [Completion(0, "".join(parts), tokens=tuple(tokens))], 1)
    assert result.confidence == 0.85
    assert result.probabilities == pytest.approx({"film": 0.8, "sport": 0.2})


def test_numbers_have_a_confidence() -> None:
    stars = LabelSchema(kind="text-scale", scale=Scale(1, 5))
    (result,), _, _ = annotated(stars, PERCENT, ["label: 4\nconfidence: 60"], 1)
    assert (result.label, result.confidence) == (4, 0.6)


def recipe(**task: Any) -> dict[str, Any]:
    return {
        "name": "films",
        "source": {"path": "json", "split": "train"},
        "task": {"kind": "text-classification", "labels": ["film", "sport"], "confidence": "elicited", **task},
        "annotator": {
            "client": "openai",
            "model": "m",
            "base_url": "http://localhost:1/v1",
            "num_samples": 2,
            "temperature": 1,
        },
    }


@pytest.mark.parametrize("key", [{"rows_per_call": 3}, {"candidates": 2}, {"long_text": {"max_tokens": 100}}])
def test_a_confidence_needs_a_stated_label(key: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"`task\.confidence`"):
        annotate(Dataset.from_dict({"text": ["x"]}), recipe(**key))


def test_columns_hold_the_stated_confidence_and_the_agreement() -> None:
    rows = Dataset.from_dict({"text": ["x"]})
    answers = ["label: film\nconfidence: 90", "label: film\nconfidence: 80"]
    labeled = annotate(rows, recipe(), client=ScriptedClient(answers))
    assert labeled["llm_label_confidence"][0] == pytest.approx(0.85)
    assert labeled["llm_label_agreement"][0] == 1


def codebook(elicitation: str, **annotator: Any) -> dict[str, Any]:
    return {
        "name": "codes",
        "source": {"path": "json", "split": "train"},
        "task": {
            "confidence": elicitation,
            "variables": {
                "topic": {"kind": "text-classification", "labels": ["film", "sport"]},
                "tone": {"kind": "text-scale", "scale": {"low": 1, "high": 5}, "reasoning": True},
                "hero": {
                    "kind": "text-classification",
                    "labels": ["yes", "no"],
                    "ask_if": {"variable": "topic", "is": ["film"]},
                },
            },
        },
        "annotator": {"client": "openai", "model": "m", "base_url": "http://localhost:1/v1", **annotator},
    }


JOINT = {
    "topic": "film",
    "topic_confidence": 90,
    "tone_reasoning": "hero_confidence: 3",
    "tone": 4,
    "tone_confidence": "sure",
    "hero": "yes",
    "hero_confidence": 55,
}


@pytest.mark.parametrize("response_format", ["text", "json_schema"])
def test_each_variable_of_a_joint_answer_has_its_confidence(response_format: str) -> None:
    texts = {
        "json_schema": json.dumps(JOINT),
        "text": "\n".join(f"{name}: {value}" for name, value in JOINT.items() if name != "tone_reasoning"),
    }
    rows = Dataset.from_dict({"text": ["x", "y"]})
    client = ScriptedClient([texts[response_format]] * 2)
    labeled = annotate(rows, codebook("elicited", response_format=response_format), client=client)
    for row in labeled:
        assert row["topic_confidence"] == pytest.approx(0.9)
        assert row["hero_confidence"] == pytest.approx(0.55)
        assert (row["tone"], row["tone_confidence"]) == (4, None)
        assert "confidence" in row["tone_note"]
    prompt = client.requests[0].messages[0].content
    assert "topic_confidence" in prompt
    assert "hero_confidence" in prompt


def test_rows_with_a_low_stated_confidence_can_be_escalated() -> None:
    content = recipe()
    second = {"client": "openai", "model": "large", "base_url": "http://localhost:1/v1"}
    content["annotator"] = {**second, "model": "small", "escalate": {"below": 0.8, "to": second}}
    assert Recipe.from_dict(content).annotator.second is not None
    del content["task"]["confidence"]
    with pytest.raises(RecipeError, match="`escalate`"):
        Recipe.from_dict(content)
