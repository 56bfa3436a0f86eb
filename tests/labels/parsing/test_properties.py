"""Properties of one answer: complete values count, and every other property has a reason."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from hf_synthlabels.labels.parsing.properties import read_properties

NAMES = ("accuracy", "tone")

READ: list[tuple[str, dict[str, str], dict[str, str]]] = [
    ('{"accuracy": 4, "tone": "polite"}', {"accuracy": "4", "tone": '"polite"'}, {}),
    ('```json\n{"Accuracy": 4,\n "tone": null}\n```', {"accuracy": "4", "tone": "null"}, {}),
    (
        'It is {fine}. {"accuracy": 4, "tone": {"a": [1, "}"]}, "more": 1}',
        {"accuracy": "4", "tone": '{"a": [1, "}"]}'},
        {},
    ),
    # A string that quotes an object is not an object.
    (r'{"reason": "{\"accuracy\": 1}", "accuracy": 4}', {"accuracy": "4"}, {"tone": "missing"}),
    ('{"accuracy": 4, "accuracy": 4, "tone": "a"}', {"tone": '"a"'}, {"accuracy": "given twice"}),
    (r'{"accuracy": 4, "\u0061ccuracy": 5}', {}, {"accuracy": "given twice", "tone": "missing"}),
    ('accuracy: 3\n{"accuracy": 4, "tone": "a"}', {"tone": '"a"'}, {"accuracy": "given twice"}),
    ('{"accuracy": 4} {"tone": "a"}', {}, {"accuracy": "two objects", "tone": "two objects"}),
    ('[{"accuracy": 4}, {"accuracy": 4}]', {}, {"accuracy": "two objects", "tone": "two objects"}),
    ('{"accuracy": 4} {"accuracy": 5', {}, {"accuracy": "two objects", "tone": "two objects"}),
    # An inner object does not state the properties of the outer one.
    ('{"result": {"accuracy": 4, "tone": "a"}}', {}, {"accuracy": "missing", "tone": "missing"}),
    ('{"accuracy": 4, "tone": "po', {"accuracy": "4"}, {"tone": "cut off"}),
    ('{"accuracy": 4, "to', {"accuracy": "4"}, {"tone": "cut off"}),
    ('{"accuracy": 4,', {"accuracy": "4"}, {"tone": "cut off"}),
    ('{"accuracy": 4', {}, {"accuracy": "cut off", "tone": "cut off"}),
    ('{"accuracy": 4.', {}, {"accuracy": "cut off", "tone": "cut off"}),
    ('{"accuracy": fal', {}, {"accuracy": "cut off", "tone": "cut off"}),
    ('{"reason": "I read\naccuracy: 5\nin it', {}, {"accuracy": "cut off", "tone": "cut off"}),
    ('{"accuracy": 4 "tone": "a"}', {}, {"accuracy": "malformed", "tone": "malformed"}),
    ('{"accuracy": 4, tone: "a"}', {}, {"accuracy": "malformed", "tone": "malformed"}),
    ("accuracy: 4\ntone: polite", {"accuracy": "4", "tone": "polite"}, {}),
    (
        "Well.\n\n- **Accuracy** (1-5): 4\n- **Tone:** polite\nand warm\n",
        {"accuracy": "4", "tone": "polite\nand warm"},
        {},
    ),
    ("accuracy: 4\naccuracy: 4\ntone: a", {"tone": "a"}, {"accuracy": "given twice"}),
    ("The accuracy: 4\n> tone: a", {}, {"accuracy": "missing", "tone": "missing"}),
    ("accuracy:\ntone: a", {"accuracy": "", "tone": "a"}, {}),
    ("", {}, {"accuracy": "missing", "tone": "missing"}),
    ("{" * 5000, {}, {"accuracy": "missing", "tone": "missing"}),
]


@pytest.mark.parametrize(("text", "values", "problems"), READ, ids=range(len(READ)))
def test_complete_values_are_read(text: str, values: dict[str, str], problems: dict[str, str]) -> None:
    read = read_properties(text, NAMES)
    assert (read.values, read.problems) == (values, problems)


def test_the_last_line_of_a_truncated_answer_does_not_count() -> None:
    read = read_properties("accuracy: 4\ntone: po", (*NAMES, "style"), is_cut=True)
    assert (read.values, read.problems) == ({"accuracy": "4"}, {"tone": "cut off", "style": "cut off"})


def test_the_reasoning_and_other_properties_are_returned() -> None:
    read = read_properties('So: {"reason": "fine", "accuracy": 4, "tone": "a"}', NAMES)
    assert (read.before, read.others, read.as_json) == ("So:", {"reason": '"fine"'}, True)
    assert read_properties("It is fine.\naccuracy: 4", NAMES).before == "It is fine."


def test_a_name_that_starts_another_is_not_confused_with_it() -> None:
    read = read_properties("tone of voice: a\ntone: b", ("tone", "tone of voice"))
    assert read.values == {"tone": "b", "tone of voice": "a"}


def _random_value(generator: random.Random) -> Any:
    return generator.choice([None, True, 3, -2.5, 'a "b" }, {', "tone: 1", "", [1, {"accuracy": 2}], {"tone": 5}])


def test_every_prefix_of_an_object_keeps_only_values_of_the_whole(subtests: pytest.Subtests) -> None:
    """The standard parser is the oracle: a value of a prefix is the value of the whole object."""
    generator = random.Random(0)
    for number in range(60):
        names = generator.sample(["accuracy", "tone", "style", "reason"], generator.randint(1, 4))
        content = {name: _random_value(generator) for name in names}
        text = json.dumps(content, indent=generator.choice([None, 1]))
        with subtests.test(str(number)):
            for end in range(len(text) + 1):
                read = read_properties(text[:end], ("accuracy", "tone", "style"))
                assert set(read.values) | set(read.problems) == {"accuracy", "tone", "style"}
                assert not set(read.values) & set(read.problems)
                for name, value in read.values.items():
                    assert json.loads(value) == content[name]
            whole = read_properties(text, ("accuracy", "tone", "style"))
            if set(content) - {"reason"}:
                assert set(whole.values) == set(content) - {"reason"}
