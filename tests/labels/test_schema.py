from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.labels import KINDS, Kind, LabelSchema, Scale, parse

CLOSED: tuple[Kind, ...] = ("text-classification", "multi-label", "text-pair", "token-classification")


def schema_of(kind: Kind) -> LabelSchema:
    names = ("film", "sport") if kind in CLOSED else ()
    return LabelSchema(kind=kind, names=names, scale=Scale(1, 5) if kind == "text-scale" else None)


VALUES: dict[Kind, Any] = {
    "text-classification": 1,
    "text-pair": 0,
    "multi-label": [0, 1],
    "text-scale": 2.5,
    "token-classification": [{"start": 0, "end": 4, "text": "Rome", "label": 1}],
    "question-answering": {"text": "Rome", "start": 7},
    "text-generation": "a summary",
}


def test_every_feature_stores_a_value_and_null(subtests: pytest.Subtests) -> None:
    for kind in KINDS:
        with subtests.test(kind=kind):
            features = Features({"label": schema_of(kind).feature()})
            rows = Dataset.from_dict({"label": [VALUES[kind], None]}, features=features)
            assert rows[0]["label"] == VALUES[kind]
            assert rows[1]["label"] is None


def test_codes_follow_the_order_of_the_names(subtests: pytest.Subtests) -> None:
    cases: list[Kind] = ["text-classification", "text-pair"]
    for kind in cases:
        with subtests.test(kind=kind):
            schema = LabelSchema(kind=kind, names=("zebra", "ant", "Bee"))
            assert schema.feature() == ClassLabel(names=["zebra", "ant", "Bee"])
            assert [schema.code(name) for name in ("zebra", "ant", "Bee")] == [0, 1, 2]


def test_code_of_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(ConfigError, match="`label`"):
        schema_of("text-classification").code("Film")


def test_response_schema_of_classification() -> None:
    assert schema_of("text-classification").response_schema() == {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": ["film", "sport"]}},
        "required": ["label"],
        "additionalProperties": False,
    }


def test_response_schema_offers_abstention_only_where_it_is_allowed() -> None:
    schema = LabelSchema(names=("film", "sport"), abstain=True)
    assert schema.response_schema()["properties"]["label"]["enum"] == ["film", "sport", "abstain"]


def test_response_schema_of_the_other_kinds(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Kind, dict[str, Any]]] = [
        ("multi-label", {"type": "array", "items": {"type": "string", "enum": ["film", "sport"]}}),
        ("text-scale", {"type": "integer", "enum": [1, 2, 3, 4, 5]}),
        (
            "token-classification",
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"text": {"type": "string"}, "label": {"type": "string", "enum": ["film", "sport"]}},
                    "required": ["text", "label"],
                    "additionalProperties": False,
                },
            },
        ),
        ("question-answering", {"type": "string"}),
        ("text-generation", {"type": "string"}),
    ]
    for kind, label in cases:
        with subtests.test(kind=kind, label=label):
            assert schema_of(kind).response_schema()["properties"] == {"label": label}


def test_response_schema_lists_the_numbers_of_a_scale(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Scale, dict[str, Any]]] = [
        (Scale(0, 1, 0.25), {"type": "number", "enum": [0, 0.25, 0.5, 0.75, 1]}),
        (Scale(0, 1, 0.1), {"type": "number", "enum": [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]}),
        # Seven and two thirds is not on the grid of threes.
        (Scale(-1, 7, 3), {"type": "integer", "enum": [-1, 2, 5]}),
        (Scale(0, 1, None), {"type": "number", "minimum": 0, "maximum": 1}),
        (Scale(0, 100), {"type": "number", "minimum": 0, "maximum": 100}),
    ]
    for scale, label in cases:
        with subtests.test(scale=scale, label=label):
            schema = LabelSchema(kind="text-scale", scale=scale)
            assert schema.response_schema()["properties"] == {"label": label}
            assert all(scale.holds(number) for number in label.get("enum", []))


def test_an_answer_that_is_no_name_may_abstain_as_well(subtests: pytest.Subtests) -> None:
    cases: list[Kind] = ["text-scale", "token-classification"]
    for kind in cases:
        with subtests.test(kind=kind):
            with_names = dataclasses.replace(schema_of(kind), abstain=True)
            plain = schema_of(kind).response_schema()["properties"]["label"]
            abstain = {"type": "string", "enum": ["abstain"]}
            assert with_names.response_schema()["properties"]["label"] == {"anyOf": [plain, abstain]}
            assert parse(with_names, '{"label": "abstain"}', "Paris").status == "abstained"


STRICT_KEYWORDS = {"type", "enum", "properties", "required", "additionalProperties", "items", "anyOf"}


