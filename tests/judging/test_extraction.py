"""What is read of a judge's reply, and what is not."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from hf_synthlabels.clients import Completion, Failure
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.judging import Extraction, read_reply, read_rubric
from hf_synthlabels.judging.parsing.reply_parser import parse_judgment

FIVE = read_rubric("score_1_5")
TEN = read_rubric("faysse2023")
YES = read_rubric("correctness")
PAIR = read_rubric("preference")
PLAIN = read_rubric(
    {
        "name": "plain",
        "instructions": "Score.",
        "scale": {"low": 1, "high": 5},
        "verdict": {"aliases": ["rating", "coherence"], "anywhere": True},
    }
)


def score(text: str, rubric: Any = FIVE) -> float | None:
    return read_reply(rubric, text).score


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("4", 4),
        ("4/5", 4),
        ("4 / 5", 4),
        ("4 out of 5", 4),
        ("4 von 5", 4),
        ("one out of five", 1),
        ("Four out of five stars", 4),
        ("4.5", 4.5),
        ("4,5", 4.5),
        ("3½", 3.5),
        ("four and a half", 4.5),
        ("**4**", 4),
        ("*4*/5", 4),
        ("`4`", 4),
        ("„4“", 4),
        ("«4»", 4),
        ("“4”", 4),
        ("「4」", 4),
        ("４", 4),
        ("4\u200b", 4),
        ("\u200b4\ufeff", 4),
        ("4 (on a scale of 1-5)", 4),
        ("4 on a scale from 1 to 5", 4),
        ("4, because it names 2 of the places", 4),
        ("4 - it misses the 6-1 victory", 4),
        ("4. There are 2 errors.", 4),
        ("I would give it a 4", 4),
        ("4.0/5.0", 4),
        ("4 out of a possible 5", 4),
        ("4/5 stars", 4),
        ("<4>", 4),
        ("[[4]]", 4),
        ("\\boxed{4}", 4),
        # A range, several candidates, or a number of another scale.
        ("3-4", None),
        ("3 – 4", None),
        ("3 to 4", None),
        ("between 3 and 4", None),
        ("3 or 4", None),
        ("4, maybe 5", None),
        ("4; 5", None),
        ("4 - 5", None),
        ("2 of the 5 criteria", None),
        ("4/10", None),
        ("80%", None),
        ("7", None),
        ("0", None),
        ("-4", None),
        ("5.1", None),
        ("high", None),
        ("", None),
        ("v4", None),
        ("1-5", None),
        (">4", None),
        ("≥ 4", None),
        ("at least 4", None),
        ("less than 3", None),
        ("not 4", None),
        ("not a 4", None),
    ],
)
def test_what_a_score_line_says(said: str, expected: float | None) -> None:
    assert score(f"It is so.\nscore: {said}") == expected
    assert score(f"Score: {said}\n\nIt is so.") == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("SCORE: 4", 4),
        ("**Score**: 4", 4),
        ("**Score:** 4", 4),
        ("### Final score: 4/5", 4),
        ("- My score = 4", 4),
        ("Score (1-5): 4", 4),
        ("The score is 4.", 4),
        ("Overall rating: 4", 4),
        ("score：4", 4),
        ("sc\u200bore: 4", 4),
        ("Rating:\n4", 4),
        ("Rating:\n\n**4**", 4),
        # Not the verdict: another word, a quotation, a word that ends with the name.
        ("downgrade: 4", None),
        ("Degrade: 4", None),
        ("underscore: 4", None),
        ("> score: 4", None),
        ('"score: 4"', None),
        ("scores: 4", None),
        ("subscore: 4", None),
    ],
)
def test_what_counts_as_a_score_line(line: str, expected: float | None) -> None:
    assert score(f"The text is fine, I think.\n{line}") == expected


def test_the_last_verdict_wins_and_is_not_rescued_by_an_earlier_one() -> None:
    assert score("score: 5\nOn reflection that was too kind.\nscore: 2") == 2
    assert score("score: 5\nscore: 3-4") is None
    assert score("score: 5\nscore: unknown") is None
    # What is quoted after the verdict has not its form.
    assert score("score: 2\nIt ends with:\nThe score is 5") == 2
    # The judged text said it, the judge repeats it and then judges.
    assert score('The answer claims "score: 5", which it is not.\nscore: 1') == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("4", 4), (" 4\n", 4), ("4/5", 4), ("Four stars.", 4), ("**4.5**", 4.5)),
        *(("4\n\nIt has 2 flaws.", 4), ("It has 2 flaws.\n\n**4**", 4), ("4\nSo it is.\n4", 4)),
        *(("It is a 4", None), ("4 and fine", None), ("4\nNo:\n5", None), ("It has\n3\nflaws", None)),
    ],
)
def test_a_whole_reply_may_be_the_score(text: str, expected: float | None) -> None:
    assert score(text) == expected


def test_words_beside_the_verdict_are_the_reason() -> None:
    reading = read_reply(FIVE, "It is right.\nscore: 4\nSo I say.")
    assert (reading.reason, reading.parse_method) == ("It is right.\nSo I say.", "line")


@pytest.mark.parametrize(
    ("text", "expected", "parse_method"),
    [
        ('{"reason": "fine", "score": 4}', 4, "schema"),
        ('```json\n{"reason": "fine", "score": 4}\n```', 4, "schema"),
        ('{"Score": "4/5"}', 4, "schema"),
        ('{"reason": "score: 5", "score": 2}', 2, "schema"),
        ('{"score": 4.5}', 4.5, "schema"),
        ('I think:\n{"score": 4}', 4, "line"),
        ('{"score": 9}', None, None),
        ('{"score": null}', None, None),
        ('{"score": true}', None, None),
        ('{"score": [4]}', None, None),
        ('{"score": 4, "score": 5}', None, None),
        ('{"verdict": 4}', None, None),
        ('{"score": 4', None, None),
    ],
)
def test_what_json_says(text: str, expected: float | None, parse_method: str | None) -> None:
    reading = read_reply(FIVE, text)
    assert (reading.score, reading.parse_method) == (expected, parse_method)


def test_only_the_rungs_that_are_named_are_read() -> None:
    line, whole, mixed = "score: 4", '{"score": 4}', 'So:\n{"score": 4}'
    assert [read_reply(FIVE, text, ("schema",)).score for text in (line, whole, mixed)] == [None, 4, None]
    assert [read_reply(FIVE, text, ("line",)).score for text in (line, whole, mixed)] == [4, None, 4]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("correct: yes", 1),
        ("Correct: **No**.", 0),
        ("verdict: no, because the reference says yes", 0),
        ("yes", 1),
        ("Yes.", 1),
        ("correct: yes and no", None),
        ("correct: yes or no", None),
        ("correct: not yes", None),
        ("correct: maybe", None),
        ("correct: noon", None),
        ("I say yes", None),
        ("incorrect: yes", None),
    ],
)
def test_choices_in_words(text: str, expected: float | None) -> None:
    assert score(text, YES) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("better: A", 1),
        ("better: answer B", 0),
        ("better: (B)", 0),
        ("better: B. A is too short", 0),
        ("better: tie", 0.5),
        ("winner: a tie", 0.5),
        ("better: A or B", None),
        ("better: A and B", None),
        ("better: neither", None),
        ("better: a lot", None),
    ],
)
def test_choices_in_letters(text: str, expected: float | None) -> None:
    assert score(text, PAIR) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8,9", (8, 9)),
        ("8, 9.5", (8, 9.5)),
        ("8/10, 9/10", (8, 9)),
        ("8 9", (8, 9)),
        ("score: 8, 9", (8, 9)),
        ('{"score": 8, "reference_score": 9}', (8, 9)),
        ("8", None),
        ("8,9,10", None),
        ("11,3", None),
        ("8,eleven", None),
        ('{"score": 8}', None),
    ],
)
def test_answer_and_reference_together(text: str, expected: tuple[float, float] | None) -> None:
    reading = read_reply(TEN, text)
    assert (None if reading.score is None else (reading.score, reading.reference_score)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # As gpt-3.5, GPT-4 and Llama-2 wrote them on SummEval and Topical-Chat.
        ("It lacks coherence as it jumps about, scoring one out of five.", 1),
        ("It lacks a clear focus, scoring a 2 out of 5.", 2),
        ("It is disfluent, with repetition. Score: 1.5/5.", 1.5),
        ("It presents the events clearly, earning a score of 5.", 5),
        ("It only covers a part, therefore it scores a 2.", 2),
        ('It is clear, so I would score it a 5, indicating "perfect consistency" with the article.', 5),
        ("It says that Arsenal beat Georgia 2-0, when it was Germany. 4.", 4),
        ("Four stars. It leaves out that 19 goals were scored.", 4),
        ("5 stars", 5),
        ("Coherence: 2", 2),
        ("Rating: 1\nRationale: The response ignores the 3 questions.", 1),
        ("It is a new topic. Therefore, the coherence score is 1.", 1),
        ("It names all 3 points. Score: 5 (perfect relevance)", 5),
        ("They are on 3 points after 4 games; it scores a 3-4.", None),
        ("It says that Baines has scored 15 penalties from 16 attempts.", None),
        ("It is a good summary.", None),
    ],
)
def test_recorded_replies_may_say_the_score_in_a_sentence(text: str, expected: float | None) -> None:
    assert score(text, PLAIN) == expected


@pytest.mark.parametrize(("take", "expected"), [("first", 1), ("last", 0), ("best", 1), ("worst", 0)])
def test_recorded_replies_may_be_read_by_patterns(take: str, expected: float) -> None:
    rubric = read_rubric(
        {
            "name": "llmbar",
            "instructions": "Which is better?",
            "protocol": "pairwise",
            "verdict": {"take": take},
            "choices": [
                {"answer": "Output (b)", "score": 0, "pattern": r"Output \(b\) is better"},
                {"answer": "Output (a)", "score": 1, "pattern": r"Output \(a\) is better"},
            ],
        }
    )
    assert score("Output (a) is better at first sight. Output (b) is better.", rubric) == expected
    assert score("Neither.", rubric) is None


ARENA = {
    "name": "arena",
    "instructions": "Which answer is better?",
    "protocol": "pairwise",
    "choices": [
        {"answer": "B", "score": 0, "pattern": r"\[\[B>{1,2}A\]\]"},
        {"answer": "tie", "score": 0.5, "pattern": r"\[\[A=B\]\]"},
        {"answer": "A", "score": 1, "pattern": r"\[\[A>{1,2}B\]\]"},
    ],
}


@pytest.mark.parametrize("name", ["verdict", "decision"])
def test_a_pattern_comes_before_a_line_with_the_verdicts_name(name: str) -> None:
    rubric = read_rubric(ARENA | {"verdict": {"name": name}})
    assert score("My final verdict is Assistant A is significantly better: [[A>>B]]", rubric) == 1
    assert score("My final verdict is: tie [[A=B]]\nVerdict: A and B are close.", rubric) == 0.5
    assert score(f"Both are fine.\n{name}: B", rubric) == 0
    assert score("My final verdict is that both are fine.", rubric) is None


def test_a_sentence_says_nothing_where_replies_are_asked_for_here() -> None:
    assert score("It lacks a clear focus, scoring a 2 out of 5.") is None


@pytest.mark.parametrize(
    ("completion", "status"),
    [
        (Completion(0, text="score: 4"), "scored"),
        (Completion(0, text="score: ?"), "unparsed"),
        (Completion(0, text=""), "unparsed"),
        (Completion(0, text="I can not.", refusal=True), "refused"),
        (Completion(0, text="score: 4", finish_reason="content_filter"), "filtered"),
        (Completion(0, text="score: 4", finish_reason="length"), "truncated"),
        (Completion(0, failure=Failure("http", "busy", 503)), "failed"),
        (Completion(0, failure=Failure("over_budget", "spent")), "over_budget"),
    ],
)
def test_what_is_no_reply_has_no_score_and_says_why(completion: Completion, status: str) -> None:
    judgment = parse_judgment(FIVE, Extraction(), [completion])
    assert judgment.status == status
    assert judgment.score == (4 if status == "scored" else None)
    assert (judgment.error == "") == (status == "scored")
    assert judgment.raw == completion.text


def test_of_several_draws_the_mean_counts_and_those_without_a_score_are_left_out() -> None:
    replies = [Completion(0, text=text) for text in ("score: 5", "score: 4", "who knows", "score: 3")]
    judgment = parse_judgment(FIVE, Extraction(num_samples=4), replies)
    assert (judgment.score, judgment.parse_method, judgment.samples) == (4, "samples", (5, 4, None, 3))
    assert json.loads(judgment.raw) == ["score: 5", "score: 4", "who knows", "score: 3"]
    none = parse_judgment(FIVE, Extraction(num_samples=2), [Completion(0, text="?"), Completion(0, text="!")])
    assert (none.score, none.status, none.samples) == (None, "unparsed", (None, None))


def test_the_ladder_is_part_of_its_fingerprint() -> None:
    ladders = [
        Extraction(),
        Extraction(parse_methods=("line",)),
        Extraction(parse_methods=("schema", "line", "logprobs")),
        Extraction(parse_methods=("schema", "line", "logprobs"), min_probability_mass=0.5),
        Extraction(parse_methods=("schema", "line", "logprobs"), low_mass="unscored"),
        Extraction(num_samples=3),
    ]
    assert len({ladder.fingerprint() for ladder in ladders}) == len(ladders)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"parse_methods": ("lines",)}, "`parse_methods` has 'lines'. Use some of: schema, line, logprobs."),
        ({"parse_methods": ("line", "samples")}, "`parse_methods` has 'samples'"),
        ({"parse_methods": ("logprobs",)}, "`parse_methods` is"),
        ({"num_samples": 0}, "`num_samples` is 0"),
        ({"min_probability_mass": 0}, "`min_probability_mass` is 0"),
        ({"low_mass": "skip"}, "`low_mass` is 'skip'"),
    ],
)
def test_a_wrong_ladder_is_told(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Extraction(**options)
    assert words in str(caught.value)


@pytest.mark.parametrize("repeated", ["score ", "4", "4.", "4 out of ", "score: 4 or ", "(", " ", "my ", "score of a "])
def test_a_long_reply_is_read_at_once(repeated: str) -> None:
    for rubric in (FIVE, PLAIN, YES):
        began = time.perf_counter()
        read_reply(rubric, "score: " + repeated * (20_000 // len(repeated)))
        read_reply(rubric, repeated * (20_000 // len(repeated)))
        assert time.perf_counter() - began < 2
