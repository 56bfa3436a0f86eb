"""`hf-synthlabels judge`, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.command_line import Run
from tests.servers.chat import ChatServer, error


def write_judge(folder: Path, base_url: str) -> None:
    rows = [{"question": f"q {number}", "answer": f"a {number}"} for number in range(12)]
    (folder / "answers.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    content = {
        "name": "answers",
        "source": {"path": "json", "data_files": "answers.jsonl"},
        "rubric": "score_1_5",
        "columns": {"input": "question", "prediction": "answer"},
        "judge": {
            "client": "openai",
            "model": "tiny",
            "base_url": base_url,
            "api_key_env": None,
            "budget_usd": 1.0,
            "price": {"input_usd_per_mtok": 1, "output_usd_per_mtok": 1},
        },
    }
    (folder / "answers.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def test_the_plan_comes_first_and_is_all_where_only_it_is_wished(run: Run, tmp_path: Path) -> None:
    with ChatServer(lambda _: "score: 4") as server:
        write_judge(tmp_path, server.base_url)
        code, out, _ = run("judge", "answers.yaml", "--plan")
        assert (code, server.bodies) == (0, [])
        assert out.startswith("judge answers, model tiny\n  rows          12\n")
        assert "given by `price`" in out
        code, out, _ = run("judge", "answers.yaml", "--plan", "--json")
        assert json.loads(out)["requests"] == 12
        code, out, _ = run("judge", "answers.yaml", "-o", "judged.jsonl")
    assert code == 0
    told = out.splitlines()
    assert told[0] == "judge answers, model tiny"
    assert told[-2].startswith("train: mean 4.000 [")
    assert "12 of 12 scored" in told[-2]
    assert told[-1] == "written: judged.jsonl"
    assert len((tmp_path / "judged.jsonl").read_text().splitlines()) == 12


def test_it_is_resumed_from_the_store(run: Run, tmp_path: Path) -> None:
    with ChatServer(lambda _: "score: 4") as server:
        write_judge(tmp_path, server.base_url)
        run("judge", "answers.yaml", "--no-plan")
        asked = len(server.bodies)
        code, out, _ = run("judge", "answers.yaml", "--json")
        assert (code, len(server.bodies)) == (0, asked)
    record = json.loads(out)["train"]
    assert (record["tally"]["stored"], record["summary"]["mean"]) == (12, 4)


def test_errors_are_one_line_and_status_2(run: Run, tmp_path: Path) -> None:
    for change, words in [
        (("score_1_5", "score_1_6"), "`rubric` 'score_1_6'"),
        (("prediction: answer", "prediction: anser"), "Did you mean 'answer'?"),
        (("budget_usd", "budget_eur"), "`judge.budget_eur` is not a key"),
        (("answers.jsonl", "none.jsonl"), "cannot be loaded"),
    ]:
        write_judge(tmp_path, "http://127.0.0.1:9/v1")
        file = tmp_path / "answers.yaml"
        file.write_text(file.read_text().replace(*change))
        code, _, err = run("judge", "answers.yaml")
        assert code == 2
        assert words in err
        assert len(err.strip().splitlines()) == 1


def test_a_wrong_output_is_told_before_anything_is_asked(run: Run, tmp_path: Path) -> None:
    with ChatServer(lambda _: "score: 4") as server:
        write_judge(tmp_path, server.base_url)
        code, _, err = run("judge", "answers.yaml", "-o", "judged.xlsx")
    assert (code, server.bodies) == (2, [])
    assert "`output` 'judged.xlsx'" in err


def test_an_existing_output_is_replaced_on_request_only(run: Run, tmp_path: Path) -> None:
    mine = '{"question": "q", "note": "precious"}\n'
    (tmp_path / "judged.jsonl").write_text(mine, encoding="utf-8")
    with ChatServer(lambda _: "score: 4") as server:
        write_judge(tmp_path, server.base_url)
        command = ("judge", "answers.yaml", "--no-plan", "-o", "judged.jsonl")
        code, _, err = run(*command)
        assert (code, server.bodies) == (2, [])
        assert "--overwrite" in err
        assert (tmp_path / "judged.jsonl").read_text(encoding="utf-8") == mine
        # The source itself is never replaced.
        code, _, _ = run(*command[:-1], "answers.jsonl", "--overwrite")
        assert (code, server.bodies) == (2, [])
        assert run(*command, "--overwrite")[0] == 0
        # An earlier output of the same judge is replaced without the option.
        assert run(*command)[0] == 0
    rows = [json.loads(line) for line in (tmp_path / "judged.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["judge_score"] for row in rows] == [4] * 12


def test_a_refusing_endpoint_is_one_line(run: Run, tmp_path: Path) -> None:
    with ChatServer(lambda _: error(401, "no such key")) as server:
        write_judge(tmp_path, server.base_url)
        code, _, err = run("judge", "answers.yaml", "--no-plan")
    assert code == 2
    assert "no such key" in err
    assert "All answers so far are stored" in err
    assert err.count("\n") == 1


def test_help_has_an_example(run: Run) -> None:
    code, out, _ = run("judge", "--help")
    assert code == 0
    assert "Example: hf-synthlabels judge answers.yaml -o judged.jsonl" in out
