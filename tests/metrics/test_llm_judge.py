"""The judge as evaluate loads it, with a real server on this machine; and the page of its Space."""

from __future__ import annotations

import importlib.util
import json
import math
import multiprocessing
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hf_synthlabels
from hf_synthlabels.clients import OpenAIClient, ResponseStore, ScriptedClient
from hf_synthlabels.errors import AllFailedError, ConfigError, MissingKeyError, StoreError
from hf_synthlabels.judging import Judge, read_rubric
from tests.servers.chat import LabelServer

FOLDER = Path(__file__).resolve().parents[2] / "metrics" / "llm_judge"
ANSWER = re.compile(r"<(?:answer|answer a)>\n(.*?)\n</", re.S | re.I)


def by_length(message: str) -> str:
    """A judge that counts letters."""
    found = ANSWER.search(message)
    assert found is not None, message
    answer = found[1]
    return "I can not tell." if "?" in answer else f"It has letters.\nscore: {min(5, len(answer))}"


@pytest.fixture
def server() -> Iterator[LabelServer]:
    with LabelServer(by_length) as running:
        yield running


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: LabelServer) -> Any:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import evaluate

    def load(*args: Any, **options: Any) -> Any:
        if "client" not in options:
            member = {"model": "tiny", "base_url": server.base_url, "api_key_env": None, "response_format": "text"}
            options["judge"] = member | options.get("judge", {})
        return evaluate.load(str(FOLDER), *args, cache_dir=str(tmp_path), **options)

    return load


def test_numbers_are_those_of_the_package_and_plain(load: Any, server: LabelServer, tmp_path: Path) -> None:
    answers = ["abc", "ab", "?", None, "", "abcdefgh"]
    found = load("pointwise", level=0.9).compute(predictions=answers, inputs=["Letters"] * 6)
    client = OpenAIClient(model="tiny", base_url=server.base_url, api_key_env=None)
    summary = Judge(read_rubric("score_0_5"), client).judge(answers, inputs=["Letters"] * 6, level=0.9).summary
    assert found["mean"] == pytest.approx((3 + 2 + 5) / 3)
    assert (found["mean_low"], found["mean_high"]) == (summary.mean.low, summary.mean.high)
    assert (found["n"], found["n_scored"], found["coverage"], found["level"]) == (6, 3, 0.5, 0.9)
    assert (found["n_unscored"], found["n_unscored_unparsed"], found["n_unscored_empty"]) == (3, 1, 2)
    # The three could all be 0, or all be 5.
    assert (found["lowest_mean"], found["highest_mean"]) == (10 / 6, 25 / 6)
    assert (found["requests"], found["prompt_tokens"], found["completion_tokens"]) == (4, 40, 4)
    assert math.isnan(found["cost_usd"])
    assert all(type(value) is float for value in found.values())
    json.dumps(found)


def test_what_was_judged_before_is_not_paid_for_again(load: Any, server: LabelServer) -> None:
    price = {"price": {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}}
    first = load("pointwise", judge=price).compute(predictions=["a", "bc"])
    again = load("pointwise", judge=price).compute(predictions=["bc", "a"], return_items=True)
    assert (first["requests"], again["requests"], again["stored"]) == (2, 0, 2)
    assert (first["cost_usd"], again["cost_usd"]) == (pytest.approx(2 * 12e-6), 0)
    assert len(server.requests) == 2
    assert again["scores"] == [2.0, 1.0]
    assert again["reasons"] == ["It has letters."] * 2
    assert again["judge"]["rubric"] == "score_0_5"


def test_a_reference_is_one_text_or_several(load: Any, server: LabelServer) -> None:
    metric = load("reference", rubric="correctness")
    server.answer = lambda message: "correct: yes" if "Paris" in message else "correct: no"
    found = metric.compute(predictions=["it", "is", "so"], references=[["Paris", "paris"], "Rome", None])
    assert (found["mean"], found["n_scored"]) == (pytest.approx(1 / 3), 3)
    # Requests are concurrent, so the server may get them in any order.
    assert any(
        "Paris" in message and "paris" in message for message in (str(body["messages"]) for body in server.bodies)
    )


