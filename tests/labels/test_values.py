"""Numbers in label columns: names in digits or codes, vectors of zeros and ones or lists of codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.annotation.recipe.example import Example
from hf_synthlabels.errors import DataError, SynthLabelsError
from hf_synthlabels.labels import LabelSchema, Span, decode, encode
from hf_synthlabels.statistics import validate
from hf_synthlabels.training.data.training_rows import training_rows
from tests.labels.label_examples import ANN, CONTEXT, FREE, LABELS, MANY, NER, QA, STARS, TEXT

DIGITS = ["1", "2", "3", "4", "5"]
TOPICS = ["film", "sport", "place"]


def test_number_is_a_name_or_a_code_or_ambiguous(subtests: pytest.Subtests) -> None:
    cases: list[tuple[list[str], Any, Any]] = [
        (DIGITS, "3", "3"),
        (DIGITS, 5, "5"),
        (DIGITS, 0, "1"),
        (DIGITS, 5.0, "5"),
        (["0", "1"], 1, "1"),
        (["0", "1"], 0.0, "0"),
        (["bad", "good"], 1, "good"),
        (["bad", "good"], 1.0, "good"),
        (["bad", "good"], float("nan"), None),
        (DIGITS, 3, DataError),
        (DIGITS, 1.0, DataError),
        (["1", "0"], 1, DataError),
        (["bad", "good"], 2, DataError),
        (["bad", "good"], 0.5, DataError),
        (["bad", "good"], True, DataError),
    ]
    for names, value, label in cases:
        with subtests.test(names=names, value=value, label=label):
            schema = LabelSchema(names=tuple(names))
            rows = Dataset.from_dict({"text": ["a", "b"], "label": [value, None]}) if label is not None else None
            if label is DataError:
                with pytest.raises(DataError, match=r"`label`"):
                    decode(schema, value)
                with pytest.raises(SynthLabelsError):
                    Example(text="a", label=value).read_label(schema, RowForm().of_text("a"))
                with pytest.raises(DataError, match=r"`label`"):
                    training_rows(rows, names=names, label_column="label")
                return
            assert decode(schema, value) == label
            if rows is not None:
                assert training_rows(rows, names=names, label_column="label").codes.tolist() == [names.index(label)]


def test_the_error_names_both_readings() -> None:
    with pytest.raises(DataError) as caught:
        decode(LabelSchema(names=tuple(DIGITS)), 3)
    assert "'3'" in str(caught.value)
    assert "'4'" in str(caught.value)


def test_the_codes_of_a_class_label_are_certain() -> None:
    features = Features(
        {"text": Value("string"), "label": ClassLabel(names=DIGITS), "llm_label": ClassLabel(names=DIGITS)}
    )
    rows = Dataset.from_dict({"text": ["a", "b"], "label": [0, 2], "llm_label": [0, 2]}, features=features)
    assert training_rows(rows, names=DIGITS, label_column="label").codes.tolist() == [0, 2]
    assert validate(rows, resamples=50).accuracy.estimate == 1
    assert decode(LabelSchema(names=tuple(DIGITS)), 2, codes=True) == "3"


def test_validate_refuses_numbers_with_two_readings(subtests: pytest.Subtests) -> None:
    cases: list[tuple[list[Any], bool]] = [([1, 2, 3], False), ([1, 3, 5], True), (["1", "2", "3"], True)]
    for human, fits in cases:
        with subtests.test(human=human, fits=fits):
            rows = Dataset.from_dict({"label": human, "llm_label": [str(value) for value in human]})
            schema = LabelSchema(names=tuple(DIGITS))
            if fits:
                assert validate(rows, schema=schema, resamples=50).accuracy.estimate == 1
            else:
                with pytest.raises(DataError, match="`label`"):
                    validate(rows, schema=schema, resamples=50)


def test_validate_and_training_leave_out_rows_with_code_minus_one(subtests: pytest.Subtests) -> None:
    cases: list[bool] = [False, True]
    for several in cases:
        with subtests.test(several=several):
            codes: list[Any] = [[code] if several else code for code in (0, 1, -1)]
            names = ClassLabel(names=TOPICS)
            features = Features({name: List(names) if several else names for name in ("label", "llm_label")})
            rows = Dataset.from_dict({"label": [*codes, codes[2]], "llm_label": [*codes, codes[0]]}, features=features)
            report = validate(rows, human="label", llm="llm_label", resamples=10)
            assert (report.n_rows, report.n_human, report.n_labelled) == (4, 2, 3)
            if not several:
                assert training_rows(rows, names=TOPICS, label_column="label").kept.tolist() == [0, 1]


def test_validate_reads_the_floats_of_a_data_frame() -> None:
    rows = Dataset.from_dict({"label": [0.0, 1.0, None, 1.0], "llm_label": ["0", "1", "1", "0"]})
    assert validate(rows, kind="text-classification", resamples=50).accuracy.estimate == pytest.approx(2 / 3)


def agreement(label: Any, names: list[str], feature: Any = None) -> Any:
    given = [[name for name, item in zip(names, row, strict=False) if item] for row in label]
    rows = Dataset.from_dict({"llm_label": given, "label": label})
    if feature is not None:
        rows = rows.cast_column("label", feature)
    return validate(rows, schema=LabelSchema(kind="multi-label", names=tuple(names)), resamples=50)


def test_vectors_of_zeros_and_ones_are_sets_of_names(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, list[str]]] = [
        ([[0, 0, 0], [1, 1, 1], [0, 1, 0]], TOPICS),
        ([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]], TOPICS),
        ([[True, False], [False, True]], TOPICS[:2]),
        # One row with a number twice shows what the column holds.
        ([[0, 1], [1, 1], [1, 0]], TOPICS[:2]),
    ]
    for label, names in cases:
        with subtests.test(label=label, names=names):
            assert agreement(label, names).score("accuracy").estimate == 1


def test_lists_with_two_readings_or_a_code_twice_are_refused(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, list[str]]] = [
        ([[0, 1], [1, 0]], TOPICS[:2]),
        ([[0, 0], [1, 1]], TOPICS),
        ([[0, 1, 1], [2, 0, 1]], TOPICS),
    ]
    for label, names in cases:
        with subtests.test(label=label, names=names), pytest.raises(DataError, match="`label`"):
            agreement(label, names)


def test_lists_of_codes_stay_codes() -> None:
    rows = Dataset.from_dict({"label": [[0], [0, 2], []], "llm_label": [["film"], ["film", "place"], []]})
    report = validate(rows, schema=LabelSchema(kind="multi-label", names=tuple(TOPICS)), resamples=50)
    assert report.score("accuracy").estimate == 1
    certain = [[0, 1], [1]]
    rows = Dataset.from_dict({"label": certain, "llm_label": [["film", "sport"], ["sport"]]})
    rows = rows.cast_column("label", List(ClassLabel(names=TOPICS[:2])))
    assert validate(rows, kind="multi-label", resamples=50).score("accuracy").estimate == 1


def test_label_round_trips_through_its_column(subtests: pytest.Subtests) -> None:
    for schema, label in LABELS:
        with subtests.test(schema=schema, label=label):
            features = Features({"label": schema.feature()})
            table = Dataset.from_dict({"label": [encode(schema, label), encode(schema, None)]}, features=features)
            context = TEXT if schema is NER else CONTEXT
            assert decode(schema, table[0]["label"], context) == label
            if schema.kind not in ("multi-label", "token-classification", "question-answering"):
                assert decode(schema, table[1]["label"]) is None


def test_labels_in_formats_of_other_datasets(subtests: pytest.Subtests) -> None:
    cases: list[tuple[LabelSchema, Any, Any]] = [
        (MANY, ["good", "film"], ("film", "good")),
        (MANY, [0, 1], ("film", "sport")),
        (MANY, np.array([0, 1]), ("film", "sport")),
        (LabelSchema(names=("film", "sport")), np.int64(1), "sport"),
        (LabelSchema(names=("film", "sport")), 1.0, "sport"),
        (LabelSchema(names=("film", "sport")), float("nan"), None),
        (STARS, np.float32(3), 3.0),
        (STARS, 3, 3.0),
        (STARS, float("nan"), None),
        (NER, [{"start": 10, "end": 17, "label": "person"}], (ANN,)),
        (NER, {"start": [10], "end": [17], "text": ["Ann Lee"], "label": [0]}, (ANN,)),
        (QA, {"text": ["1858", "In 1858"], "answer_start": [3, 0]}, Span(3, 7, "1858")),
        (QA, {"text": [], "answer_start": []}, None),
        (QA, "1858", Span(3, 7, "1858")),
    ]
    for schema, value, label in cases:
        with subtests.test(schema=schema, value=value, label=label):
            assert decode(schema, value, TEXT if schema is NER else CONTEXT) == label


def test_value_outside_the_schema_is_an_error(subtests: pytest.Subtests) -> None:
    cases: list[tuple[LabelSchema, Any]] = [
        (LabelSchema(names=("film", "sport")), "cars"),
        # Without the certainty of a ClassLabel, -1 is an unknown number.
        (LabelSchema(names=("film", "sport")), -1),
        (LabelSchema(names=("film", "sport")), 2),
        (LabelSchema(names=("film", "sport")), 0.5),
        (LabelSchema(names=("film", "sport")), True),
        (MANY, "film"),
        (MANY, ["cars"]),
        (STARS, 4.5),
        (STARS, True),
        (NER, [{"start": 1}]),
        (QA, 3),
        (QA, {"answer": "x"}),
        (FREE, 3),
    ]
    for schema, value in cases:
        with subtests.test(schema=schema, value=value), pytest.raises(DataError, match="`label` "):
            decode(schema, value, CONTEXT)


def test_code_of_minus_one_is_a_missing_label(subtests: pytest.Subtests) -> None:
    cases: list[tuple[LabelSchema, Any, Any]] = [
        (LabelSchema(names=("film", "sport")), -1, None),
        (LabelSchema(names=("film", "sport")), -1.0, None),
        (LabelSchema(kind="text-pair", names=("film", "sport")), np.int64(-1), None),
        (MANY, [-1], None),
        (MANY, [0, -1], ("film",)),
        (MANY, [], ()),
    ]
    for schema, value, label in cases:
        with subtests.test(schema=schema, value=value, label=label):
            assert decode(schema, value, codes=True) == label
