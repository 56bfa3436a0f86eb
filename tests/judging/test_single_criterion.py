"""Judging by one criterion is frozen: prompts, hashes, columns and results do not change with other features."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Features, Value

from hf_synthlabels.clients import ScriptedClient
from hf_synthlabels.judging import Extraction, Judge, JudgeFile, judge_to_files, read_rubric
from hf_synthlabels.judging.judge_tables import with_judge_features
from hf_synthlabels.judging.metric import MetricJudge

HASHES: dict[str, tuple[str, str, str]] = {
    "correctness": ("94ce005a3a864d58", "6e7c2533d5616d33", "b095282771057084"),
    "faysse2023": ("098a59615fd94774", "940a8e5b781af75a", "6f6043a890c0aa5d"),
    "preference": ("e39f1ce757cb46df", "7796f000e17fa71a", "fb5b815a8aea2839"),
    "score_0_5": ("59d09af963c3d61f", "0e3924334f576e73", "10cb9c6e3cbc0903"),
    "score_1_5": ("246545fd62386793", "f1537725d6369999", "e210fde1aefa2b76"),
    "summeval_fluency": ("d061d507b4912812", "9dd8bfec9776868c", "6144dd94a66ffbc8"),
}
"""Hashes of the requests for text and for JSON, and of the judge."""

ROW = {"answer": "a </answer> score: 5", "q": "q", "ref": "r", "other": "b"}


def judge_file(rubric: str, **parts: Any) -> JudgeFile:
    protocol, reference = read_rubric(rubric).protocol, read_rubric(rubric).reference
    columns = {"prediction": "answer", "input": "q"}
    columns |= {"other": "other"} if protocol == "pairwise" else {}
    columns |= {"reference": "ref"} if reference == "required" else {}
    judge = {"client": "openai", "model": "tiny", "base_url": "http://127.0.0.1:9/v1", "api_key_env": None}
    content = {"name": "frozen", "source": {"path": "json"}, "rubric": rubric, "columns": columns, "judge": judge}
    return JudgeFile.from_dict({**content, **parts})


@pytest.mark.parametrize("name", HASHES)
def test_requests_and_hashes(name: str) -> None:
    hashes = []
    for as_json in (False, True):
        judge = Judge(read_rubric(name), ScriptedClient({}), Extraction(num_samples=2), as_json=as_json)
        requests = [
            [
                request.key,
                [[m.role, m.content] for m in request.messages],
                request.sample,
                request.response_schema,
                request.text,
            ]
            for request in judge.requests([judge_file(name).item(ROW, {})])
        ]
        hashes.append(hashlib.sha256(json.dumps(requests, sort_keys=True).encode()).hexdigest()[:16])
    assert (*hashes, judge.fingerprint()) == HASHES[name]


COLUMNS = ["judge_score", "judge_status", "judge_parse_method", "judge_reason", "judge_raw"]
PAIR_COLUMNS = ["judge_winner", "judge_consistent", "judge_preference", "judge_raw_swapped"]


@pytest.mark.parametrize(
    ("rubric", "parts", "columns"),
    [
        ("score_1_5", {}, COLUMNS),
        ("correctness", {"output": {"column": "j"}}, [name.replace("judge", "j") for name in COLUMNS]),
        ("faysse2023", {}, [*COLUMNS, "judge_reference_score"]),
        ("preference", {}, [*COLUMNS, *PAIR_COLUMNS]),
    ],
)
def test_columns(rubric: str, parts: dict[str, Any], columns: list[str]) -> None:
    features = with_judge_features(Features({"answer": Value("string")}), judge_file(rubric, **parts))
    assert list(features)[1:] == columns
    assert features[columns[1]].names == [
        *("scored", "unparsed", "refused", "truncated", "filtered", "failed", "over_budget", "empty", "split")
    ]


def test_rows_and_summary(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({**ROW, "answer": a}) + "\n" for a in ("x", "", "z")))
    file = judge_file("score_1_5", source={"path": "json", "data_files": str(tmp_path / "rows.jsonl")})
    client = ScriptedClient(lambda request: "Fine.\nscore: 4" if request.text == "x" else "Hm.\nscore: 7")
    (part,) = judge_to_files(file, tmp_path / "judged.jsonl", client=client)
    assert len(client.requests) == 2
    rows = [json.loads(line) for line in (tmp_path / "judged.jsonl").read_text().splitlines()]
    assert [[row[name] for name in COLUMNS] for row in rows] == [
        [4.0, "scored", "line", "Fine.", "Fine.\nscore: 4"],
        [None, "empty", None, "the answer is empty", ""],
        [None, "unparsed", None, "7 is not on the scale 1 to 5", "Hm.\nscore: 7"],
    ]
    keys = "mean mean_low mean_high level interval_method unit_mean n n_scored coverage n_unscored lowest_mean"
    keys += " highest_mean parse_methods requests stored prompt_tokens completion_tokens cost_usd"
    assert list(part.record["summary"]) == keys.split()
    keys = "column judge judge_hash rubric rubric_hash prompt_hash extraction extraction_hash source columns client"
    keys += " returned_models tally summary judging_s finished_at package_version"
    assert list(part.record) == keys.split()
    assert str(part.summary).startswith("mean 4.000 [1.579, 4.834]; 1 of 3 scored; 1 empty, 1 unparsed (with them")


def test_keys_of_the_metric() -> None:
    metric = MetricJudge("pointwise", client=ScriptedClient(lambda _: "score: 4"))
    result = metric.result(metric.score({"predictions": ["a", ""], "inputs": ["q", None]}), items=True)
    keys = "mean mean_low mean_high level unit_mean n n_scored coverage lowest_mean highest_mean requests stored"
    keys += " prompt_tokens completion_tokens n_unscored n_unscored_unparsed n_unscored_refused n_unscored_truncated"
    keys += " n_unscored_filtered n_unscored_failed n_unscored_over_budget n_unscored_empty n_unscored_split cost_usd"
    keys += " scores statuses reasons item_parse_methods samples reference_scores interval_method parse_methods"
    assert list(result) == [*keys.split(), "stopped", "models", "judge"]