def test_response_schemas_use_the_subset_of_strict_servers(subtests: pytest.Subtests) -> None:
    for kind in KINDS:
        with subtests.test(kind=kind):

            def check(part: Any) -> None:
                if isinstance(part, list):
                    for each in part:
                        check(each)
                    return
                assert set(part) <= STRICT_KEYWORDS
                if part.get("type") == "object":
                    assert part["required"] == list(part["properties"])
                    assert part["additionalProperties"] is False
                for each in part.get("properties", {}).values():
                    check(each)
                check(part.get("anyOf", []))
                if "items" in part:
                    check(part["items"])

            for abstain in (False, True):
                check(dataclasses.replace(schema_of(kind), abstain=abstain).response_schema())


def test_from_labels_reads_a_mapping_with_definitions() -> None:
    schema = LabelSchema.from_labels({"film": "About cinema.", "sport": None}, guidelines="Look twice.", abstain=True)
    assert schema.names == ("film", "sport")
    assert schema.definitions == ("About cinema.", "")
    assert (schema.guidelines, schema.abstain) == ("Look twice.", True)
    assert schema.describe("film") == "film: About cinema."
    assert schema.describe("sport") == "sport"


def test_names_alone_make_a_schema_without_definitions(subtests: pytest.Subtests) -> None:
    cases: list[Any] = [["film", "sport"], {"film": None, "sport": None}, {"film": "", "sport": ""}]
    for labels in cases:
        with subtests.test(labels=labels):
            schema = LabelSchema.from_labels(labels)
            assert schema == LabelSchema(names=("film", "sport"))
            assert schema.describe("film") == "film"


def test_invalid_names_are_rejected_in_one_line(subtests: pytest.Subtests) -> None:
    cases: list[Any] = [
        [],
        ["film"],
        ["Pos", "pos", "neg"],
        # Equal after case folding, after normalization, and without characters of no width.
        ["STRASSE", "straße"],
        ["caf\u00e9", "cafe\u0301"],
        ["film", "fi\u200blm"],
        ["film", "  "],
        ["film", "\u200b"],
        ["film", " sport"],
        ["film", "spo\nrt"],
        ["film", "Abstain"],
        # What YAML makes of names that are not quoted.
        {"film": None, False: None},
        [1, 2],
        {None: "nothing", "film": "cinema"},
    ]
    for labels in cases:
        with subtests.test(labels=labels):
            with pytest.raises(ConfigError, match=r"^`labels`") as caught:
                LabelSchema.from_labels(labels)
            assert "\n" not in str(caught.value)


def test_fields_must_fit_the_kind(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"kind": "sentiment", "names": ("a", "b")}, "kind"),
        ({"names": ("a", "b"), "definitions": ("one",)}, "labels"),
        ({"kind": "text-generation", "names": ("a", "b")}, "labels"),
        ({"kind": "text-scale"}, "scale"),
        ({"names": ("a", "b"), "scale": Scale(0, 1)}, "scale"),
    ]
    for fields, field in cases:
        with subtests.test(fields=fields, field=field), pytest.raises(ConfigError, match=f"^`{field}`"):
            LabelSchema(**fields)


def test_one_name_is_enough_where_none_of_it_is_an_answer() -> None:
    assert LabelSchema(kind="multi-label", names=("spam",)).names == ("spam",)


def test_invalid_scales_are_rejected(subtests: pytest.Subtests) -> None:
    cases: list[tuple[float, float, float, str]] = [
        (5, 1, 1.0, "scale"),
        (1, 1, 1.0, "scale"),
        (float("nan"), 1, 1.0, "scale"),
        (1, 5, 0.0, "scale.step"),
    ]
    for low, high, step, field in cases:
        with subtests.test(low=low, high=high, step=step), pytest.raises(ConfigError, match=f"^`{field}`"):
            Scale(low, high, step)


BASE = LabelSchema(names=("film", "sport"), definitions=("Cinema.", "Games."), guidelines="Read on.")


def test_fingerprint_changes_with_each_field(subtests: pytest.Subtests) -> None:
    cases: list[dict[str, Any]] = [
        {"kind": "text-pair"},
        {"names": ("film", "sports")},
        {"names": ("sport", "film")},
        {"definitions": ("Cinema!", "Games.")},
        {"definitions": ()},
        {"guidelines": ""},
        {"abstain": True},
    ]
    for changes in cases:
        with subtests.test(changes=changes):
            assert dataclasses.replace(BASE, **changes).fingerprint() != BASE.fingerprint()


def test_fingerprint_changes_with_each_end_and_step_of_the_scale() -> None:
    scales = [Scale(1, 5), Scale(0, 5), Scale(1, 6), Scale(1, 5, 0.5), Scale(1, 5, None)]
    assert len({LabelSchema(kind="text-scale", scale=scale).fingerprint() for scale in scales}) == 5


def test_fingerprint_is_the_same_for_equal_schemas() -> None:
    again = LabelSchema.from_labels({"film": "Cinema.", "sport": "Games."}, guidelines="Read on.")
    assert again.fingerprint() == BASE.fingerprint()
    assert re.fullmatch(r"[0-9a-f]{16}", again.fingerprint())
