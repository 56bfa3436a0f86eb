"""A data set is judged as a file says: planned first, written as it comes, and resumed from the store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from hf_synthlabels.annotation import provenance
from hf_synthlabels.clients import ScriptedClient
from hf_synthlabels.errors import AllFailedError, ConfigError, DataError
from hf_synthlabels.judging import JudgeFile, JudgeSummary, judge_dataset, judge_to_files, plan_judge
from hf_synthlabels.judging.pairwise import PairSummary
from tests.servers.base import json_reply
from tests.servers.chat import ChatServer, LabelServer, Reply, chat_completion, error

DOWN = "http://127.0.0.1:9/v1"
"""Nobody listens there."""


def judge_file(folder: Path, base_url: str = DOWN, count: int = 20, **parts: Any) -> JudgeFile:
    rows = [
        {"id": number, "q": f"question {number}", "answer": "x" * (number % 5 + 1), "gold": ["g", "h"], "other": "y"}
        for number in range(count)
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    judge = {
        "client": "openai",
        "model": "tiny",
        "base_url": base_url,
        "api_key_env": None,
        "price": {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2},
        **parts.pop("judge", {}),
    }
    content = {
        "name": "answers",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "rubric": "score_1_5",
        "columns": {"prediction": "answer", "input": "q", "reference": "gold"},
        "judge": judge,
        **parts,
    }
    return JudgeFile.from_dict(content, folder=folder)


def by_length(body: dict[str, Any]) -> str:
    """The longer the answer, the better."""
    answer = body["messages"][-1]["content"].split("<answer>\n")[1].split("\n</answer>")[0]
    return f"It has {len(answer)} letters.\nscore: {len(answer)}"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_json_lines_with_the_judges_columns(tmp_path: Path) -> None:
    with ChatServer(by_length) as server:
        (part,) = judge_to_files(judge_file(tmp_path, server.base_url), tmp_path / "out" / "judged.jsonl")
    assert part.path is not None
    rows = lines(part.path)
    assert [row["id"] for row in rows] == list(range(20))
    assert [row["judge_score"] for row in rows] == [number % 5 + 1 for number in range(20)]
    assert list(rows[0])[5:] == ["judge_score", "judge_status", "judge_parse_method", "judge_reason", "judge_raw"]
    assert (rows[0]["judge_status"], rows[0]["judge_parse_method"]) == ("scored", "line")
    assert rows[2]["judge_reason"] == "It has 3 letters."
    assert isinstance(part.summary, JudgeSummary)
    assert part.summary.mean.estimate == 3
    beside = json.loads((tmp_path / "out" / "judged.jsonl.provenance.json").read_text())
    assert beside == part.record
    assert beside["summary"]["n_scored"] == 20
    # Each reply has 7 tokens in and 2 out.
    assert beside["summary"]["cost_usd"] == pytest.approx(20 * (7 + 2 * 2) / 1e6)
    assert not list(tmp_path.glob("**/*.part"))
    content = server.prompts()[0]
    assert content.count("<reference>") == 2
    assert content.startswith("<input>\nquestion ")


def test_parquet_keeps_types_and_nothing_scored_stays_null(tmp_path: Path) -> None:
    client = ScriptedClient(lambda request: "score: 4" if "question 3\n" in request.messages[1].content else "hm")
    (part,) = judge_to_files(judge_file(tmp_path, count=5), tmp_path / "judged.parquet", client=client)
    table = Dataset.from_parquet(str(part.path), cache_dir=str(tmp_path / "cache"))
    assert list(table["judge_score"]) == [None, None, None, 4.0, None]
    assert [table.features["judge_status"].int2str(code) for code in table["judge_status"]][2:4] == [
        "unparsed",
        "scored",
    ]
    assert table["judge_reason"][0].startswith("no line begins with `score:`")
    assert part.record["summary"]["n_unscored"] == {"unparsed": 4}
    assert part.record["summary"]["lowest_mean"] == (4 + 4 * 1) / 5


def test_pairs_are_asked_in_both_orders(tmp_path: Path) -> None:
    file = judge_file(tmp_path, count=3, rubric="preference", columns={"prediction": "answer", "other": "other"})
    client = ScriptedClient(lambda _: "better: A")
    (part,) = judge_to_files(file, tmp_path / "pairs.jsonl", client=client)
    assert len(client.requests) == 6
    assert isinstance(part.summary, PairSummary)
    assert part.summary.winners == {"first": 0, "tie": 3, "second": 0}
    assert part.path is not None
    row = lines(part.path)[0]
    assert {key: row[key] for key in row if key.startswith("judge")} == {
        "judge_score": 0.5,
        "judge_status": "scored",
        "judge_parse_method": "line",
        "judge_reason": None,
        "judge_raw": "better: A",
        "judge_winner": "tie",
        "judge_consistent": False,
        "judge_preference": 0.5,
        "judge_raw_swapped": "better: A",
    }


def test_answer_and_reference_are_scored_together(tmp_path: Path) -> None:
    columns = {"prediction": "answer", "input": "q", "reference": "other"}
    file = judge_file(tmp_path, count=2, rubric="faysse2023", columns=columns)
    (part,) = judge_to_files(file, tmp_path / "joint.jsonl", client=ScriptedClient(lambda _: "7,9"))
    assert part.path is not None
    assert [(row["judge_score"], row["judge_reference_score"]) for row in lines(part.path)] == [(7, 9)] * 2
    assert part.record["summary"]["ratio"] == pytest.approx(7 / 9)


def test_draws_stand_in_a_list(tmp_path: Path) -> None:
    file = judge_file(tmp_path, count=1, judge={"num_samples": 3, "temperature": 1.0})
    replies = ["score: 1", "nothing", "score: 4"]
    client = ScriptedClient(lambda request: replies[request.sample])
    (part,) = judge_to_files(file, tmp_path / "draws.jsonl", client=client)
    assert part.path is not None
    (row,) = lines(part.path)
    assert (row["judge_score"], row["judge_samples"], row["judge_parse_method"]) == (2.5, [1.0, None, 4.0], "samples")


def test_recorded_replies_are_judged_without_anybody(tmp_path: Path) -> None:
    file = judge_file(tmp_path, count=2, judge={"client": "recorded", "column": "q", "model": None, "price": None})
    (part,) = judge_to_files(file)
    assert part.path is None
    assert part.record["summary"]["n_unscored"] == {"unparsed": 2}


def test_a_plan_asks_nobody_and_counts_both_orders(tmp_path: Path) -> None:
    with ChatServer(by_length) as server:
        made = plan_judge(judge_file(tmp_path, server.base_url, judge={"budget_usd": 1.0}))
        pairs = plan_judge(
            judge_file(tmp_path, rubric="preference", columns={"prediction": "answer", "other": "other"})
        )
    assert server.bodies == []
    assert (made.rows, made.requests, made.stored) == (20, 20, 0)
    assert made.high_answer_tokens == 20 * 1024
    assert made.low_usd is not None
    assert made.budget.endswith(": enough")
    assert made.affordable_rows == 20
    # The answers are of five kinds, and the other is always the same.
    assert pairs.requests == 5 * 2
    free = plan_judge(judge_file(tmp_path, judge={"client": "recorded", "column": "q", "model": None, "price": None}))
    assert (free.requests, free.likely_usd) == (20, 0)
    with pytest.raises(ConfigError, match="`sample`"):
        plan_judge(judge_file(tmp_path), sample=0)


def test_what_is_stored_is_known_to_the_plan_and_not_paid_again(tmp_path: Path) -> None:
    with ChatServer(by_length) as server:
        judge_to_files(judge_file(tmp_path, server.base_url, count=8))
        asked = len(server.bodies)
        made = plan_judge(judge_file(tmp_path, server.base_url, count=20))
        assert (made.requests, made.stored) == (20, 8)
        (part,) = judge_to_files(judge_file(tmp_path, server.base_url, count=20))
    assert len(server.bodies) == asked + 12
    assert (part.record["tally"]["stored"], part.record["tally"]["requests"]) == (8, 12)
    assert plan_judge(judge_file(tmp_path, server.base_url, count=20)).stored == 20


def test_a_budget_is_never_exceeded_and_what_it_does_not_hold_is_told(tmp_path: Path) -> None:
    # A request reserves its bytes and ten tokens of reply, about 1,500 tokens of a dollar a million; it costs 510.
    judge = {"max_tokens": 10, "budget_usd": 0.006, "max_in_flight": 1}
    usage = {"prompt_tokens": 500, "completion_tokens": 5, "total_tokens": 505}
    with ChatServer(lambda _: json_reply(chat_completion("score: 3", usage=usage))) as server:
        file = judge_file(tmp_path, server.base_url, count=30, judge=judge)
        made = plan_judge(file)
        (part,) = judge_to_files(file)
    assert made.affordable_rows is not None
    assert made.affordable_rows < 30
    cost = part.record["summary"]["cost_usd"]
    assert 0.004 < cost <= 0.006
    unscored = part.record["summary"]["n_unscored"]
    assert set(unscored) == {"over_budget"}
    assert 0 < unscored["over_budget"] < 25


def test_the_endpoint_is_probed_once_and_held_to_its_schema(tmp_path: Path) -> None:
    def reply(body: dict[str, Any]) -> str:
        if len(body["messages"][-1]["content"]) < 40 and "label" in body["messages"][-1]["content"]:
            return '{"label": "good"}'
        return '{"reason": "so", "score": 4}'

    with ChatServer(reply) as server:
        file = judge_file(tmp_path, server.base_url, count=3, judge={"response_format": "auto"})
        assert any("first probed" in note for note in plan_judge(file).notes)
        (part,) = judge_to_files(file)
        assert plan_judge(file).stored == 3
    assert part.record["summary"]["parse_methods"] == {"schema": 3}
    assert len(server.bodies) == 4
    assert server.bodies[1]["response_format"]["type"] == "json_schema"


def test_log_probabilities_are_asked_for_where_the_ladder_has_them(tmp_path: Path) -> None:
    def reply(body: dict[str, Any]) -> Reply:
        likely = [{"token": "4", "logprob": -0.6931472}, {"token": "2", "logprob": -0.6931472}]
        answer = chat_completion("4")
        answer["choices"][0]["logprobs"] = {"content": [{**likely[0], "top_logprobs": likely}]}
        return json_reply(answer)

    with ChatServer(reply) as server:
        file = judge_file(tmp_path, server.base_url, count=2, extraction={"parse_methods": ["line", "logprobs"]})
        (part,) = judge_to_files(file, tmp_path / "out.jsonl")
        assert server.bodies[0]["logprobs"] is True
        # The same out of the store.
        (again,) = judge_to_files(file, tmp_path / "again.jsonl")
    assert part.path is not None
    assert [row["judge_score"] for row in lines(part.path)] == [pytest.approx(3)] * 2
    assert again.record["summary"]["parse_methods"] == {"logprobs": 2}
    assert again.record["tally"]["requests"] == 0


@pytest.mark.parametrize(
    ("parts", "error_type", "words"),
    [
        (
            {"columns": {"prediction": "answr"}},
            DataError,
            "`columns.prediction` names the column 'answr'",
        ),
        ({"columns": {"prediction": "answr"}}, DataError, "Did you mean 'answer'?"),
        (
            {"output": {"column": "judge"}, "source": {"path": "json", "data_files": "none.jsonl"}},
            ConfigError,
            "Paths are relative to the YAML file",
        ),
    ],
)
def test_wrong_sources_are_told(tmp_path: Path, parts: dict[str, Any], error_type: Any, words: str) -> None:
    with pytest.raises(error_type) as caught:
        judge_to_files(judge_file(tmp_path, **parts))
    assert words in str(caught.value)


def test_columns_that_are_there_are_not_overwritten(tmp_path: Path) -> None:
    file = judge_file(tmp_path)
    rows = lines(tmp_path / "rows.jsonl")
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({**row, "judge_raw": ""}) for row in rows))
    with pytest.raises(ConfigError, match="would overwrite the source's column 'judge_raw'"):
        judge_to_files(file)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"`output` 'a\.xlsx'"):
        judge_to_files(judge_file(tmp_path), tmp_path / "a.xlsx")


def test_an_endpoint_that_refuses_all_stops_early_and_leaves_no_file(tmp_path: Path) -> None:
    with ChatServer(lambda _: error(401, "no such key")) as server:
        file = judge_file(tmp_path, server.base_url, count=500, judge={"max_in_flight": 4})
        with pytest.raises(AllFailedError, match=r"no such key"):
            judge_to_files(file, tmp_path / "out.jsonl")
    assert len(server.bodies) < 60
    assert not (tmp_path / "out.jsonl").exists()


def test_a_file_for_each_split(tmp_path: Path) -> None:
    file = judge_file(tmp_path, count=2, source={"path": "json", "data_files": {"a": "rows.jsonl", "b": "rows.jsonl"}})
    found = judge_to_files(file, tmp_path / "out.jsonl", client=ScriptedClient(lambda _: "score: 1"))
    assert [part.path.name for part in found if part.path] == ["out-a.jsonl", "out-b.jsonl"]
    assert found[1].record["tally"]["stored"] == 2


def test_a_data_set_at_hand_gets_the_columns(tmp_path: Path) -> None:
    file = judge_file(tmp_path, columns={"prediction": "label", "input": "q"}, rubric="correctness")
    features = Features({"q": Value("string"), "label": ClassLabel(names=["film", "sport"])})
    data = Dataset.from_dict({"q": ["a", "b"], "label": [1, None]}, features=features)
    client = ScriptedClient(lambda request: "correct: yes" if "sport" in request.messages[1].content else "?")
    found = judge_dataset(data, file, client=client)
    assert list(found["judge_score"]) == [1.0, None]
    assert [found.features["judge_status"].int2str(code) for code in found["judge_status"]] == ["scored", "empty"]
    assert found.features["label"] == features["label"]
    (record,) = provenance(found)
    assert (record["judge"], record["summary"]["n_scored"]) == ("answers", 1)
    both = judge_dataset(DatasetDict({"a": data, "b": data}), file, client=client)
    assert list(both) == ["a", "b"]
    with pytest.raises(DataError, match="`dataset` has no rows"):
        judge_dataset(data.select([]), file, client=client)
    with pytest.raises(DataError, match=r"`columns.[a-z]+` names the column 'q'"):
        judge_dataset(data.remove_columns("q"), file, client=client)


CHILD = """
import sys
from pathlib import Path
from hf_synthlabels.judging import judge_to_files
from tests.judging.test_judge_run import judge_file
folder = Path(sys.argv[1])
judge_to_files(judge_file(folder, sys.argv[2], 800, judge={"max_in_flight": 8}), folder / "out.jsonl")
"""


@pytest.mark.slow
def test_after_a_kill_nothing_that_is_kept_is_asked_again(tmp_path: Path) -> None:
    many = threading.Event()

    def reply(_: str) -> str:
        if len(server.bodies) > 300:
            many.set()
        return "score: 3"

    with LabelServer(reply) as server:
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), server.base_url])
        assert many.wait(60)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert not (tmp_path / "out.jsonl").exists()
        file = judge_file(tmp_path, server.base_url, 800, judge={"max_in_flight": 8})
        (part,) = judge_to_files(file, tmp_path / "out.jsonl")
    # Those on the way when it was killed, and those that were answered and not yet on disk.
    assert len(server.bodies) <= 800 + 2 * 8
    assert part.record["summary"]["n_scored"] == 800


def test_a_model_in_this_process_judges(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.tiny_models import tiny_model

    rubric = {
        "name": "bare",
        "instructions": "Answer with one number.",
        "scale": {"low": 1, "high": 5},
        "reasoning": False,
    }
    model = tiny_model(tmp_path / "model")
    judge = {"client": "transformers", "model": model, "scoring": True, "price": None, "base_url": DOWN}
    file = judge_file(tmp_path, count=3, rubric=rubric, judge=judge, extraction={"parse_methods": ["line", "logprobs"]})
    (part,) = judge_to_files(file, tmp_path / "out.jsonl")
    assert part.path is not None
    scores = [row["judge_score"] for row in lines(part.path)]
    assert all(1 < score < 5 for score in scores)
    assert part.record["summary"]["parse_methods"] == {"logprobs": 3}
    assert part.record["summary"]["cost_usd"] == 0