def test_answer_and_reference_are_scored_together(load: Any, server: LabelServer) -> None:
    server.answer = lambda _: "4,8"
    found = load("faysse2023").compute(predictions=["a", "b"], references=["x", ["y"]], inputs=["q", "r"])
    assert (found["mean"], found["unit_mean"], found["reference_mean"], found["ratio"]) == (4, 0.4, 8, 0.5)


def test_pairs_are_asked_in_both_orders(load: Any, server: LabelServer) -> None:
    # Whatever stands first, unless it is empty of letters.
    def first(message: str) -> str:
        return "better: B" if "worst" in message.split("answer A>")[1] else "better: A"

    server.answer = first
    found = load("pairwise").compute(
        predictions=["good", "fine"], others=["worst", "nice"], inputs=["q", "q"], return_items=True
    )
    assert len(server.requests) == 4
    assert found["winners"] == ["first", "tie"]
    assert (found["win_rate"], found["n_first"], found["n_tie"], found["n_second"]) == (0.75, 1, 1, 0)
    assert found["consistency"] == 0.5
    # Of four verdicts three are for what was shown first.
    assert (found["shown_first"], found["shown_first_n"]) == (0.75, 4)


def test_a_jury_is_a_list_of_judges(load: Any, server: LabelServer) -> None:
    import evaluate

    shared = {"base_url": server.base_url, "api_key_env": None, "response_format": "text", "max_in_flight": 1}
    members = [{"model": model, **shared} for model in ("small", "large", "large")]
    server.answer = lambda _: "score: 5" if server.bodies[-1]["model"] == "small" else "score: 2"
    metric = evaluate.load(str(FOLDER), "pointwise", judge=members, reducer="median")
    found = metric.compute(predictions=["a"], return_items=True)
    assert (found["mean"], found["samples"]) == (2, [[5.0, 2.0, 2.0]])
    assert found["judge"]["members"] == ["small", "large-1", "large-2"]


