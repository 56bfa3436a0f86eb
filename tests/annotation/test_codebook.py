"""Codebooks: several variables of a row in one request, in several, and again alone."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from hf_synthlabels import annotate, provenance
from hf_synthlabels.annotation import Codebook, compile_recipe, plan, read_recipe
from hf_synthlabels.annotation.codebook.codebook_job import CodebookJob
from hf_synthlabels.annotation.planning.dry_run import first_prompt
from hf_synthlabels.clients import Completion, Request, ScriptedClient
from hf_synthlabels.errors import AllFailedError, DataError, NothingLabeledError, RecipeError
from hf_synthlabels.labels import Token
from tests.servers.chat import ChatServer

VARIABLES: dict[str, Any] = {
    "relevant": {"kind": "text-classification", "labels": ["yes", "no"]},
    "topic": {"kind": "multi-label", "labels": ["war", "trade"], "ask_if": {"variable": "relevant", "is": ["yes"]}},
    "tone": {"kind": "text-scale", "scale": {"low": 1, "high": 5}},
    "people": {"kind": "token-classification", "labels": ["person"]},
    "gist": {"kind": "text-generation", "instructions": "Summarize it in three words."},
    "place": {"kind": "question-answering", "instructions": "Where does it happen?", "abstain": True},
}
GOOD = {
    "relevant": "yes",
    "topic": ["war"],
    "tone": 4,
    "people": [{"text": "Ann", "label": "person"}],
    "gist": "Ann goes home",
    "place": "Rome",
}
TEXT = "Ann left Rome."


def recipe(
    variables: dict[str, Any] | None = None, annotator: dict[str, Any] | None = None, **task: Any
) -> dict[str, Any]:
    return {
        "name": "news",
        "source": {"path": "json"},
        "task": {"variables": VARIABLES if variables is None else variables, **task},
        "annotator": {"client": "openai", "model": "tiny", "response_format": "json_schema", **(annotator or {})},
    }


def compiled(content: dict[str, Any]) -> CodebookJob:
    job = compile_recipe(content)
    assert isinstance(job, CodebookJob)
    return job


def by_rule(answers: Callable[[str], dict[str, Any]]) -> ScriptedClient:
    """A client that answers the properties that are requested, each by the rule."""

    def answer(request: Request) -> str:
        names = list((request.response_schema or {})["properties"])
        given = answers(request.text)
        if names == ["label"]:
            (own,) = [name for name in given if f"`{name}`" in request.messages[0].content]
            return json.dumps({"label": given[own]})
        return json.dumps({name: given[name] for name in names})

    return ScriptedClient(answer)


def names_of(request: Request) -> tuple[str, ...]:
    return tuple((request.response_schema or {})["properties"])


def row_of(rows: Dataset, number: int = 0) -> dict[str, Any]:
    return dict(rows.with_format(None)[number])


def status(rows: Dataset, name: str, number: int = 0) -> str:
    return str(rows.features[f"{name}_status"].int2str(rows[number][f"{name}_status"]))


def test_one_request_labels_all_variables_of_all_kinds() -> None:
    client = by_rule(lambda _: GOOD)
    rows = annotate([{"text": TEXT}, {"text": ""}], recipe(), client=client)
    assert len(client.requests) == 1
    row = row_of(rows)
    assert rows.features["relevant"].int2str(row["relevant"]) == "yes"
    assert rows.features["topic"].feature.int2str(row["topic"]) == ["war"]
    assert row["tone"] == 4.0
    assert row["people"] == [{"start": 0, "end": 3, "text": "Ann", "label": 0}]
    assert row["gist"] == "Ann goes home"
    assert row["place"] == {"text": "Rome", "start": 9}
    assert {status(rows, name, 1) for name in VARIABLES} == {"skipped"}
    records = provenance(rows)
    assert [record["column"] for record in records] == list(VARIABLES)
    assert records[1]["codebook"]["ask_if"] == {"variable": "relevant", "is": ["yes"]}
    assert records[1]["tally"]["statuses"] == {"labelled": 1, "skipped": 1}
    assert records[0]["tally"]["requests"] == 1


def test_schema_is_strict_and_null_is_no_value() -> None:
    prompts = compiled(recipe()).prompt()
    (joint,) = prompts.joint.values()
    schema = joint.response_schema
    assert schema["required"] == list(schema["properties"]) == list(VARIABLES)
    assert schema["additionalProperties"] is False
    optional = {name for name, value in schema["properties"].items() if {"type": "null"} in value.get("anyOf", ())}
    assert optional == {"topic", "place"}


def test_condition_decides_whether_a_variable_is_coded() -> None:
    client = by_rule(lambda _: GOOD | {"relevant": "no", "place": None})
    rows = annotate([{"text": TEXT}], recipe(), client=client)
    assert (status(rows, "topic"), status(rows, "place"), status(rows, "tone")) == ("skipped", "abstained", "labelled")

    # A null where the condition holds is requested again, alone.
    def null_when_joint(request: Request) -> str:
        return json.dumps(GOOD | {"topic": None} if "topic" in names_of(request) else {"label": ["war"]})

    client = ScriptedClient(null_when_joint)
    rows = annotate([{"text": f"{TEXT} Then she slept."}], recipe(), client=client)
    assert status(rows, "topic") == "labelled"
    assert [names_of(request) for request in client.requests] == [tuple(VARIABLES), ("label",)]


@pytest.mark.parametrize(
    ("group", "conditional", "requests"),
    [
        ("joint", "yes", [6]),
        ("separate", "yes", [1] * 6),
        ("separate", "no", [1] * 5),
        (4, "yes", [4, 2]),
    ],
)
def test_groups_share_requests_and_unmet_conditions_cost_none(
    group: Any, conditional: str, requests: list[int]
) -> None:
    answers = GOOD | {"relevant": conditional}
    alone = {
        json.dumps(compile_recipe(recipe()).variables[name].prompt().messages(TEXT)[0].content): name for name in GOOD
    }

    def answer(request: Request) -> str:
        names = names_of(request)
        if names == ("label",):
            return json.dumps({"label": answers[alone[json.dumps(request.messages[0].content)]]})
        return json.dumps({name: answers[name] for name in names})

    client = ScriptedClient(answer)
    rows = annotate([{"text": TEXT}], recipe(group=group), client=client)
    assert sorted(len(names_of(request)) for request in client.requests) == sorted(requests)
    assert status(rows, "topic") == ("labelled" if conditional == "yes" else "skipped")
    assert {status(rows, name) for name in GOOD if name != "topic"} == {"labelled"}


SMALL = {
    "bias": {"kind": "text-classification", "labels": ["left", "right"]},
    "fact": {"kind": "text-classification", "labels": ["yes", "no"]},
}


@pytest.mark.parametrize(
    ("joint", "alone", "labels", "requests"),
    [
        pytest.param('{"bias": "left", "fact": "left"}', "yes", ("left", "yes"), 2, id="a label of another variable"),
        pytest.param('{"bias": "left"}', "no", ("left", "no"), 2, id="missing property"),
        pytest.param('{"bias": "left", "fact": "yes", "extra": "right"}', "", ("left", "yes"), 1, id="extra property"),
        pytest.param('{"bias": "left", "bias": "right", "fact": "no"}', "right", ("right", "no"), 2, id="given twice"),
        pytest.param('{"bias": "left", "fact": "ye', "yes", ("left", "yes"), 2, id="cut off"),
        pytest.param(
            '{"bias": "left", "fact": "no"} {"bias": "right", "fact": "no"}', "?", (None, None), 3, id="two objects"
        ),
        pytest.param('{"bias": "left", "fact": "maybe"}', "perhaps", ("left", None), 2, id="unparsed twice"),
    ],
)
def test_a_bad_value_is_requested_again_alone_and_never_a_wrong_label(
    joint: str, alone: str, labels: tuple[str | None, ...], requests: int
) -> None:
    def answer(request: Request) -> Completion:
        if names_of(request) == ("label",):
            return Completion(0, text=json.dumps({"label": alone}))
        return Completion(0, text=joint, finish_reason="stop" if joint.endswith("}") else "length")

    client = ScriptedClient(answer)
    rows = annotate([{"text": TEXT}], recipe(SMALL, {"keep_going": True}), client=client)
    row = row_of(rows)
    given = tuple(None if row[name] is None else rows.features[name].int2str(row[name]) for name in SMALL)
    assert given == labels
    assert len(client.requests) == requests


def test_text_answers_have_a_line_per_variable() -> None:
    plain = {"response_format": "text"}
    client = ScriptedClient(lambda _: "bias: right\nFact: no")
    rows = annotate([{"text": TEXT}], recipe(SMALL, plain), client=client)
    assert [rows.features[name].int2str(rows[0][name]) for name in SMALL] == ["right", "no"]


def test_reasoning_comes_before_its_variable_in_both_forms() -> None:
    reasoned = {"bias": SMALL["bias"], "fact": SMALL["fact"] | {"reasoning": True}}
    given = {"bias": "left", "fact_reasoning": "It says yes.", "fact": "no"}
    lines = "\n".join(f"{name}: {value}" for name, value in given.items())
    for form, answer in (("json_schema", json.dumps(given)), ("text", lines)):
        client = ScriptedClient([answer])
        rows = annotate([{"text": f"{TEXT} {form}"}], recipe(reasoned, {"response_format": form}), client=client)
        assert [rows.features[name].int2str(rows[0][name]) for name in reasoned] == ["left", "no"]
        assert "fact_reasoning" in client.requests[0].messages[0].content
        assert len(client.requests) == 1


def test_log_probabilities_and_samples_give_confidence_per_variable() -> None:
    def token(text: str, **alternatives: float) -> Token:
        import math

        logs = {name: math.log(share) for name, share in alternatives.items()}
        return Token(text, logs.get(text, 0.0), tuple(logs.items()))

    tokens = (
        token('{"bias": "'),
        token("left", left=0.8, right=0.2),
        token('", "fact": "'),
        token("no", no=0.6, yes=0.4),
        token('"}'),
    )
    client = ScriptedClient(lambda _: Completion(0, text="".join(t.text for t in tokens), tokens=tokens))
    book = recipe(SMALL, {"logprobs": True}) | {"output": {"probabilities": True}}
    rows = annotate([{"text": TEXT}], book, client=client)
    assert rows[0]["bias_probs"] == pytest.approx([0.8, 0.2])
    assert rows[0]["fact_probs"] == pytest.approx([0.4, 0.6])
    answers = iter(
        ['{"bias": "left", "fact": "no"}', '{"bias": "left", "fact": "yes"}', '{"bias": "left", "fact": "no"}']
    )
    client = ScriptedClient(lambda _: next(answers))
    rows = annotate([{"text": TEXT}], recipe(SMALL, {"num_samples": 3, "temperature": 1.0}), client=client)
    assert rows[0]["bias_confidence"] == 1.0
    assert rows[0]["fact_confidence"] == pytest.approx(2 / 3)


def test_scale_has_its_expected_value() -> None:
    tone = {"tone": VARIABLES["tone"]}
    answers = iter(["2", "4", "4"])
    client = ScriptedClient(lambda _: json.dumps({"label": int(next(answers))}))
    rows = annotate([{"text": TEXT}], recipe(tone, {"num_samples": 3, "temperature": 1.0}), client=client)
    assert (rows[0]["tone"], rows[0]["tone_expected"]) == (4.0, pytest.approx(10 / 3))


def test_orders_are_shuffled_by_row_and_the_same_in_every_run() -> None:
    many = {f"v{n}": {"kind": "text-classification", "labels": ["a", "b", "c"]} for n in range(6)}
    texts = [{"text": f"text {n}"} for n in range(30)]

    def orders(**task: Any) -> list[tuple[str, ...]]:
        job = compiled(recipe(many, **task))
        requests = job.annotator(job.prompt(), ScriptedClient({})).requests(texts)
        return [tuple(re.findall(r"^(v\d): ", request.messages[0].content, re.M)) for request in requests]

    fixed, shuffled = orders(), orders(variable_order="shuffled", seed=1)
    assert set(fixed) == {tuple(many)}
    assert len(set(shuffled)) > 20
    assert shuffled == orders(variable_order="shuffled", seed=1)
    assert shuffled != orders(variable_order="shuffled", seed=2)
    single = recipe(many) | {
        "task": {"kind": "text-classification", "labels": ["a", "b", "c"], "label_order": "shuffled"}
    }
    client = ScriptedClient(lambda _: '{"label": "b"}')
    rows = annotate(texts, single, client=client)
    lists = Counter(tuple(re.findall(r"^- (\w)$", r.messages[0].content, re.M)) for r in client.requests)
    assert len(lists) == 6
    assert set(rows["llm_label"]) == {1}


def test_examples_show_every_variable_and_never_the_row_itself() -> None:
    examples = [
        {"text": "Bob left.", "labels": {"bias": "left", "fact": "no"}},
        {"text": TEXT, "labels": {"bias": "right", "fact": "yes"}},
    ]
    client = by_rule(lambda _: {"bias": "left", "fact": "no"})
    annotate([{"text": TEXT}], recipe(SMALL, {"examples": examples}), client=client)
    messages = client.requests[0].messages
    assert [message.role for message in messages] == ["system", "user", "assistant", "user"]
    assert json.loads(messages[2].content) == {"bias": "left", "fact": "no"}


def test_each_variable_equals_its_own_recipe_on_recorded_answers() -> None:
    rows = [
        {"text": f"text {n}", "gpt_bias": ["left", "right", "sorry"][n % 3], "gpt_fact": ["yes", "no"][n % 2]}
        for n in range(12)
    ]
    book = annotate(
        rows, recipe(SMALL, {"client": "recorded", "column": "gpt_{variable}", "model": None}) | {}, client=None
    )
    for name, variable in SMALL.items():
        single = {
            "name": "one",
            "source": {"path": "json"},
            "task": variable,
            "annotator": {"client": "recorded", "column": f"gpt_{name}"},
        }
        alone = annotate(rows, single)
        for part in ("", "_status", "_raw", "_note"):
            assert book[f"{name}{part}"] == alone[f"llm_label{part}"]


def test_a_joint_recorded_answer_is_read_for_each_variable() -> None:
    rows = [
        {"text": "a", "gpt": '{"bias": "left", "fact": "no"}'},
        {"text": "b", "gpt": None},
        {"text": "c", "gpt": '{"other": "no", "bias": "right"}'},
    ]
    book = annotate(rows, recipe(SMALL, {"client": "recorded", "column": "gpt", "model": None}))
    assert [row["bias"] for row in book] == [0, None, 1]
    assert [status(book, "fact", n) for n in (0, 1, 2)] == ["labelled", "skipped", "unparsed"]


def test_requests_are_counted_and_stored(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path))
    twelve = {f"v{n}": {"kind": "text-classification", "labels": ["a", "b"]} for n in range(12)}
    answer = json.dumps(dict.fromkeys(twelve, "a"))
    with ChatServer(lambda _: answer) as server:
        book = recipe(twelve, {"base_url": f"{server.url}/v1", "api_key_env": None, "max_in_flight": 16})
        table = Dataset.from_list([{"text": f"text {n}"} for n in range(1000)])
        rows = annotate(table, book)
        assert len(server.bodies) == 1000
        assert all(set(rows[f"v{n}"]) == {0} for n in range(12))
        annotate(table, book)
        assert len(server.bodies) == 1000
        assert server.bodies[0]["response_format"]["json_schema"]["schema"]["required"] == list(twelve)


def one_of(**variable: Any) -> dict[str, Any]:
    return {"bias": SMALL["bias"] | variable, "fact": SMALL["fact"]}


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (recipe(one_of(ask_if={"variable": "nothing", "is": ["yes"]})), "ask_if"),
        (recipe(one_of(ask_if={"variable": "fact", "is": ["maybe"]})), "ask_if"),
        (recipe(one_of(ask_if={"variable": "bias", "is": ["left"]})), "ask_if"),
        (
            recipe(
                {
                    "bias": SMALL["bias"] | {"ask_if": {"variable": "fact", "is": ["yes"]}},
                    "fact": SMALL["fact"] | {"ask_if": {"variable": "bias", "is": ["left"]}},
                }
            ),
            "ask_if",
        ),
        (recipe(SMALL | {"bias_status": SMALL["fact"]}), "variables"),
        (recipe(SMALL | {"Bias": SMALL["fact"]}), "variables"),
        (recipe(SMALL | {"label": SMALL["fact"]}), "variables"),
        (recipe({f"v{n}": SMALL["fact"] for n in range(60)}), "group"),
        (recipe(SMALL, group=0), "group"),
        (recipe(SMALL, {"system": "Be brief."}), "system"),
        (recipe(SMALL, {"examples": [{"text": "a", "label": "left"}]}), "examples"),
        (recipe(SMALL, {"examples": [{"text": "a", "labels": {"bias": "up", "fact": "no"}}]}), "examples"),
        (recipe(one_of(kind="text-scale")), "bias"),
        (recipe(SMALL) | {"output": {"column": "mine"}}, "output.column"),
        (recipe(SMALL) | {"engine": {"name": "ray"}}, "engine"),
    ],
)
def test_a_wrong_codebook_is_an_error_that_names_the_key(content: dict[str, Any], field: str) -> None:
    with pytest.raises(RecipeError, match=field):
        compile_recipe(content)


def test_a_variable_named_like_a_column_is_an_error() -> None:
    with pytest.raises((RecipeError, DataError), match=r"task\.variables\.bias"):
        annotate([{"text": "a", "bias": "b"}], recipe(SMALL), client=ScriptedClient({}))


def test_one_variable_of_a_codebook_is_a_recipe() -> None:
    book = compile_recipe(recipe()).recipe
    assert isinstance(book, Codebook)
    assert read_recipe(book, "tone").task.kind == "text-scale"
    for name in (None, "other"):
        with pytest.raises(RecipeError, match="variable"):
            read_recipe(book, name)


def test_a_variable_without_labels_stops_the_run_by_name() -> None:
    def answer(request: Request) -> str:
        return json.dumps({name: "left" if name == "bias" else "?" for name in names_of(request)})

    texts = [{"text": f"text {n}"} for n in range(80)]
    with pytest.raises(NothingLabeledError, match="fact"):
        annotate(texts, recipe(SMALL), client=ScriptedClient(answer))
    with pytest.raises(AllFailedError, match="bias"):
        annotate([{"text": "none"}], recipe(SMALL), client=ScriptedClient({}))


@pytest.mark.parametrize(("group", "requests"), [("joint", 3), ("separate", 18), (4, 6)])
def test_plan_counts_conditional_variables_in_every_row_and_compares_groupings(
    group: Any, requests: int, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path))
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps({"text": f"text {n}"}) for n in range(3)))
    book = recipe(group=group) | {"source": {"path": "json", "data_files": str(file)}}
    run_plan = plan(book)
    assert run_plan.requests == requests
    other = "joint" if group == "separate" else "separate"
    assert any(f"task.group: {other}" in note for note in run_plan.notes)
    assert first_prompt(book).count("--- user") == 1


@given(
    st.dictionaries(
        st.sampled_from([*GOOD, "extra", "Tone"]),
        st.one_of(
            st.sampled_from(["yes", "no", "maybe", "null", "3", "Rome", ""]),
            st.none(),
            st.integers(0, 6),
            st.just(["war", "trade"]),
            st.just([{"text": "Ann", "label": "person"}]),
        ),
    )
)
def test_the_quick_reader_agrees_with_the_strict_one(content: dict[str, Any]) -> None:
    prompts = compiled(recipe()).prompt()
    (joint,) = prompts.joint.values()
    row, text = joint.form.of_text(TEXT), json.dumps(content)
    # White space before the object leads to the strict reader.
    quick, strict = (joint.read(Completion(0, text=answer), row) for answer in (text, f" {text}"))
    for name in GOOD:
        assert (quick[name].status, quick[name].label) == (strict[name].status, strict[name].label), name


def test_wrong_human_labels_name_the_variable() -> None:
    rows = [{"text": f"text {number}", "gold": "neither"} for number in range(4)]
    with pytest.raises(DataError, match=r"`task\.variables\.bias\.human`"):
        annotate(rows, recipe(one_of(human="gold")), client=ScriptedClient({}))
    with pytest.raises(DataError, match=r"`task\.variables\.bias\.human`"):
        annotate([{"text": "a"}], recipe(one_of(human="gold")), client=ScriptedClient({}))
