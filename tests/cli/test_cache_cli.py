"""`hf-synthlabels plan` and `hf-synthlabels cache`, as a user types them."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.clients import ResponseStore
from hf_synthlabels.clients import Run as ClientRun
from hf_synthlabels.clients.store.ledger import Allowance, UsageRecord
from hf_synthlabels.resources import store_path
from tests.command_line import Run
from tests.servers.chat import LabelServer


def write_recipe(folder: Path, base_url: str, **annotator: Any) -> None:
    rows = [{"id": number, "text": f"text {number}"} for number in range(12)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    recipe = {
        "name": "films",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "task": {"kind": "text-classification", "labels": ["film", "sport"]},
        "annotator": {
            "client": "openai",
            "model": "tiny",
            "base_url": base_url,
            "api_key_env": None,
            "budget_usd": 1.0,
            "price": {"input_usd_per_mtok": 100, "output_usd_per_mtok": 200},
            **annotator,
        },
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")


@pytest.fixture
def labelled(run: Run, tmp_path: Path) -> Path:
    """A folder whose recipe was run."""
    with LabelServer(lambda text: "film" if int(text.split()[1]) % 2 else "sport") as server:
        write_recipe(tmp_path, server.base_url)
        code, out, err = run("annotate", "recipe.yaml", "--stream", "-o", "out.jsonl")
        assert (code, err) == (0, ""), err
    # Twelve answers of 10 tokens in and 1 out.
    assert "cost: 0.0144 USD" in out
    return tmp_path


def damage(key: str = "(SELECT min(key) FROM answers)") -> None:
    with closing(sqlite3.connect(store_path())) as connection, connection:
        connection.execute(f"UPDATE answers SET payload = replace(payload, 'text', 'txet') WHERE key = {key}")


def labels(file: Path) -> list[str | None]:
    return [json.loads(line)["llm_label"] for line in file.read_bytes().splitlines()]


def test_plan_tells_and_spends_nothing(run: Run, tmp_path: Path) -> None:
    with LabelServer(lambda _: "film") as server:
        write_recipe(tmp_path, server.base_url)
        code, out, err = run("plan", "recipe.yaml")
        as_json = json.loads(run("plan", "recipe.yaml", "--json")[1])
        assert server.requests == []
    assert (code, err) == (0, "")
    assert out.startswith("recipe films, model tiny\n")
    assert "  requests      12 to send, 0 of 12 are stored\n" in out
    assert "  budget        1 USD, of which 0.0000 are spent or reserved: enough\n" in out
    assert (as_json["requests"], as_json["affordable_rows"]) == (12, 12)


def test_stats(run: Run, labelled: Path) -> None:
    code, out, _ = run("cache", "stats")
    assert code == 0
    assert f"{store_path()}: 12 answers, " in out
    assert "films, tiny: 1 run, 12 requests, 120 input tokens, 12 output tokens, 0.0144 USD\n" in out
    content = json.loads(run("cache", "stats", "--json")[1])
    assert (content["answers"], content["ledger"][0]["usd"]) == (12, pytest.approx(0.0144))


def test_stats_tell_what_is_not_certain(run: Run, labelled: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with ResponseStore(store_path()) as store:
        killed = ClientRun("films", "tiny")
        store.begin_run(killed)
        store.reserve(killed, Allowance(20, 0.5, 1000))
        store.commit_usage(killed, UsageRecord(4, 40, 8, 30, None, uncertain_requests=1, uncertain_usd=0.25))
        store.flush()
        store.execute("UPDATE runs SET pid = ? WHERE id = ?", (process.pid, killed.id))
    assert run("cache", "stats")[1].splitlines()[1:] == [
        "films, tiny: 2 runs, 16 requests, 160 input tokens (30 cached), 20 output tokens, 0.0144 USD and 4 requests "
        "of unknown price",
        "  1 request sent without an answer, possibly billed: at most 0.2500 USD",
        "  1 killed run with 15 reserved requests, possibly billed: at most 0.2500 USD",
    ]
    assert run("cache", "prune", "--release-reservations")[1].splitlines() == [
        "films, tiny: 1 killed run, 15 reserved requests, 0.2500 USD reserved",
        "not released; use --yes once the bill shows that they were not spent",
    ]
    assert run("cache", "prune", "--release-reservations", "--yes")[1].endswith("\nreleased\n")
    assert run("cache", "prune", "--release-reservations")[1] == "no reservations of killed runs\n"


def test_from_export_to_replay(run: Run, labelled: Path) -> None:
    code, out, err = run("cache", "export", "recipe.yaml", "--key", "id", "-o", "answers.jsonl")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "written: answers.jsonl, the answers of 12 rows",
        "To replay the run: annotator: {client: recorded, file: answers.jsonl, key: id}",
    ]
    recipe = json.loads((labelled / "recipe.yaml").read_text())
    recipe["annotator"] = {"client": "recorded", "file": "answers.jsonl", "key": "id"}
    (labelled / "replay.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    assert run("annotate", "replay.yaml", "--stream", "-o", "again.jsonl")[0] == 0
    assert labels(labelled / "again.jsonl") == ["film" if number % 2 else "sport" for number in range(12)]
    assert labels(labelled / "again.jsonl") == labels(labelled / "out.jsonl")


def test_an_export_of_a_recipe_tells_what_is_missing(run: Run, labelled: Path) -> None:
    damage()
    assert "the answers of 11 rows, 1 rows lack an answer" in run("cache", "export", "recipe.yaml", "-o", "a.jsonl")[1]


def test_a_damaged_answer_is_found_and_asked_again(run: Run, tmp_path: Path) -> None:
    with LabelServer(lambda _: "film") as server:
        write_recipe(tmp_path, server.base_url)
        run("annotate", "recipe.yaml", "--stream", "-o", "out.jsonl")
        assert run("cache", "verify")[0] == 0
        damage()
        code, out, _ = run("cache", "verify")
        assert code == 1
        assert "12 answers read, 1 of them damaged" in out
        assert "  damaged answer" in out
        run("annotate", "recipe.yaml", "--stream", "-o", "again.jsonl")
        assert len(server.requests) == 13
    assert run("cache", "verify")[0] == 0


def test_a_damaged_store_is_reported_moved_and_replaced(run: Run, labelled: Path) -> None:
    run("cache", "export", "-o", "saved.jsonl")
    path = store_path()
    path.write_bytes(bytes(100) + path.read_bytes()[100:])
    code, out, _ = run("cache", "verify")
    assert code == 1
    assert "  error in the file: file is not a database" in out
    code, _, err = run("annotate", "recipe.yaml", "--stream", "-o", "again.jsonl")
    assert (code, err.count("\n")) == (2, 1)
    moved = [str(file) for file in path.parent.glob(f"{path.name}.damaged-*")]
    assert any(f"`{file}`" in err for file in moved)
    # Nothing of a file without a header is readable.
    assert run("cache", "export", "--store", min(moved, key=len), "-o", "rest.jsonl")[1].startswith(
        "written: rest.jsonl, 0 answers"
    )
    assert run("cache", "import", "saved.jsonl")[1].startswith("12 new answers")
    # The server is gone, and is not needed.
    assert run("annotate", "recipe.yaml", "--stream", "-o", "again.jsonl")[0] == 0
    assert labels(labelled / "again.jsonl") == labels(labelled / "out.jsonl")


def test_a_store_is_taken_along(run: Run, labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("cache", "export", "-o", "all.jsonl")[1] == "written: all.jsonl, 12 answers, 1 ledger entries\n"
    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(labelled / "elsewhere"))
    assert run("cache", "import", "all.jsonl")[1].splitlines() == [
        "12 new answers, 0 already stored",
        "1 new ledger entries",
    ]
    assert run("cache", "import", "all.jsonl")[1] == "0 new answers, 12 already stored\n"
    # What was spent counts there too.
    assert "1 USD, of which 0.0144 are spent or reserved: nothing is left to ask" in run("plan", "recipe.yaml")[1]


def test_an_import_that_contradicts_the_store(run: Run, labelled: Path) -> None:
    run("cache", "export", "-o", "all.jsonl")
    with ResponseStore(store_path()) as store:
        ((key,),) = store.select("SELECT max(key) FROM answers")
        store.put(key, {"text": "sport, surely", "model": "tiny", "usage": {}})
    code, out, err = run("cache", "import", "all.jsonl")
    assert (code, out) == (2, "")
    assert "on line 12" in err
    assert run("cache", "import", "all.jsonl", "--keep")[1] == (
        "0 new answers, 11 already stored, 1 different ones were kept\n"
    )


def test_prune_counts_first(run: Run, labelled: Path) -> None:
    assert run("cache", "prune", "--model", "tiny-2")[1] == "12 answers would be removed (use --yes)\n"
    assert run("cache", "prune", "--model", "tiny-3")[1] == "0 answers would be removed (use --yes)\n"
    assert run("cache", "prune", "--older-than", "1d")[1] == "0 answers would be removed (use --yes)\n"
    assert run("cache", "prune", "recipe.yaml", "--older-than", "0")[1] == "12 answers would be removed (use --yes)\n"
    damage()
    assert run("cache", "prune", "--damaged", "--yes")[1] == "1 answer removed\n"
    assert run("cache", "verify")[0] == 0
    assert run("cache", "prune", "recipe.yaml", "--yes")[1] == "11 answers removed\n"
    assert "0 answers, " in run("cache", "stats")[1]


def test_prune_lets_a_budget_begin_anew(run: Run, labelled: Path) -> None:
    assert (
        run("cache", "prune", "--reset-budget", "films")[1]
        == "1 run of films would be removed (use --yes) from the ledger\n"
    )
    assert "0.0144 are spent" in run("plan", "recipe.yaml")[1]
    assert run("cache", "prune", "--reset-budget", "films", "--yes")[1] == "1 run of films removed from the ledger\n"
    assert "0.0000 are spent" in run("plan", "recipe.yaml")[1]
    assert "12 answers" in run("cache", "stats")[1]


def test_wrong_input_is_one_line_and_makes_no_store(run: Run, tmp_path: Path) -> None:
    for words, message in [
        ("cache export recipe.yaml -o x.jsonl", "does not exist"),
        ("cache export -o x.jsonl", "does not exist"),
        ("cache stats", "does not exist"),
        ("cache verify", "does not exist"),
        ("cache prune --model x", "does not exist"),
        ("plan none.yaml", "`recipe` 'none.yaml'"),
        ("plan recipe.yaml --sample 0", "`sample`"),
        ("annotate recipe.yaml --stream", "name a .parquet or .jsonl file with `-o`"),
        ("annotate recipe.yaml --stream -o x.pdf", "`output` 'x.pdf'"),
        ("cache import none.jsonl", "`none.jsonl` cannot be read: No such file"),
    ]:
        write_recipe(tmp_path, "http://127.0.0.1:9/v1")
        code, out, err = run(*words.split())
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err
        assert not store_path().exists() or "import" in words


def test_wrong_words_are_one_line(run: Run, labelled: Path) -> None:
    for words, message in [
        ("cache prune", "`prune`"),
        ("cache prune --older-than soon", "`--older-than` is 'soon'"),
        ("cache prune --reset-budget films --release-reservations", "`--reset-budget`"),
        ("cache prune --reset-budget films --damaged", "`--reset-budget` and `--release-reservations`"),
        ("cache prune recipe.yaml --release-reservations", "`--reset-budget` and `--release-reservations`"),
        ("cache prune --release-reservations --model tiny", "`--release-reservations`"),
        ("cache export --key id -o x.jsonl", "`--key` is a column of a recipe's rows"),
        (
            "cache export recipe.yaml --key none -o x.jsonl",
            "`key` names the column 'none'",
        ),
        ("cache export recipe.yaml -o rows.jsonl/x.jsonl", "cannot be written: "),
        ("cache export -o .", "cannot be written: "),
        ("cache import rows.jsonl", "`rows.jsonl`, line 1: expected a line of `cache export`"),
    ]:
        before = sorted(labelled.rglob("*"))
        code, out, err = run(*words.split())
        assert (code, out, err.count("\n")) == (2, "", 1), out
        assert message in err
        assert sorted(labelled.rglob("*")) == before


def test_help_shows_an_example(run: Run) -> None:
    for verb in ["stats", "verify", "export", "import", "prune"]:
        code, out, _ = run("cache", verb, "--help")
        assert code == 0
        assert f"Example: hf-synthlabels cache {verb}" in out