@pytest.mark.parametrize(
    ("config", "columns", "message"),
    [
        ("pointwise", {"predictions": ["a"], "references": ["b"]}, "`references` is not a column"),
        ("pointwise", {"inputs": ["a"]}, "`predictions` is missing"),
        ("reference", {"predictions": ["a"]}, "`references` is missing"),
        ("pairwise", {"predictions": ["a"], "answers": ["a"]}, "`answers` is not a column"),
        ("pointwise", {"predictions": ["a", 7]}, "`predictions` has 7 in row 1, a int. Give texts."),
        ("reference", {"predictions": ["a"], "references": [["x", 3.5]]}, "`references` has 3.5 in row 0"),
        ("pointwise", {"predictions": "abc"}, "`predictions` is the text 'abc'"),
        (
            "pointwise",
            {"predictions": ["a"], "inputs": ["b", "c"]},
            "columns differ in length: predictions 1, inputs 2",
        ),
    ],
)
def test_wrong_columns_are_told_before_anything_is_asked(
    load: Any, server: LabelServer, config: str, columns: dict[str, Any], message: str
) -> None:
    metric = load(config)
    with pytest.raises(ValueError, match=re.escape(message)):
        metric.compute(**columns)
    assert server.requests == []
    # Nothing of it is left behind.
    if config == "pointwise":
        assert metric.compute(predictions=["abc"])["mean"] == 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"jugde": {}}, ValueError, "`jugde` is not an option"),
        ({"rubric": "score_1_7"}, ConfigError, "score_1_7"),
        ({"rubric": "preference"}, ConfigError, "`rubric` 'preference' compares two answers"),
        ({"rubric": "faysse2023"}, ConfigError, "faysse2023"),
        ({"judge": {"modle": "x"}}, ConfigError, "`judge.modle` is not a key. Did you mean `model`?"),
        ({"judge": {"api_key_env": "NO_SUCH_KEY"}}, MissingKeyError, "NO_SUCH_KEY"),
        ({"extraction": {"parse_methods": ["guess"]}}, ConfigError, "parse_methods"),
        ({"level": 95}, ValueError, "`level` is 95"),
        ({"weights": {"tiny": 1.0}}, ConfigError, "`weights` belong to the reducer 'weighted'"),
    ],
)
def test_wrong_options_are_told_at_load(
    load: Any, options: dict[str, Any], error: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(error, match=re.escape(message)):
        load("pointwise", **options)


def test_a_configuration_that_is_not_there_is_told(load: Any) -> None:
    with pytest.raises(ConfigError, match="`config_name` is 'pairs': give one of pointwise, reference, pairwise"):
        load("pairs")


def test_missing_judge_is_an_error() -> None:
    import evaluate

    with pytest.raises(ConfigError, match="`judge`"):
        evaluate.load(str(FOLDER), "pointwise")


def test_nothing_to_judge_is_nan(load: Any, server: LabelServer) -> None:
    found = load("pointwise").compute(predictions=[])
    assert found["n"] == 0
    assert math.isnan(found["mean"])
    assert math.isnan(found["coverage"])
    assert server.requests == []


def test_a_judge_that_can_not_be_read_gives_no_zero(load: Any, server: LabelServer) -> None:
    server.answer = lambda _: "As an AI, I like all answers."
    found = load("pointwise").compute(predictions=["a", "b"])
    assert math.isnan(found["mean"])
    assert (found["coverage"], found["n_unscored_unparsed"]) == (0, 2)
    assert (found["lowest_mean"], found["highest_mean"]) == (0, 5)


def test_an_endpoint_that_goes_away_stops_early_and_keeps_what_was_scored(load: Any, server: LabelServer) -> None:
    answers = [f"answer {number}" for number in range(200)]
    server.answer = lambda message: by_length(message) if len(server.requests) <= 30 else (401, "no such key")
    judge = {"max_in_flight": 1, "max_retries": 0}
    found = load("pointwise", judge=judge).compute(predictions=answers, return_items=True)
    assert found["n"] == 200
    assert found["n_scored"] >= 30
    assert found["n_unscored_failed"] == 200 - found["n_scored"]
    scored = found["n_scored"]
    asked = len(server.requests)
    server.answer = by_length
    again = load("pointwise", judge=judge).compute(predictions=answers)
    assert (again["coverage"], again["stored"]) == (1, scored)
    assert len(server.requests) - asked == 200 - scored


def test_a_rejected_key_raises_and_added_rows_stay(load: Any, server: LabelServer) -> None:
    server.answer = lambda _: (401, "no such key")
    metric = load("pointwise", judge={"max_retries": 0})
    with pytest.raises(AllFailedError, match="no such key"):
        metric.compute(predictions=["a"] * 3 + ["b"] * 100)
    metric.add_batch(predictions=["abc"])
    metric.add(prediction="a")
    with pytest.raises(AllFailedError, match="no such key"):
        metric.compute()
    server.answer = by_length
    # The three columns of the failed call are gone, the two added rows are not.
    scores = metric.compute(return_items=True)
    assert scores["scores"] == [3, 1]
    assert metric.compute(predictions=["abcd"])["mean"] == 4


def test_a_store_that_cannot_be_opened_raises(load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metric = load("pointwise")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path / "file" / "below"))
    with pytest.raises(StoreError):
        metric.compute(predictions=["a", "b"])


def test_half_a_surrogate_pair_is_judged(load: Any, server: LabelServer) -> None:
    server.answer = lambda _: "score: 3"
    assert load("pointwise").compute(predictions=["ab\ud83d"])["mean"] == 3


def test_rows_come_in_batches_one_by_one_and_beside_other_metrics(load: Any, tmp_path: Path) -> None:
    import evaluate

    metric = load("reference")
    metric.add(prediction="abc", reference="x")
    metric.add_batch(predictions=["ab", "?"], references=[["x"], ["y", "z"]])
    assert metric.compute()["mean"] == 2.5
    bleu = evaluate.load(hf_synthlabels.metric_path("bleu_accuracy"), cache_dir=str(tmp_path))
    both = evaluate.combine([load("reference"), bleu])
    both.add_batch(predictions=["abc", "ab"], references=[["abc"], ["x"]], inputs=["q", "r"])
    found = both.compute()
    assert (found["mean"], found["accuracy"]) == (2.5, 0.5)


def test_a_client_of_ones_own_is_asked_through_the_store(load: Any, tmp_path: Path) -> None:
    client = ScriptedClient(lambda _: "score: 1")
    assert load("pointwise", client=client).compute(predictions=["a", "a"])["mean"] == 1
    assert len(client.requests) == 1
    with ResponseStore(Path(hf_synthlabels.resources.store_path())) as store:
        assert len(store) == 1


