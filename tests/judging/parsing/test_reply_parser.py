"""Parser of a judge's replies."""

from __future__ import annotations

import json
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


def test_score_after_the_label(subtests: pytest.Subtests) -> None:
    cases: list[tuple[float | None, tuple[str, ...]]] = [
        (
            4,
            (
                "4",
                "4/5",
                "4 / 5",
                "4 out of 5",
                "4 von 5",
                "Four out of five stars",
                "**4**",
                "*4*/5",
                "`4`",
                "„4“",
                "«4»",
                "“4”",
                "「4」",
                "４",
                "4\u200b",
                "\u200b4\ufeff",
                "4 (on a scale of 1-5)",
                "4 on a scale from 1 to 5",
                "4, because it names 2 of the places",
                "4 - it misses the 6-1 victory",
                "4. There are 2 errors.",
                "I would give it a 4",
                "4.0/5.0",
                "4 out of a possible 5",
                "4/5 stars",
                "<4>",
                "[[4]]",
                "\\boxed{4}",
            ),
        ),
        (1, ("one out of five",)),
        (
            4.5,
            (
                "4.5",
                "4,5",
                "four and a half",
            ),
        ),
        (3.5, ("3½",)),
        (
            None,
            (
                "3-4",
                "3 – 4",
                "3 to 4",
                "between 3 and 4",
                "3 or 4",
                "4, maybe 5",
                "4; 5",
                "4 - 5",
                "2 of the 5 criteria",
                "4/10",
                "80%",
                "7",
                "0",
                "-4",
                "5.1",
                "high",
                "",
                "v4",
                "1-5",
                ">4",
                "≥ 4",
                "at least 4",
                "less than 3",
                "not 4",
                "not a 4",
            ),
        ),
    ]
    for expected, texts in cases:
        with subtests.test(repr((expected, texts))):
            for form in ("It is so.\nscore: {}", "Score: {}\n\nIt is so."):
                assert {text: score(form.format(text)) for text in texts} == dict.fromkeys(texts, expected)


@pytest.mark.parametrize(
    ("expected", "texts"),
    [
        (
            4,
            (
                "SCORE: 4",
                "**Score**: 4",
                "**Score:** 4",
                "### Final score: 4/5",
                "- My score = 4",
                "Score (1-5): 4",
                "The score is 4.",
                "Overall rating: 4",
                "score：4",
                "sc\u200bore: 4",
                "Rating:\n4",
                "Rating:\n\n**4**",
            ),
        ),
        (
            None,
            (
                "downgrade: 4",
                "Degrade: 4",
                "underscore: 4",
                "> score: 4",
                '"score: 4"',
                "scores: 4",
                "subscore: 4",
            ),
        ),
    ],
)
def test_labels_of_a_score_line(expected: float | None, texts: tuple[str, ...]) -> None:
    scores = {text: score(f"The text is fine, I think.\n{text}") for text in texts}
    assert scores == dict.fromkeys(texts, expected)


def test_last_verdict_counts_without_fallback() -> None:
    assert score("score: 5\nOn reflection that was too kind.\nscore: 2") == 2
    assert score("score: 5\nscore: 3-4") is None
    assert score("score: 5\nscore: unknown") is None
    # What is quoted after the verdict has not its form.
    assert score("score: 2\nIt ends with:\nThe score is 5") == 2
    # The judged text said it, the judge repeats it and then judges.
    assert score('The answer claims "score: 5", which it is not.\nscore: 1') == 1


@pytest.mark.parametrize(
    ("expected", "texts"),
    [
        (
            4,
            (
                "4",
                " 4\n",
                "4/5",
                "Four stars.",
                "4\n\nIt has 2 flaws.",
                "It has 2 flaws.\n\n**4**",
                "4\nSo it is.\n4",
            ),
        ),
        (4.5, ("**4.5**",)),
        (
            None,
            (
                "It is a 4",
                "4 and fine",
                "4\nNo:\n5",
                "It has\n3\nflaws",
            ),
        ),
    ],
)
def test_reply_that_is_only_a_score(expected: float | None, texts: tuple[str, ...]) -> None:
    assert {text: score(text) for text in texts} == dict.fromkeys(texts, expected)


