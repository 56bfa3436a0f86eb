"""validate on labels of every kind, in the forms in which people hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import STATUSES, LabelSchema, Scale
from hf_synthlabels.statistics import MEASURES, ValidationReport, validate
from tests.statistics.common import Columns

FAST: dict[str, Any] = {"resamples": 30}
WNUT = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "wnut17" / "dev.jsonl"

PER = {"start": 0, "end": 4, "label": "per"}
ORG = {"start": 8, "end": 12, "label": "org"}


EXAMPLES: dict[str, tuple[list[Any], list[Any]]] = {
    "text-pair": (["yes", "no", "no"], ["yes", "yes", None]),
    "multi-label": ([["a"], ["a", "b"], [], None], [["a"], ["b"], None, ["a"]]),
    "text-scale": ([1, 2, 4, None], [1.0, 3.0, None, 2.0]),
    "token-classification": ([[PER], [PER, ORG], [], None], [[PER], [ORG], None, []]),
    "question-answering": (
        [{"text": ["x", "y"], "answer_start": [3, 9]}, {"text": ["z"], "answer_start": [0]}],
        [{"text": "y", "start": 9}, None],
    ),
    "text-generation": (["a text", "another", None], ["a text", None, "more"]),
}
"""Labels of each kind, human and predicted."""


@pytest.mark.parametrize("kind", EXAMPLES)
def test_labels_of_every_kind_are_scored_written_and_printed(kind: str) -> None:
    human, llm = EXAMPLES[kind]
    expected = [name for name in MEASURES[kind] if name != "token_accuracy"]
    # The type of the column determines the kind of label, except of pairs and texts.
    dataset = Dataset.from_list([{"label": a, "llm_label": b} for a, b in zip(human, llm, strict=True)])
    report = validate(dataset, kind=kind if kind in ("text-pair", "text-generation") else None, **FAST)
    assert (report.kind, list(report.scores)) == (kind, expected)
    assert (report.n_rows, report.n_human) == (len(human), sum(label is not None for label in human))
    assert report.n_answered == sum(a is not None and b is not None for a, b in zip(human, llm, strict=True))
    assert report.coverage.estimate == report.n_answered / report.n_human
    # Plain columns need the kind.
    metric = next(name for name in MEASURES[kind] if name != "coverage")
    report = validate(Columns(label=human * 3, llm_label=llm * 3), kind=kind, gate=f"{metric}>=0.4", **FAST)
    assert list(report.scores) == expected
    again = ValidationReport.from_json(report.to_json())
    assert again.to_json() == report.to_json()
    text = str(report)
    assert str(again) == text
    assert max(map(len, text.splitlines())) <= 100
    assert f"kind {kind}" in text
    assert all(title in text for title in MEASURES[kind].values() if title != "token accuracy")
    assert any(line.startswith(f"gate {metric} >= 0.4: ") for line in text.splitlines())


def test_multi_label_codes_are_read_by_each_columns_own_names() -> None:
    features = Features(
        {
            "label": List(ClassLabel(names=["a", "b", "c"])),
            "llm_label": List(ClassLabel(names=["b", "a"])),
        }
    )
    dataset = Dataset.from_dict({"label": [[0], [0, 1], []], "llm_label": [[1], [0, 1], None]}, features=features)
    report = validate(dataset, **FAST)
    assert report.names == ("a", "b", "c")
    assert report.accuracy.estimate == 2 / 3
    assert report.accuracy_answered.estimate == 1
    assert report.absent == ("c",)


def test_a_schema_gives_kind_names_and_scale() -> None:
    schema = LabelSchema(kind="text-scale", scale=Scale(0, 10))
    report = validate(Columns(label=[4, 4], llm_label=[4, None]), schema=schema, **FAST)
    # The missing label is at worst 6 off.
    assert report.score("mae").estimate == 6 / 2
    named = LabelSchema(kind="multi-label", names=("z", "a"))
    report = validate(Columns(label=[["a"]], llm_label=[[1]]), schema=named, **FAST)
    assert report.names == ("z", "a")
    assert report.accuracy.estimate == 1
    pair = LabelSchema(kind="text-pair", names=("no", "yes"))
    assert validate(Columns(label=["yes", "no"], llm_label=["yes", None]), schema=pair, **FAST).names == ("no", "yes")


def test_scale_steps_are_one_where_all_numbers_are_whole() -> None:
    assert "within_one" in validate(Columns(label=[1, 3], llm_label=[1.0, 2.0]), kind="text-scale", **FAST).scores
    assert "within_one" not in validate(Columns(label=[1, 3], llm_label=[1.5, 2]), kind="text-scale", **FAST).scores


def test_scores_that_are_named_numbers_are_read_as_those() -> None:
    features = Features({"label": ClassLabel(names=["1", "2", "5"]), "llm_label": Value("float64")})
    dataset = Dataset.from_dict({"label": [0, 2, -1], "llm_label": [1.0, 4.0, 3.0]}, features=features)
    report = validate(dataset, **FAST)
    assert report.n_human == 2
    assert report.score("mae_answered").estimate == pytest.approx((0 + 1) / 2)
    stars = Features({"label": ClassLabel(names=["1 star", "2 stars"]), "llm_label": Value("float64")})
    dataset = Dataset.from_dict({"label": [0, 1], "llm_label": [1.0, 2.0]}, features=stars)
    with pytest.raises(DataError, match="`label`"):
        validate(dataset, **FAST)


TOKENS = [["Ada", "Lovelace", "in", "Rome"], ["Nothing"], ["Bob"]]
TAGS = [["B-per", "I-per", "O", "B-loc"], ["O"], ["B-per"]]
FOUND = [[{"start": 0, "end": 12, "label": "per"}], [], None]


def test_human_entities_may_be_tags_of_tokens() -> None:
    report = validate(Columns(tokens=TOKENS, tags=TAGS, llm_label=FOUND), human="tags", tokens="tokens", **NER)
    # "Ada Lovelace" is found, "Rome" (16 to 20) is not, and "Bob" is in a row without a label.
    assert report.score("entity_recall").estimate == 1 / 3
    assert report.score("entity_precision").estimate == 1
    # Of 4 + 1 + 1 tokens, 3 + 1 + 0 have the right tag.
    assert report.score("token_accuracy").estimate == pytest.approx(4 / 6)
    assert report.names == ("loc", "per")


NER: dict[str, Any] = {"kind": "token-classification", **FAST}


def test_tags_may_be_codes() -> None:
    names, place = ["O", "B-per", "I-per", "B-loc", "I-loc"], Value("int32")
    features = Features(
        {
            "tokens": List(Value("string")),
            "tags": List(ClassLabel(names=names)),
            "llm_label": List({"start": place, "end": place, "label": ClassLabel(names=["per", "loc"])}),
        }
    )
    codes = [[names.index(tag) for tag in row] for row in TAGS]
    llm = [[{"start": 0, "end": 12, "label": 0}], [], None]
    dataset = Dataset.from_dict({"tokens": TOKENS, "tags": codes, "llm_label": llm}, features=features)
    by_codes = validate(dataset, human="tags", tokens="tokens", **FAST)
    assert by_codes.names == ("per", "loc")
    assert by_codes.score("entity_recall").estimate == 1 / 3
    assert by_codes.score("token_accuracy").estimate == pytest.approx(4 / 6)


def test_tags_of_real_posts_agree_with_themselves() -> None:
    if not WNUT.is_file():
        pytest.skip("the WNUT-17 posts are not beside this checkout")
    rows = [json.loads(line) for line in WNUT.read_text(encoding="utf-8").splitlines()]
    columns = {"tokens": [row["tokens"] for row in rows], "tags": [row["tags"] for row in rows]}
    report = validate(Columns(**columns, llm=columns["tags"]), human="tags", llm="llm", tokens="tokens", **NER)
    # Each entity begins with one B- tag.
    assert sum(each.support for each in report.classes) == sum(tag[0] == "B" for row in rows for tag in row["tags"])
    assert report.score("entity_f1").estimate == report.score("token_accuracy").estimate == 1


def test_answers_of_every_form_are_read() -> None:
    forms: list[Any] = [
        "x",
        ["nothing", "x"],
        {"text": "x", "start": 4},
        {"text": ["x"], "answer_start": [4]},
        [{"text": "nothing", "start": 0}, {"text": "x", "answer_start": 4}],
        {"text": ["x"]},
    ]
    for human in forms:
        columns = Columns(label=[human], llm_label=[{"text": "x", "start": 4}])
        report = validate(columns, kind="question-answering", **FAST)
        assert report.scores["exact_match"].estimate == 1
        if "span_overlap" in report.scores:
            assert report.scores["span_overlap"].estimate == 1


def test_questions_that_no_human_answered_are_not_scored() -> None:
    unanswerable: dict[str, Any] = {"text": [], "answer_start": []}
    llm = {"text": "x", "start": 0}
    columns = Columns(label=[unanswerable, {"text": ["x"], "answer_start": [0]}], llm_label=[llm, llm])
    report = validate(columns, kind="question-answering", **FAST)
    assert (report.n_rows, report.n_human, report.n_labelled) == (2, 1, 2)


def test_generated_texts_that_look_like_json_are_texts() -> None:
    columns = Columns(label=['["a", "b"]', "[x"], llm_label=['["a", "b"]', "{}"])
    assert validate(columns, kind="text-generation", **FAST).score("identical").estimate == 1 / 2


def test_an_empty_list_is_a_label_unless_the_status_says_otherwise() -> None:
    columns: dict[str, Any] = {"label": [[], []], "llm_label": [[], []]}
    assert validate(Columns(**columns), names=["a"], kind="multi-label", **FAST).coverage.estimate == 1
    status = ["labelled", "failed"]
    report = validate(Columns(**columns, llm_label_status=status), names=["a"], kind="multi-label", **FAST)
    assert report.coverage.estimate == 1 / 2
    assert report.statuses == {"failed": 1, "labelled": 1}
    features = Features(
        {
            "label": List(Value("string")),
            "llm_label": List(Value("string")),
            "llm_label_status": ClassLabel(names=list(STATUSES)),
        }
    )
    codes = [STATUSES.index("labelled"), STATUSES.index("refused")]
    dataset = Dataset.from_dict({**columns, "llm_label_status": codes}, features=features)
    assert validate(dataset, names=["a"], **FAST).coverage.estimate == 1 / 2


def test_lists_in_cells_of_text_are_read() -> None:
    columns = Columns(label=['["a"]', None], llm_label=['["a", "b"]', "[]"])
    report = validate(columns, kind="multi-label", **FAST)
    assert (report.names, report.n_human) == (("a", "b"), 1)
    cells = [json.dumps(row) if row is not None else None for row in FOUND]
    columns = Columns(label=cells, llm_label=cells)
    assert validate(columns, kind="token-classification", **FAST).score("entity_f1").estimate == 1


def multi(human: Any, llm: Any) -> Columns:
    return Columns(label=[["a"], human], llm_label=[["a"], llm])


WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (multi("a", ["a"]), {"kind": "multi-label"}, "`label`"),
    (multi(["a"], ["z"]), {"kind": "multi-label", "names": ["a"]}, "`llm_label`"),
    (multi([7], ["a"]), {"kind": "multi-label"}, "`label`"),
    (multi(None, ["a"]), {"kind": "multi-label", "tokens": "label"}, "`tokens`"),
    (Columns(label=[[]], llm_label=[[]]), {"kind": "multi-label"}, "`label` and `llm_label` hold no label name"),
    (Columns(label=[None], llm_label=[["a"]]), {"kind": "multi-label"}, "`label`"),
    (Columns(label=[[]], llm_label=[[], []]), {"kind": "multi-label"}, "`label` has 1 rows and `llm_label` 2"),
    (Columns(label=["3"], llm_label=[3]), {"kind": "text-scale"}, "`label`"),
    (Columns(label=[True], llm_label=[3]), {"kind": "text-scale"}, "`label`"),
    (Columns(label=[3], llm_label=[float("inf")]), {"kind": "text-scale"}, "`llm_label`"),
    (Columns(label=[3], llm_label=[3]), {"kind": "text-scale"}, "`scale`"),
    (
        Columns(label=[3], llm_label=[9]),
        {"schema": LabelSchema(kind="text-scale", scale=Scale(1, 5))},
        "`llm_label`",
    ),
    (Columns(label=[[3]], llm_label=[[PER]]), NER, "`label`"),
    (Columns(label=[["B-per"]], llm_label=[[PER]]), NER, "`label`"),
    (
        Columns(label=[["B-per"]], llm_label=[[PER]], tokens=[["a", "b"]]),
        NER | {"tokens": "tokens"},
        "`label`",
    ),
    (Columns(label=[[PER]], llm_label=[[PER]], tokens=["a b"]), NER | {"tokens": "tokens"}, "`tokens`"),
    (Columns(label=[[PER]], llm_label=[[{"start": 0, "label": "per"}]]), NER, "`llm_label`"),
    (
        Columns(label=[[PER]], llm_label=[[{"start": 5, "end": 2, "label": "per"}]]),
        NER,
        "`llm_label`",
    ),
    (Columns(label=[3], llm_label=["x"]), {"kind": "question-answering"}, "`label`"),
    (Columns(label=["x"], llm_label=[3]), {"kind": "text-generation"}, "`llm_label`"),
]


def test_rows_that_do_not_fit_are_refused_in_one_line() -> None:
    for columns, options, match in WRONG:
        with pytest.raises((DataError, ConfigError), match=match) as caught:
            validate(columns, **options)
        assert "\n" not in str(caught.value)


def test_invalid_options_are_refused() -> None:
    text = LabelSchema(kind="text-generation")
    cases: list[tuple[str, dict[str, Any]]] = [
        ("kind", {"kind": "multilabel"}),
        ("metric", {"kind": "multi-label", "gate": "kappa>=0.5"}),
        ("metric", {"kind": "text-pair", "gate": "mae<=0.5"}),
        ("kind", {"kind": "multi-label", "schema": text}),
    ]
    for field, options in cases:
        with pytest.raises(ConfigError, match=f"`{field}`"):
            validate(Columns(label=[["a"]], llm_label=[["a"]]), **options)


def test_scores_and_confusion_that_a_kind_has_not_are_said_to_be_missing() -> None:
    report = validate(Columns(label=["a b"], llm_label=["a"]), kind="text-generation", **FAST)
    with pytest.raises(DataError, match=r"`macro_f1`"):
        _ = report.macro_f1
    with pytest.raises(DataError, match="`confusion`"):
        _ = report.confusion
    assert report.names == report.absent == ()


def test_gates_on_errors_pass_below() -> None:
    columns = Columns(label=[1, 2, 3, 4, 5] * 40, llm_label=[1, 2, 3, 4, 5] * 40)
    report = validate(columns, kind="text-scale", gate="mae<=0.5", **FAST)
    assert report.gate is not None
    assert report.gate.verdict == "pass"
    assert str(report.gate).startswith("mae <= 0.5: pass (upper limit 0.")
