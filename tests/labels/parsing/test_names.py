"""Class names: exact answers, verdicts, names with reasons, and negations."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.labels import Answer, LabelSchema, Scale, parse

VENUES = LabelSchema(names=("VLDB", "ICML", "ACL"))
GRADES = LabelSchema(names=("good", "very good", "bad"))
OPEN = LabelSchema(names=("good", "bad"), abstain=True)


def label(schema: LabelSchema, text: str) -> str | None:
    """The label read, None for an unparsed answer; anything else fails."""
    answer = parse(schema, text)
    assert answer.status == ("unparsed" if answer.label is None else "labelled")
    assert bool(answer.reason) == (answer.label is None)
    assert answer.label is None or isinstance(answer.label, str)
    return answer.label


WRAPPED = [
    "VLDB",
    "vldb",
    " VLDB\n",
    "VLDB.",
    '"VLDB"',
    "'vldb'",
    "**VLDB**",
    "`VLDB`",
    "__VLDB__",
    "# VLDB",
    "- VLDB",
    "> VLDB",
    "[VLDB]",
    "<VLDB>",
    "```\nVLDB\n```",
    "“VLDB”",
    "«VLDB»",
    "« VLDB »",
    "„VLDB“",
    "‚VLDB‘",
    "‹VLDB›",
    "「VLDB」",
    "『VLDB』。",
    "\ufeffVLDB",
    "V\u200bLD\u2060B",
    "VL\u00adDB\u200f",
]


def test_name_alone_in_any_wrapping() -> None:
    for text in WRAPPED:
        assert parse(VENUES, text) == Answer("labelled", label="VLDB"), text


def test_json_verdict_decides(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str | None]] = [
        ('{"label": "VLDB"}', "VLDB"),
        ('{"label": "vldb"}', "VLDB"),
        ('{"label": " **VLDB** "}', "VLDB"),
        ('{"label": "V\\u200bLDB"}', "VLDB"),
        ('```json\n{"label": "ACL"}\n```', "ACL"),
        ('ICML fits less well. {"label": "ACL", "reason": "not ICML"} Let me know if ICML is meant!', "ACL"),
        ('{"label": "ACL"} No, wait: {"label": "ICML"}', "ICML"),
        ('{"label": "ACL"} because {"confidence": 0.9}', "ACL"),
        ('{"set": {1, 2}} {"label": "ACL"}', "ACL"),
        ('{"text": "a {"label": "ACL"}', "ACL"),
        ('{"label": "ACL", "label": "ACL"}', "ACL"),
        ("{'label': 'ACL'}", "ACL"),
        ('{"label": "ACL"', "ACL"),
        ('{"label": "SIGMOD"}', None),
        ('This is a VLDB paper: {"label": "SIGMOD"}', None),
        ('{"label": "VLDB"} or rather {"label": "SIGMOD"}', None),
        ('{"label": "VLDB"} or rather {"label": null}', None),
        ('{"label": "VLDB or ICML"}', None),
        ('{"label": ["VLDB"]}', None),
        ('{"label": 0}', None),
        ('{"label": true}', None),
        ('{"label": null}', None),
        ('{"label": ""}', None),
        ('{"label": "VLDB", "label": "ICML"}', None),
        ('{"label": "VLDB", "label": "ICML", "label": "VLDB"}', None),
    ]
    for text, expected in cases:
        with subtests.test(text=text, expected=expected):
            assert label(VENUES, text) == expected


def test_last_verdict_decides(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str | None]] = [
        ("label: VLDB", "VLDB"),
        ("Label = vldb.", "VLDB"),
        ("Answer: **VLDB**", "VLDB"),
        ('The answer is "VLDB".', "VLDB"),
        ("Final answer:\n\nVLDB", "VLDB"),
        ("**Classification:** VLDB\n\nICML and ACL are about other things.", "VLDB"),
        ("It is not ICML and not ACL, so the answer is VLDB.", "VLDB"),
        ("The label is ICML. On second thought, the label is ACL.", "ACL"),
        ("label: ICML\nlabel: ACL", "ACL"),
        ("A VLDB topic. Answer: SIGMOD", None),
        ("Answer: VLDB. No: Answer: SIGMOD", None),
        ("Answer: VLDB. No:\n**Answer**: SIGMOD", None),
        ("Answer VLDB", "VLDB"),
        ("Final answer\nVLDB", "VLDB"),
        ("Answer: not VLDB", None),
        ("Answer: VLDB or ICML", None),
        ("ICML comes to mind. Answer: an ACL paper", "ACL"),
        ("Answer:", None),
    ]
    for text, expected in cases:
        with subtests.test(text=text, expected=expected):
            assert label(VENUES, text) == expected


def test_only_mention_decides_unless_negated(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str | None]] = [
        ("I would say that this is a VLDB paper.", "VLDB"),
        ("VLDB, because VLDB is about databases.", "VLDB"),
        ("VLDB/2024", "VLDB"),
        ("It belongs to VLDB or ICML.", None),
        ("It is not VLDB.", None),
        ("This isn't VLDB.", None),
        ("This isn’t VLDB.", None),
        ("Anything rather than VLDB!", None),
        ("It can never be VLDB", None),
        ("None: a VLDB paper has tables", None),
        ("A non-VLDB paper", None),
        ("VLDBs", None),
        ("PVLDB", None),
        ("SIGMOD", None),
        ("", None),
        (" \n\u200b", None),
        ("?!", None),
    ]
    for text, expected in cases:
        with subtests.test(text=text, expected=expected):
            assert label(VENUES, text) == expected


def test_reason_states_the_problem() -> None:
    assert parse(VENUES, "  ").reason == "the answer is empty"
    assert parse(VENUES, '{"label": "SIGMOD"}').reason == "`label` is 'SIGMOD', not in the schema"
    assert parse(VENUES, "SIGMOD").reason == "the answer names no label of the schema"
    assert parse(VENUES, "VLDB and ICML").reason == "the answer names several labels: ICML, VLDB"
    assert parse(VENUES, "Surely not VLDB").reason == "the answer names 'VLDB' but negates something"


def test_longer_name_is_not_a_mention_of_a_shorter_one(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str | None]] = [
        ("very good", "very good"),
        ("Very Good!", "very good"),
        ("good", "good"),
        ("I find it very good.", "very good"),
        ("I find it good.", "good"),
        ("It is good, even very good.", None),
        ("The answer is very good.", "very good"),
        ("The answer is good.", "good"),
        ("goodness", None),
    ]
    for text, expected in cases:
        with subtests.test(text=text, expected=expected):
            assert label(GRADES, text) == expected


def test_abstention_counts_if_the_schema_allows_it() -> None:
    for text in ("abstain", "ABSTAIN.", '{"label": "abstain"}', "Answer: abstain", "I abstain here."):
        assert parse(OPEN, text) == Answer("abstained", reason="the annotator abstained")
        assert label(GRADES, text) is None
    assert label(OPEN, "I abstain, though it may be good.") is None


def test_names_with_punctuation_and_of_other_scripts(subtests: pytest.Subtests) -> None:
    cases: list[tuple[tuple[str, ...], str, str | None]] = [
        (("C", "C++", "C#"), "C", "C"),
        (("C", "C++", "C#"), "c++", "C++"),
        (("C", "C++", "C#"), '"C++"', "C++"),
        (("C", "C++", "C#"), '"c#"', "C#"),
        (("C#", "C"), "c", "C"),
        (("C", "C++", "C#"), "Answer: C#.", "C#"),
        (("C", "C++", "C#"), "This is C++ code.", "C++"),
        (("C", "Java"), "C++", None),
        (("C", "Java"), "C#", None),
        (("C", "Java"), "This is C# code.", None),
        (("C++ (core)", "C++ (other)"), "`C++ (core)`", "C++ (core)"),
        (("C++ (core)", "C++ (other)"), "The answer is C++ (other).", "C++ (other)"),
        (("N/A", "A", "N"), "N/A", "N/A"),
        (("N/A", "A", "N"), "n/a.", "N/A"),
        (("N/A", "A", "N"), "label: N/A", "N/A"),
        (("N/A", "A", "N"), "I think it is N/A here", "N/A"),
        (("(a)", "(b)"), "(a)", "(a)"),
        (("(a)", "(b)"), "Answer: (b)", "(b)"),
        (("#a", "a"), "Answer: #a", "#a"),
        (("yes", "no"), "no", "no"),
        (("yes", "no"), "No.", "no"),
        (("relevant", "not relevant"), "It is not relevant.", "not relevant"),
        (("toxic", "neutral"), "The comment is non-toxic.", None),
        (("3", "4", "5"), "3.", "3"),
        (("3", "4", "5"), "Answer: 4.5", None),
        (("3", "4", "5"), "It deserves 4.5 of them", None),
        (("3", "4", "5"), "3,000 stars", None),
        (("naïve", "größer"), "GRÖSSER", "größer"),
        (("cafe\u0301", "bar"), "caf\u00e9", "cafe\u0301"),
        (("caf\u00e9", "bar"), "A cafe\u0301 it is", "caf\u00e9"),
        (("積極", "消極"), "「積極」。", "積極"),
        (("می\u200cشود", "نیست"), "میشود", "می\u200cشود"),
    ]
    for names, text, expected in cases:
        with subtests.test(names=names, text=text, expected=expected):
            assert label(LabelSchema(names=names), text) == expected


def test_deep_nesting_does_not_overflow_the_stack() -> None:
    assert label(VENUES, '{"label":' * 3000) is None
    assert label(VENUES, "[" * 5000 + " VLDB") == "VLDB"


PIECES = [
    "good",
    "very good",
    "bad",
    "label",
    "answer is",
    "Answer:",
    "{",
    "}",
    '"',
    "not",
    ":",
    "\u200b",
    "\n",
    "abstain",
]
TEXTS = st.text() | st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map(" ".join)


@given(text=TEXTS, abstain=st.booleans())
def test_parse_never_raises_and_never_leaves_the_schema(text: str, abstain: bool) -> None:
    schema = LabelSchema(names=("good", "very good", "bad"), abstain=abstain)
    answer = parse(schema, text)
    assert answer.label in (*schema.names, None)
    assert (answer.status == "labelled") == (answer.label is not None)
    assert answer.status != "abstained" or abstain


def make_schema(names: list[str]) -> LabelSchema | None:
    try:
        return LabelSchema(names=tuple(names))
    except ConfigError:
        return None


NAME = st.text(st.characters(exclude_characters='{}"`\n', exclude_categories=["Cs"]), min_size=1, max_size=8)
SCHEMAS = st.lists(NAME, min_size=2, max_size=4).map(make_schema).filter(lambda schema: schema is not None)


@settings(deadline=None)
@given(schema=SCHEMAS, pick=st.integers(0, 3))
def test_each_name_is_parsed_as_itself(schema: LabelSchema, pick: int) -> None:
    name = schema.names[pick % len(schema.names)]
    wrapped = json.dumps({"label": name})
    for text in (name, f'"{name}"', f"`{name}`", wrapped, json.dumps({"label": name}, ensure_ascii=False)):
        assert parse(schema, text) == Answer("labelled", label=name)
    assert parse(schema, f"```json\n{wrapped}\n```") == Answer("labelled", label=name)


def test_negated_verdict_does_not_count(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str | None]] = [
        ("I don't think the answer is good.", None),
        ("It is not true that the label is bad", None),
        ("This is not bad, the answer is good.", "good"),
        ("No doubt here. The answer is good.", "good"),
    ]
    for text, expected in cases:
        with subtests.test(text=text, expected=expected):
            assert parse(LabelSchema.from_labels(["good", "bad"]), text).label == expected


def test_reasoning_is_removed_before_parsing(subtests: pytest.Subtests) -> None:
    cases: list[tuple[LabelSchema, str, object]] = [
        (LabelSchema(names=("positive", "negative")), "negative", "negative"),
        (LabelSchema(kind="multi-label", names=("film", "sport")), "film, sport", ("film", "sport")),
        (LabelSchema(kind="text-scale", scale=Scale(1, 5)), "4", 4.0),
        (LabelSchema(kind="text-generation"), "A dog <think> barks </think>.", "A dog <think> barks </think>."),
    ]
    for schema, said, label in cases:
        with subtests.test(schema=schema, said=said, label=label):
            for thoughts in (
                "<think>positive, film, 2?</think>\n",
                "<think></think>",
                "Perhaps positive, film, 2.</think>\n",
            ):
                assert parse(schema, thoughts + said).label == label
            assert parse(schema, "<think>positive, film, 2").status == "unparsed"


STANCE = LabelSchema(names=("HAWKISH", "DOVISH", "NEUTRAL"))
TONE = LabelSchema(names=("positive", "negative", "neutral"))
STARS = LabelSchema(names=("1", "2", "3", "4", "5"))
YES = LabelSchema(names=("yes", "no"))


def test_name_with_a_reason_counts_unless_negated_or_contradicted(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, bool]] = [
        ("{}\nThe sentence does not mention rates, rather than easing.", True),
        ("{}\nIt speaks of cuts, but no {other} stance follows from them.", True),
        ("**{}**\n\nReason: there is no sign of a {other} view.", True),
        ("1. {}\nIt isn't {other}.", True),
        ("The text doesn't sound {other}.\n\n{}", True),
        ("Here is the classification:\n\n{}\n\nNothing in it is {other}.", True),
        ("{}. It does not take a {other} stance.", True),
        ("It does not take a {other} stance. {}.", False),
        ("{} because no {other} words are used.", True),
        ("{} - the sentence does not express a {other} view", True),
        ("Label: {}. Because it does not ease.", True),
        ("Label: {} because it does not ease", True),
        ("It does not mention rates, so it is {}.", True),
        ("The sentence is {}, without any doubt.", True),
        ("The sentence is {}. It does not say anything else.", True),
        ("It is not {}.", False),
        ("I would not call it {}", False),
        ("Not what I would describe, in my view, as {}.", False),
        ("I do not think\nit is {}", False),
        ("I don't think, that it is {}.", False),
        ("{}, it is not", False),
        ("{}? No.", False),
        ("{}\nis not the label that I would choose.", False),
        ("It might be {}. But I cannot say.", False),
        ("{}. Or maybe {other}.", False),
        ("{}\nWait, no, {other}.", False),
        ("{}\n{other}", False),
        ("{}\nFinal label: {other}", False),
        ("{} - calm\n{other} - loud", False),
        ("{}: 0.2\n{other}: 0.8", False),
        ("Label: {} or {other}", False),
        ("The label is {} - {other}", False),
    ]
    for text, label in cases:
        with subtests.test(text=text, label=label):
            for schema in (STANCE, TONE):
                name, other, _ = schema.names
                answer = parse(schema, text.replace("{other}", other).replace("{}", name))
                assert answer.label == (name if label else None)
                assert label or answer.reason


def test_names_that_prose_uses_too(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str | None]] = [
        ("No.\nIt does not.", "no"),
        ("Yes, because it cannot be denied.", "yes"),
        ("Yes. No.", None),
        ("Not yes.", None),
    ]
    for text, label in cases:
        with subtests.test(text=text, label=label):
            assert parse(YES, text).label == label


def test_bound_does_not_name_a_digit() -> None:
    for text in ("label: >= 5", ">= 5", ">5", "5 or more", "5+", "at least 5", "The label is not 5"):
        assert parse(STARS, text).label is None, text


def test_a_digit_in_markup_or_with_a_reason_is_read(subtests: pytest.Subtests) -> None:
    cases: list[str] = ["label: 5", "<5>", "5\nIt has 2 slips, not 1", "5/", '{"label": "5"}']
    for text in cases:
        with subtests.test(text=text):
            assert parse(STARS, text).label == "5"


def test_answers_are_read_in_time_that_grows_with_their_length(subtests: pytest.Subtests) -> None:
    cases: list[str] = [
        "label: " * 60_000,
        "answer is " * 30_000,
        "Not. " * 50_000,
        "positive because " * 20_000,
        "{" * 100_000,
    ]
    for text in cases:
        with subtests.test(text=text):
            assert parse(TONE, text).label in (None, "positive")
