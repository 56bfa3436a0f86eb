from __future__ import annotations

import math

import pytest

from hf_synthlabels.labels import LabelSchema, Token, label_probabilities

SCHEMA = LabelSchema(names=("positive", "negative", "neutral"))


def token(text: str, **shares: float) -> Token:
    """A token with the probabilities of itself and its alternatives; `_` stands for a space."""
    named = {name.replace("_", " "): math.log(share) for name, share in shares.items()}
    return Token(text, named[text], tuple(named.items()))


def test_single_token_label() -> None:
    probabilities = label_probabilities(SCHEMA.names, [token("positive", positive=0.7, negative=0.2, neutral=0.1)])
    assert probabilities == pytest.approx({"positive": 0.7, "negative": 0.2, "neutral": 0.1})


def test_probabilities_are_normalized_over_the_mass_seen() -> None:
    probabilities = label_probabilities(SCHEMA.names, [token("positive", positive=0.6, negative=0.2, cars=0.1)])
    assert probabilities == pytest.approx({"positive": 0.75, "negative": 0.25, "neutral": 0.0})


def test_common_prefix_of_names_is_resolved_by_a_later_token() -> None:
    tokens = [token(" ne", _ne=0.8, _pos=0.2), token("g", g=0.75, u=0.25), token("ative", ative=1.0)]
    probabilities = label_probabilities(SCHEMA.names, tokens)
    assert probabilities == pytest.approx({"positive": 0.2, "negative": 0.6, "neutral": 0.2})


def test_rest_of_an_identified_name_is_ignored() -> None:
    """The alternatives are known by their first tokens only, so the answer must be as well."""
    tokens = [token("pos", pos=0.5, neg=0.5), token("itive", itive=0.1, sible=0.9)]
    assert label_probabilities(SCHEMA.names, tokens) == pytest.approx(
        {"positive": 0.5, "negative": 0.5, "neutral": 0.0}
    )


def test_the_label_in_json_behind_a_reason() -> None:
    pieces = ['{"', "reason", '":"', "negative words", '","', "label", '":', ' "']
    tokens = [Token(piece, -0.1, ((piece, -0.1),)) for piece in pieces]
    tokens += [token("positive", positive=0.9, negative=0.1), token('"}', **{'"}': 1.0})]
    assert label_probabilities(SCHEMA.names, tokens) == pytest.approx(
        {"positive": 0.9, "negative": 0.1, "neutral": 0.0}
    )


def test_a_quote_in_one_token_with_the_name() -> None:
    tokens = [
        Token('{"label": "pos', math.log(0.9), (('{"label": "pos', math.log(0.9)), ('{"label": "neg', math.log(0.1)))),
        Token('itive"}', 0.0),
    ]
    assert label_probabilities(SCHEMA.names, tokens) == pytest.approx(
        {"positive": 0.9, "negative": 0.1, "neutral": 0.0}
    )


def test_undetermined_probabilities_are_none(subtests: pytest.Subtests) -> None:
    cases: list[list[Token]] = [[], [Token("positive", -0.1)], [token("cars", cars=1.0)], [token(" ", **{" ": 1.0})]]
    for tokens in cases:
        with subtests.test(tokens=tokens):
            assert label_probabilities(SCHEMA.names, tokens) is None


def test_name_that_is_a_prefix_of_another() -> None:
    schema = LabelSchema(names=("good", "goodish"))
    tokens = [token("good", good=0.9, bad=0.1), token('"', **{'"': 0.7, "ish": 0.3})]
    assert label_probabilities(schema.names, tokens) == pytest.approx({"good": 0.7, "goodish": 0.3})