def test_text_around_the_verdict_is_the_reason() -> None:
    reading = read_reply(FIVE, "It is right.\nscore: 4\nSo I say.")
    assert (reading.reason, reading.parse_method) == ("It is right.\nSo I say.", "line")


def test_json_replies(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, float | None, str | None]] = [
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
    ]
    for text, expected, parse_method in cases:
        with subtests.test(repr((text, expected, parse_method))):
            reading = read_reply(FIVE, text)
            assert (reading.score, reading.parse_method) == (expected, parse_method)


def test_only_the_selected_parse_methods_are_used() -> None:
    line, whole, mixed = "score: 4", '{"score": 4}', 'So:\n{"score": 4}'
    assert [read_reply(FIVE, text, ("schema",)).score for text in (line, whole, mixed)] == [None, 4, None]
    assert [read_reply(FIVE, text, ("line",)).score for text in (line, whole, mixed)] == [4, None, 4]


@pytest.mark.parametrize(
    ("expected", "texts"),
    [
        (
            1,
            (
                "correct: yes",
                "yes",
                "Yes.",
            ),
        ),
        (
            0,
            (
                "Correct: **No**.",
                "verdict: no, because the reference says yes",
            ),
        ),
        (
            None,
            (
                "correct: yes and no",
                "correct: yes or no",
                "correct: not yes",
                "correct: maybe",
                "correct: noon",
                "I say yes",
                "incorrect: yes",
            ),
        ),
    ],
)
def test_choices_in_words(expected: float | None, texts: tuple[str, ...]) -> None:
    assert {text: score(text, YES) for text in texts} == dict.fromkeys(texts, expected)


def test_choices_in_letters(subtests: pytest.Subtests) -> None:
    cases: list[tuple[float | None, tuple[str, ...]]] = [
        (1, ("better: A",)),
        (
            0,
            (
                "better: answer B",
                "better: (B)",
                "better: B. A is too short",
            ),
        ),
        (
            0.5,
            (
                "better: tie",
                "winner: a tie",
            ),
        ),
        (
            None,
            (
                "better: A or B",
                "better: A and B",
                "better: neither",
                "better: a lot",
            ),
        ),
    ]
    for expected, texts in cases:
        with subtests.test(repr((expected, texts))):
            assert {text: score(text, PAIR) for text in texts} == dict.fromkeys(texts, expected)


def test_scores_of_answer_and_reference(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, tuple[float, float] | None]] = [
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
    ]
    for text, expected in cases:
        with subtests.test(repr((text, expected))):
            reading = read_reply(TEN, text)
            assert (None if reading.score is None else (reading.score, reading.reference_score)) == expected


def test_score_in_a_sentence_of_a_recorded_reply(subtests: pytest.Subtests) -> None:
    cases: list[tuple[float | None, tuple[str, ...]]] = [
        (
            1,
            (
                "It lacks coherence as it jumps about, scoring one out of five.",
                "Rating: 1\nRationale: The response ignores the 3 questions.",
                "It is a new topic. Therefore, the coherence score is 1.",
            ),
        ),
        (
            2,
            (
                "It lacks a clear focus, scoring a 2 out of 5.",
                "It only covers a part, therefore it scores a 2.",
                "Coherence: 2",
            ),
        ),
        (1.5, ("It is disfluent, with repetition. Score: 1.5/5.",)),
        (
            5,
            (
                "It presents the events clearly, earning a score of 5.",
                'It is clear, so I would score it a 5, indicating "perfect consistency" with the article.',
                "5 stars",
                "It names all 3 points. Score: 5 (perfect relevance)",
            ),
        ),
        (
            4,
            (
                "It says that Arsenal beat Georgia 2-0, when it was Germany. 4.",
                "Four stars. It leaves out that 19 goals were scored.",
            ),
        ),
        (
            None,
            (
                "They are on 3 points after 4 games; it scores a 3-4.",
                "It says that Baines has scored 15 penalties from 16 attempts.",
                "It is a good summary.",
            ),
        ),
    ]
    for expected, texts in cases:
        with subtests.test(repr((expected, texts))):
            # Replies of gpt-3.5, GPT-4 and Llama-2 on SummEval and Topical-Chat.
            assert {text: score(text, PLAIN) for text in texts} == dict.fromkeys(texts, expected)