def in_a_process(rank: int, folder: str, base_url: str, results: Any) -> None:
    import evaluate

    judge = {"model": "tiny", "base_url": base_url, "api_key_env": None, "response_format": "text"}
    shared = {"num_process": 2, "process_id": rank, "experiment_id": "judged", "cache_dir": folder}
    metric = evaluate.load(str(FOLDER), "pointwise", judge=judge, **shared)
    results.put((rank, metric.compute(predictions=["a" * (2 * rank + number) for number in (1, 2)])))


@pytest.mark.slow
def test_two_processes_have_one_result(server: LabelServer, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [
        context.Process(target=in_a_process, args=(rank, str(tmp_path), server.base_url, results)) for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    found = dict(results.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(30)
    assert found[1] is None
    # Letters: 1 and 2 of the first, 3 and 4 of the second.
    assert (found[0]["n"], found[0]["mean"]) == (4, 2.5)
    assert len(server.requests) == 4


@pytest.fixture(scope="module")
def app() -> Any:
    spec = importlib.util.spec_from_file_location("llm_judge_app", FOLDER / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_asks_with_the_visitors_key_and_keeps_it_nowhere(
    app: Any, server: LabelServer, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    told, rows = app.judged("abc\n?", "q", "score_0_5", "tiny", server.base_url, " sk-visitor ")
    assert rows[0] == ["abc", "3", "scored", "It has letters."]
    assert rows[1][1:3] == ["", "unparsed"]
    assert told.startswith("mean 3.000")
    assert server.keys == {"Bearer sk-visitor"}
    assert not any(b"sk-visitor" in file.read_bytes() for file in home.rglob("*") if file.is_file())
    server.answer = lambda _: (401, "Incorrect API key provided: sk-visitor")
    told, rows = app.judged("d", "q", "score_0_5", "tiny", server.base_url, "sk-visitor")
    assert "Incorrect API key provided: ***" in told
    assert "sk-visitor" not in told + str(rows)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answers": " "}, "Give at least one answer."),
        ({"answers": "a\n" * 51}, "The page takes 50 answers"),
        ({"key": ""}, "give your key"),
        ({"server": "http://169.254.169.254/v1"}, "The page speaks to https://api.openai.com/v1"),
    ],
)
def test_the_page_says_what_is_missing(
    app: Any, changes: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPACE_ID", "someone/llm_judge")
    given = {"answers": "a", "inputs": "", "rubric": "score_0_5", "model": "m", "server": app.SERVERS[0], "key": "k"}
    told, rows = app.judged(**(given | changes))
    assert message in told
    assert rows == []


def test_the_page_is_made(app: Any) -> None:
    pytest.importorskip("gradio", reason="needs the extra `app`")
    assert "Your key" in str(app.page().config)


def test_several_criteria_and_own_answers(load: Any) -> None:
    criteria = {
        "accuracy": {"instructions": "Is it true?", "scale": {"low": 1, "high": 5}, "weight": 3},
        "tone": {"instructions": "Is it polite?", "labels": ["rude", "polite"]},
    }
    rubric = {"name": "answers", "instructions": "Judge.", "criteria": criteria}

    def reply(request: Any) -> str:
        content = request.messages[-1].content
        return (
            "mine" if "<answer>" not in content else "accuracy: 3\ntone: polite" if "good" in content else "accuracy: 3"
        )

    metric = load("pointwise", rubric=rubric, client=ScriptedClient(reply), commit_first=True)
    result = metric.compute(predictions=["good", "bad"], inputs=["q", "r"], return_items=True)
    assert (result["accuracy_mean"], result["tone_mean"], result["tone_coverage"]) == (3.0, 1.0, 0.5)
    # Accuracy is at half of its scale.
    assert (result["mean"], result["statuses"]) == (pytest.approx((3 * 0.5 + 1) / 4), ["scored", "missing"])
    # Two own answers, two joint requests, and the tone of the second alone.
    assert (result["requests"], result["tone_statuses"]) == (5.0, ["scored", "missing"])
    assert result["judge"]["criteria"]["tone"]["weight"] == 1
    assert result["n_unscored_missing"] == 1.0
