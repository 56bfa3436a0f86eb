"""Long texts: parts cover the text, and their labels become one at the right places."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_synthlabels.annotation import compile_recipe, compile_variable, export_answers, plan
from hf_synthlabels.annotation.run.long_texts import TextPart, combined_parts, split_text
from hf_synthlabels.clients import Completion, Failure, Request, ScriptedClient
from hf_synthlabels.clients.token_estimates import estimate_tokens
from hf_synthlabels.errors import AllFailedError, RecipeError
from hf_synthlabels.labels import Annotation, Entity, LabelSchema

SENTENCE = st.lists(st.sampled_from(["Ann", "Bob", "Oslo", "met", "in", "the", "rain", "日本", "x" * 9]), max_size=12)
TEXT = st.lists(
    st.tuples(SENTENCE, st.sampled_from([". ", '!" ', "?\n", "。", "; ", "  ", ".\n\n", "… "])), min_size=1, max_size=12
).map(lambda sentences: "".join(" ".join(words) + end for words, end in sentences))
NAMES = re.compile(r"\b(Ann|Bob|Oslo)\b", re.A)


def recipe(kind: str, long_text: Mapping[str, Any] | None, **task: Any) -> dict[str, Any]:
    return {
        "name": "long",
        "source": {"path": "json"},
        "task": {"kind": kind, "long_text": long_text, **task},
        "annotator": {"client": "openai", "model": "tiny", "response_format": "json_schema"},
    }


def annotated(content: dict[str, Any], text: str, answer: Callable[[Request], Any]) -> tuple[Annotation, int]:
    """The annotation of a text, and the number of requests."""
    job = compile_variable(content)
    client = ScriptedClient(
        lambda request: reply if isinstance(reply := answer(request), Completion) else json.dumps({"label": reply})
    )
    (annotation,) = job.annotator(job.prompt(), client, keep_going=True).annotate([{"text": text}])
    return annotation, len(client.requests)


@given(TEXT, st.integers(10, 60), st.integers(0, 9))
@settings(max_examples=200, deadline=None)
def test_parts_cover_the_text_in_order_and_none_is_too_long(text: str, max_tokens: int, overlap: int) -> None:
    parts = split_text(text, max_tokens, overlap)
    assert (parts[0].start, parts[-1].end) == (0, len(text))
    assert all(estimate_tokens(text[part.start : part.end]) <= max_tokens for part in parts)
    for before, after in pairwise(parts):
        assert before.start < after.start <= before.end < after.end
        assert estimate_tokens(text[after.start : before.end]) <= overlap


@given(TEXT, st.integers(10, 60), st.integers(0, 9))
@settings(max_examples=150, deadline=None)
def test_entities_of_parts_are_those_of_the_unsplit_text(text: str, max_tokens: int, overlap: int) -> None:
    def mentions(request: Request) -> list[dict[str, str]]:
        return [{"text": match[0], "label": "name"} for match in NAMES.finditer(request.text)]

    limits = {"max_tokens": max_tokens, "overlap": overlap, "aggregate": "union"}
    annotation, _ = annotated(recipe("token-classification", limits, labels=["name"]), text, mentions)
    expected = tuple(Entity(match.start(), match.end(), match[0], "name") for match in NAMES.finditer(text))
    if text.strip():
        assert annotation.status == "labelled"
        assert annotation.label == expected


PARTS = [f"part{n} " + "word " * 8 + "end. " for n in range(3)]
"""Three sentences; each is a part of its own."""
LABELS = {"labels": ["a", "b", "c"]}
SCALE = {"scale": {"low": 1, "high": 5}}


@pytest.mark.parametrize(
    ("kind", "rule", "task", "answers", "label", "confidence"),
    [
        ("text-classification", "majority", LABELS, ["b", "a", "b"], "b", 2 / 3),
        ("text-classification", "majority", LABELS, ["c", "a", "b"], "c", 1 / 3),
        ("text-classification", "default", LABELS, ["b", "a", "b"], "b", 2 / 3),
        ("multi-label", "default", LABELS, [["c"], [], ["a", "c"]], ("a", "c"), None),
        ("multi-label", "any", LABELS, [["c"], [], ["a", "c"]], ("a", "c"), None),
        ("multi-label", "majority", LABELS, [["c"], [], ["a", "c"]], ("c",), None),
        ("text-scale", "mean", SCALE, [1, 2, 5], 3.0, None),
        ("text-scale", "mean", SCALE, [1, 1, 3], 2.0, None),
        ("text-scale", "mean", {"scale": {"low": 0, "high": 1, "step": None}}, [0, 0.25, 0.5], 0.25, None),
        ("text-scale", "mean", {"scale": {"low": 0, "high": 10, "step": 4}}, [0, 4, 8], 4.0, None),
    ],
)
def test_rules_give_the_label_that_is_computed_by_hand(
    kind: str, rule: str, task: dict[str, Any], answers: list[Any], label: Any, confidence: float | None
) -> None:
    def answer(request: Request) -> Any:
        return answers[int(request.text[4])]

    content = recipe(kind, {"max_tokens": 15, "aggregate": rule}, **task)
    annotation, requests = annotated(content, "".join(PARTS), answer)
    assert requests == 3
    assert (annotation.label, annotation.confidence) == (label, confidence)
    assert len(json.loads(annotation.raw or "")) == 3
    short, requests = annotated(content, PARTS[0], answer)
    assert (short.status, requests) == ("labelled", 1)
    assert (json.loads(short.raw or "") or {})["label"] == answers[0]


def test_parts_without_a_label_decide_the_status() -> None:
    content = recipe("text-classification", {"max_tokens": 15, "aggregate": "majority"}, abstain=True, **LABELS)
    given_answers: list[Any] = ["abstain", "b", "a"]
    text = "".join(PARTS)
    annotation, _ = annotated(content, text, lambda request: given_answers[int(request.text[4])])
    assert (annotation.label, annotation.confidence) == ("b", 0.5)
    annotation, _ = annotated(content, text, lambda _: "abstain")
    assert annotation.status == "abstained"
    given_answers[2] = "nothing of these"
    annotation, _ = annotated(content, text, lambda request: given_answers[int(request.text[4])])
    assert (annotation.status, annotation.label) == ("unparsed", None)
    given_answers[2] = Completion(0, failure=Failure("http", "no"))
    with pytest.raises(AllFailedError, match="part 3 of 3"):
        annotated(content, text, lambda request: given_answers[int(request.text[4])])


def test_samples_are_combined_within_each_part() -> None:
    content = recipe("text-classification", {"max_tokens": 15, "aggregate": "majority"}, **LABELS)
    content["annotator"] |= {"num_samples": 3, "temperature": 1.0}
    votes = {0: ["a", "a", "b"], 1: ["b", "c", "b"], 2: ["a", "b", "a"]}
    annotation, requests = annotated(
        content, "".join(PARTS), lambda request: votes[int(request.text[4])][request.sample]
    )
    assert (annotation.label, annotation.votes, requests) == ("a", ("a", "b", "a"), 9)


@pytest.mark.parametrize("kind", ["text-classification", "text-generation"])
def test_without_a_rule_a_longer_text_fails_and_sends_nothing(kind: str) -> None:
    task = LABELS if kind == "text-classification" else {}
    job = compile_variable(recipe(kind, {"max_tokens": 15}, **task))
    client = ScriptedClient(lambda _: '{"label": "a"}')
    short, long = job.annotator(job.prompt(), client).annotate([{"text": PARTS[0]}, {"text": "".join(PARTS)}])
    assert (short.status, long.status, len(client.requests)) == ("labelled", "failed", 1)
    assert "max_tokens" in long.reason


@pytest.mark.parametrize(
    ("kind", "long_text", "more"),
    [
        ("text-classification", {"max_tokens": 20, "aggregate": "mean"}, LABELS),
        ("multi-label", {"max_tokens": 20, "aggregate": "union"}, LABELS),
        ("text-generation", {"max_tokens": 20, "aggregate": "any"}, {}),
        ("text-generation", {"max_tokens": 20, "aggregate": "default"}, {}),
        ("text-classification", {"max_tokens": 20, "overlap": 20}, LABELS),
        ("text-classification", {"max_tokens": 5}, LABELS),
        ("text-classification", {"max_tokens": 20, "aggregate": "majority"}, {**LABELS, "rows_per_call": 4}),
    ],
)
def test_a_wrong_rule_is_an_error_that_names_the_key(
    kind: str, long_text: dict[str, Any], more: dict[str, Any]
) -> None:
    with pytest.raises(RecipeError, match="long_text"):
        compile_recipe(recipe(kind, long_text, **more))


def test_recorded_answers_are_not_split(tmp_path: Any) -> None:
    content = recipe("text-classification", {"max_tokens": 20, "aggregate": "majority"}, **LABELS)
    with pytest.raises(RecipeError, match="long_text"):
        compile_recipe(content | {"annotator": {"client": "recorded", "column": "gpt"}})
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"text": "".join(PARTS)}) + "\n" + json.dumps({"text": "short"}))
    content |= {"source": {"path": "json", "data_files": str(file)}}
    content["task"]["long_text"]["max_tokens"] = 15
    # Three parts, and a short text.
    assert plan(content).requests == 4
    with pytest.raises(RecipeError, match="long_text"):
        export_answers(content, tmp_path / "answers.jsonl")


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        pytest.param([(4, 7, "a")], [(0, 3, "a")], [(4, 7, "a")], id="the same in both"),
        pytest.param([(4, 7, "a")], [(0, 3, "b")], [(4, 7, "a")], id="the same place with another class"),
        pytest.param([(4, 7, "a")], [(0, 6, "a")], [(4, 10, "a")], id="cut off at the end of the first part"),
        pytest.param([(2, 7, "a")], [(0, 3, "a")], [(2, 7, "a")], id="cut off at the start of the second part"),
        pytest.param([(2, 7, "a")], [(0, 3, "b")], [(2, 7, "a"), (4, 7, "b")], id="another class within it"),
        pytest.param([(0, 3, "a")], [(4, 6, "a")], [(0, 3, "a"), (8, 10, "a")], id="different places"),
        pytest.param([(0, 7, "a"), (0, 3, "a")], [], [(0, 7, "a"), (0, 3, "a")], id="nested in one part"),
    ],
)
def test_union_keeps_an_entity_of_an_overlap_once(
    first: list[tuple[int, int, str]], second: list[tuple[int, int, str]], kept: list[tuple[int, int, str]]
) -> None:
    text = "ab cdef ghij"
    parts = [TextPart(0, 7), TextPart(4, 12)]
    annotations = [
        Annotation(
            "labelled", tuple(Entity(start, end, text[part.start :][start:end], label) for start, end, label in own)
        )
        for part, own in zip(parts, (first, second), strict=True)
    ]
    schema = LabelSchema("token-classification", ("a", "b"))
    label = combined_parts(schema, "union", text, parts, annotations).label
    expected = {Entity(start, end, text[start:end], name) for start, end, name in kept}
    assert isinstance(label, tuple)
    assert (set(label), len(label)) == (expected, len(kept))
