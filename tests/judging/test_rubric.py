"""Rubrics: the packaged ones can be read, and a wrong file is told in one line that names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.judging import Rubric, read_rubric
from hf_synthlabels.judging.rubric import rubric_path

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "rubrics"
SCALE: dict[str, Any] = {"name": "a", "instructions": "Score.", "scale": {"low": 1, "high": 5}}
WORDS: dict[str, Any] = {
    "name": "a",
    "instructions": "Judge.",
    "choices": [{"answer": "bad", "score": 0}, {"answer": "good", "score": 1}],
}


def test_packaged_rubrics_are_named_as_their_files() -> None:
    for file in sorted(FOLDER.glob("*.toml")):
        rubric = read_rubric(file.stem)
        assert rubric.name == file.stem
        assert rubric_path(file.stem) == file
        assert (rubric.unit(rubric.low), rubric.unit(rubric.high)) == (0, 1)


def test_the_rubrics_that_are_promised_are_there() -> None:
    assert {file.stem for file in FOLDER.glob("*.toml")} >= {
        *("faysse2023", "score_0_5", "score_1_5", "correctness", "preference"),
        *("summeval_coherence", "summeval_consistency", "summeval_fluency", "summeval_relevance"),
    }


def test_the_papers_rubric_scores_answer_and_reference_from_0_to_10_and_calls_6_acceptable() -> None:
    rubric = read_rubric("faysse2023")
    assert (rubric.protocol, rubric.reference, rubric.low, rubric.high) == ("joint", "required", 0, 10)
    assert list(rubric.answers) == [str(score) for score in range(11)]
    assert "scores at least 6" in rubric.instructions
    assert {choice.score: choice.meaning for choice in rubric.choices}[6] == "just acceptable"


def test_scores_are_held_by_the_scale_and_brought_to_the_unit() -> None:
    rubric = read_rubric(SCALE)
    assert [rubric.holds(score) for score in (1, 5, 4.5, 0.9, 5.1)] == [True, True, True, False, False]
    assert rubric.unit(2) == 0.25
    strict = read_rubric({**SCALE, "scale": {"low": 1, "high": 5, "fractions": False}})
    assert [strict.holds(score) for score in (4, 4.5)] == [True, False]
    assert list(read_rubric({**SCALE, "scale": {"low": 0, "high": 1, "step": 0.25}}).answers) == [
        *("0", "0.25", "0.5", "0.75", "1")
    ]


def test_every_change_of_a_rubric_changes_its_fingerprint() -> None:
    versions = [
        SCALE,
        {**SCALE, "instructions": "Score it."},
        {**SCALE, "scale": {"low": 0, "high": 5}},
        {**SCALE, "verdict": {"aliases": ["rating"]}},
        {**SCALE, "reasoning": False},
        {**SCALE, "aspects": [{"name": "form"}]},
    ]
    assert len({read_rubric(version).fingerprint() for version in versions}) == len(versions)
    assert read_rubric(SCALE).fingerprint() == read_rubric(dict(reversed(SCALE.items()))).fingerprint()


def test_a_wrong_rubric_is_told_in_one_line(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, str]] = [
        ({"name": "a"}, "`instructions` is missing"),
        ({**SCALE, "choises": []}, "`choises` is not a key. Did you mean `choices`?"),
        ({**SCALE, "scale": {"low": 1, "high": 5, "stop": 1}}, "`scale.stop` is not a key. Did you mean `step`?"),
        ({**SCALE, "scale": {"low": 3, "high": 1}}, "`scale`"),
        ({**SCALE, "scale": {"low": 0, "high": 1000}}, "`scale` has more than 101 scores"),
        ({**SCALE, "scale": {"low": "x", "high": 1}}, "`scale.low` is 'x'"),
        ({**SCALE, "choices": [{"answer": "6", "score": 6}]}, "`choices` has the answer '6' with score 6"),
        ({**SCALE, "choices": [{"answer": "good", "score": 5}]}, "each answer is its score"),
        ({**SCALE, "scale": None}, "`choices` needs at least two verdicts"),
        ({**WORDS, "choices": WORDS["choices"][::-1]}, "`choices` has the scores"),
        ({**WORDS, "choices": [*WORDS["choices"], {"answer": "Good", "score": 2}]}, "`choices` has the answers"),
        (
            {**WORDS, "choices": [{"answer": "a", "score": 0, "pattern": "("}, {"answer": "b", "score": 1}]},
            "pattern",
        ),
        ({**WORDS, "protocol": "joint"}, "`protocol` is 'joint'"),
        ({**SCALE, "protocol": "pairwise"}, "`choices` has the scores"),
        ({**WORDS, "protocol": "both"}, "`protocol` is 'both'"),
        ({**WORDS, "verdict": {"name": "answer"}}, "`verdict` has the name 'answer'"),
        ({**WORDS, "verdict": {"name": "a:b"}}, "`verdict` has the name 'a:b'"),
        ({**WORDS, "name": "a b"}, "`name` is 'a b'"),
        ([], "a rubric is a table"),
    ]
    for content, words in cases:
        with subtests.test(repr((content, words))):
            with pytest.raises(ConfigError) as caught:
                Rubric.from_dict(content)
            assert words in str(caught.value)
            assert "\n" not in str(caught.value)


def test_a_wrong_file_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`rubric` 'score_0_6'"):
        read_rubric("score_0_6")
    with pytest.raises(ConfigError, match=r"cannot be read: No such file"):
        read_rubric(tmp_path / "none.toml")
    torn = tmp_path / "torn.toml"
    torn.write_text("name = \n")
    with pytest.raises(ConfigError, match=r"^torn.toml: .*line 1.*Correct the TOML"):
        read_rubric(torn)
    torn.write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_rubric(torn)