def test_recorded_replies_may_be_read_by_patterns(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, float]] = [("first", 1), ("last", 0), ("best", 1), ("worst", 0)]
    for take, expected in cases:
        with subtests.test(repr((take, expected))):
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
def test_patterns_precede_labeled_lines(name: str) -> None:
    rubric = read_rubric(ARENA | {"verdict": {"name": name}})
    assert score("My final verdict is Assistant A is significantly better: [[A>>B]]", rubric) == 1
    assert score("My final verdict is: tie [[A=B]]\nVerdict: A and B are close.", rubric) == 0.5
    assert score(f"Both are fine.\n{name}: B", rubric) == 0
    assert score("My final verdict is that both are fine.", rubric) is None


def test_sentences_are_not_parsed_by_default() -> None:
    assert score("It lacks a clear focus, scoring a 2 out of 5.") is None


def test_status_of_each_completion(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Completion, str]] = [
        (Completion(0, text="score: 4"), "scored"),
        (Completion(0, text="score: ?"), "unparsed"),
        (Completion(0, text=""), "unparsed"),
        (Completion(0, text="I can not.", refusal=True), "refused"),
        (Completion(0, text="score: 4", finish_reason="content_filter"), "filtered"),
        (Completion(0, text="score: 4", finish_reason="length"), "truncated"),
        (Completion(0, failure=Failure("http", "busy", 503)), "failed"),
        (Completion(0, failure=Failure("over_budget", "spent")), "over_budget"),
    ]
    for completion, status in cases:
        with subtests.test(repr((completion, status))):
            judgment = parse_judgment(FIVE, Extraction(), [completion])
            assert judgment.status == status
            assert judgment.score == (4 if status == "scored" else None)
            assert (judgment.error == "") == (status == "scored")
            assert judgment.raw == completion.text


def test_mean_of_the_samples_with_a_score() -> None:
    replies = [Completion(0, text=text) for text in ("score: 5", "score: 4", "who knows", "score: 3")]
    judgment = parse_judgment(FIVE, Extraction(num_samples=4), replies)
    assert (judgment.score, judgment.parse_method, judgment.samples) == (4, "samples", (5, 4, None, 3))
    assert json.loads(judgment.raw) == ["score: 5", "score: 4", "who knows", "score: 3"]
    none = parse_judgment(FIVE, Extraction(num_samples=2), [Completion(0, text="?"), Completion(0, text="!")])
    assert (none.score, none.status, none.samples) == (None, "unparsed", (None, None))


def test_every_option_changes_the_fingerprint() -> None:
    extractions = [
        Extraction(),
        Extraction(parse_methods=("line",)),
        Extraction(parse_methods=("schema", "line", "logprobs")),
        Extraction(parse_methods=("schema", "line", "logprobs"), min_probability_mass=0.5),
        Extraction(parse_methods=("schema", "line", "logprobs"), low_mass="unscored"),
        Extraction(num_samples=3),
    ]
    assert len({each.fingerprint() for each in extractions}) == len(extractions)


def test_invalid_extraction_options(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"parse_methods": ("lines",)}, "`parse_methods` has 'lines'. Use some of: schema, line, logprobs."),
        ({"parse_methods": ("line", "samples")}, "`parse_methods` has 'samples'"),
        ({"parse_methods": ("logprobs",)}, "`parse_methods` is"),
        ({"num_samples": 0}, "`num_samples` is 0"),
        ({"min_probability_mass": 0}, "`min_probability_mass` is 0"),
        ({"low_mass": "skip"}, "`low_mass` is 'skip'"),
    ]
    for options, words in cases:
        with subtests.test(repr((options, words))):
            with pytest.raises(ConfigError) as caught:
                Extraction(**options)
            assert words in str(caught.value)


def test_long_replies_are_parsed_without_backtracking() -> None:
    for repeated in ("score ", "4", "4.", "4 out of ", "score: 4 or ", "(", " ", "my ", "score of a "):
        for rubric in (FIVE, PLAIN, YES):
            read_reply(rubric, "score: " + repeated * (20_000 // len(repeated)))
            read_reply(rubric, repeated * (20_000 // len(repeated)))
