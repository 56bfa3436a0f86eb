"""`hf-synthlabels plan` and `hf-synthlabels cache`, as a user types them."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.annotation import store_path
from hf_synthlabels.cli.main import main
from hf_synthlabels.clients import ResponseStore, Run
from hf_synthlabels.clients.store.ledger import Allowance, UsageRecord
from tests.annotation.label_server import LabelServer

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Run the command line in a folder of its own: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["hf-synthlabels", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        code = caught.value.code
        return (code if isinstance(code, int) else int(code is not None)), out, err

    return call


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
def labelled(run: Call, tmp_path: Path) -> Path:
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


def test_plan_tells_and_spends_nothing(run: Call, tmp_path: Path) -> None:
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


def test_stats(run: Call, labelled: Path) -> None:
    code, out, _ = run("cache", "stats")
    assert code == 0
    assert f"{store_path()}: 12 answers, " in out
    assert "films, tiny: 1 runs, 12 requests, 120 tokens in, 12 out, 0.0144 USD\n" in out
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert f"{today} films, tiny: 1 runs, " in run("cache", "stats", "--by-day")[1]
    content = json.loads(run("cache", "stats", "--json")[1])
    assert (content["answers"], content["ledger"][0]["usd"]) == (12, pytest.approx(0.0144))


def test_stats_tell_what_is_not_certain(run: Call, labelled: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with ResponseStore(store_path()) as store:
        killed = Run("films", "tiny")
        store.begin_run(killed)
        store.reserve(killed, Allowance(20, 0.5, 1000))
        store.commit_usage(killed, UsageRecord(4, 40, 8, 30, None, uncertain_requests=1, uncertain_usd=0.25))
        store.flush()
        store.execute("UPDATE runs SET pid = ? WHERE id = ?", (process.pid, killed.id))
    assert run("cache", "stats")[1].splitlines()[1:] == [
        "films, tiny: 2 runs, 16 requests, 160 tokens in (30 cached), 20 out, 0.0144 USD and 4 requests of unknown "
        "price",
        "  sent and never answered: 1 requests, perhaps billed, 0.2500 USD at most",
        "  1 run was killed: of 15 requests that had been reserved some may have been billed and lost, 0.2500 USD at "
        "most",
    ]
    assert run("cache", "prune", "--unsettled")[1].splitlines() == [
        "films, tiny: 1 killed runs had reserved 15 requests and 0.2500 USD more than they settled",
        "to be given back (say --yes, once the bill shows that it was not spent)",
    ]
    assert run("cache", "prune", "--unsettled", "--yes")[1].endswith("\ngiven back\n")
    assert run("cache", "prune", "--unsettled")[1] == "nothing is reserved by killed runs\n"


def test_from_export_to_replay(run: Call, labelled: Path) -> None:
    code, out, err = run("cache", "export", "recipe.yaml", "--key", "id", "-o", "answers.jsonl")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "written: answers.jsonl, the answers of 12 rows",
        "To repeat the run: annotator: {client: recorded, file: answers.jsonl, key: id}",
    ]
    recipe = json.loads((labelled / "recipe.yaml").read_text())
    recipe["annotator"] = {"client": "recorded", "file": "answers.jsonl", "key": "id"}
    (labelled / "replay.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    assert run("annotate", "replay.yaml", "--stream", "-o", "again.jsonl")[0] == 0
    assert labels(labelled / "again.jsonl") == ["film" if number % 2 else "sport" for number in range(12)]
    assert labels(labelled / "again.jsonl") == labels(labelled / "out.jsonl")


def test_an_export_of_a_recipe_tells_what_is_missing(run: Call, labelled: Path) -> None:
    damage()
    assert "the answers of 11 rows, 1 rows lack an answer" in run("cache", "export", "recipe.yaml", "-o", "a.jsonl")[1]


def test_a_damaged_answer_is_found_and_asked_again(run: Call, tmp_path: Path) -> None:
    with LabelServer(lambda _: "film") as server:
        write_recipe(tmp_path, server.base_url)
        run("annotate", "recipe.yaml", "--stream", "-o", "out.jsonl")
        assert run("cache", "verify")[0] == 0
        damage()
        code, out, _ = run("cache", "verify")
        assert code == 1
        assert "12 answers read, 1 of them damaged" in out
        assert "a damaged answer counts as absent and is asked again: request " in out
        run("annotate", "recipe.yaml", "--stream", "-o", "again.jsonl")
        assert len(server.requests) == 13
    assert run("cache", "verify")[0] == 0


def test_a_torn_store_is_told_saved_and_repaired(run: Call, labelled: Path) -> None:
    path = store_path()
    content = path.read_bytes()
    path.write_bytes(bytes(100) + content[100:])
    code, out, _ = run("cache", "verify")
    assert code == 1
    assert "  the file: file is not a database" in out
    code, _, err = run("annotate", "recipe.yaml", "--stream", "-o", "again.jsonl")
    assert (code, err.count("\n")) == (2, 1)
    assert "file is not a database" in err
    # As it was told.
    assert "hf-synthlabels cache export -o saved.jsonl" in out
    code, out, _ = run("cache", "export", "-o", "saved.jsonl")
    assert code == 0
    assert "written: saved.jsonl, 12 answers" in out
    assert "  the file is torn, so answers may be missing: file is not a database" in out
    path.rename(path.with_suffix(".torn"))
    assert run("cache", "import", "saved.jsonl")[1] == "12 answers are new, 0 were there already\n"
    # The server is gone, and is not needed.
    assert run("annotate", "recipe.yaml", "--stream", "-o", "again.jsonl")[0] == 0
    assert labels(labelled / "again.jsonl") == labels(labelled / "out.jsonl")


def test_a_store_is_taken_along(run: Call, labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("cache", "export", "-o", "all.jsonl")[1] == "written: all.jsonl, 12 answers, 1 entries of the ledger\n"
    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(labelled / "elsewhere"))
    assert run("cache", "import", "all.jsonl")[1].splitlines() == [
        "12 answers are new, 0 were there already",
        "1 entries of the ledger are new",
    ]
    assert run("cache", "import", "all.jsonl")[1] == "0 answers are new, 12 were there already\n"
    # What was spent counts there too.
    assert "1 USD, of which 0.0144 are spent or reserved: nothing is left to ask" in run("plan", "recipe.yaml")[1]


def test_an_import_that_contradicts_the_store(run: Call, labelled: Path) -> None:
    run("cache", "export", "-o", "all.jsonl")
    with ResponseStore(store_path()) as store:
        ((key,),) = store.select("SELECT max(key) FROM answers")
        store.put(key, {"text": "sport, surely", "model": "tiny", "usage": {}})
    code, out, err = run("cache", "import", "all.jsonl")
    assert (code, out) == (2, "")
    assert "1 requests have another answer in the store, the first on line 12. Nothing was imported." in err
    assert run("cache", "import", "all.jsonl", "--keep")[1] == (
        "0 answers are new, 11 were there already, 1 others were kept\n"
    )


def test_prune_counts_first(run: Call, labelled: Path) -> None:
    assert run("cache", "prune", "--model", "tiny-2")[1] == "12 answers would be removed (say --yes)\n"
    assert run("cache", "prune", "--model", "tiny-3")[1] == "0 answers would be removed (say --yes)\n"
    assert run("cache", "prune", "--older-than", "1d")[1] == "0 answers would be removed (say --yes)\n"
    assert run("cache", "prune", "recipe.yaml", "--older-than", "0")[1] == "12 answers would be removed (say --yes)\n"
    damage()
    assert run("cache", "prune", "--damaged", "--yes")[1] == "1 answers removed\n"
    assert run("cache", "verify")[0] == 0
    assert run("cache", "prune", "recipe.yaml", "--yes")[1] == "11 answers removed\n"
    assert "0 answers, " in run("cache", "stats")[1]


def test_prune_lets_a_budget_begin_anew(run: Call, labelled: Path) -> None:
    assert (
        run("cache", "prune", "--scope", "films")[1] == "1 runs of films would be removed (say --yes) from the ledger\n"
    )
    assert "0.0144 are spent" in run("plan", "recipe.yaml")[1]
    assert run("cache", "prune", "--scope", "films", "--yes")[1] == "1 runs of films removed from the ledger\n"
    assert "0.0000 are spent" in run("plan", "recipe.yaml")[1]
    assert "12 answers" in run("cache", "stats")[1]


def test_probes_are_shown_and_forgotten(run: Call, tmp_path: Path) -> None:
    with LabelServer(lambda _: '{"label": "good"}') as server:
        write_recipe(tmp_path, server.base_url, response_format="auto")
        run("annotate", "recipe.yaml", "--stream", "-o", "out.jsonl")
        shown = f"{server.base_url} tiny: json_schema (json_schema: works)\n"
        assert run("cache", "probes")[1] == shown
        assert run("cache", "probes", "--model", "other", "--forget")[1] == "no probes are recorded\n"
        assert run("cache", "probes", "--base-url", server.base_url + "/", "--forget")[1] == f"forgotten: {shown}"
    assert run("cache", "probes")[1] == "no probes are recorded\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("cache export recipe.yaml -o x.jsonl", "is not there: nothing has been asked yet"),
        ("cache export -o x.jsonl", "is not there: nothing has been asked yet"),
        ("cache stats", "is not there: nothing has been asked yet"),
        ("cache verify", "is not there: nothing has been asked yet"),
        ("cache probes", "is not there: nothing has been asked yet"),
        ("cache prune --model x", "is not there: nothing has been asked yet"),
        ("cache import none.jsonl", "`none.jsonl` can not be read: No such file"),
        ("plan none.yaml", "`recipe` 'none.yaml' can not be read"),
        ("plan recipe.yaml --sample 0", "`sample` is 0. Give a number of rows, at least 1."),
        ("annotate recipe.yaml --stream", "name a .parquet or .jsonl file with `-o`"),
        ("annotate recipe.yaml --stream -o x.pdf", "`output` 'x.pdf'"),
    ],
)
def test_wrong_input_is_one_line_and_makes_no_store(run: Call, tmp_path: Path, words: str, message: str) -> None:
    write_recipe(tmp_path, "http://127.0.0.1:9/v1")
    code, out, err = run(*words.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not store_path().exists() or "import" in words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("cache prune", "`prune` has nothing to go by. Say which answers"),
        ("cache prune --older-than soon", "`--older-than` is 'soon'. Say a number of hours, days, weeks or years"),
        ("cache prune --scope films --unsettled", "`--scope` and `--unsettled` are two things to do"),
        ("cache prune --scope films --damaged", "`--scope` and `--unsettled` are about runs"),
        ("cache prune recipe.yaml --unsettled", "`--scope` and `--unsettled` are about runs"),
        ("cache prune --unsettled --model tiny", "`--unsettled` is about the runs of all models"),
        ("cache export --key id -o x.jsonl", "`--key` is a column of a recipe's rows"),
        (
            "cache export recipe.yaml --key none -o x.jsonl",
            "`key` names the column 'none', which split 'train' has not",
        ),
        ("cache export recipe.yaml -o rows.jsonl/x.jsonl", "can not be written: "),
        ("cache export -o .", "can not be written: "),
        ("cache import rows.jsonl", "`rows.jsonl`, line 1: expected a line of `cache export`"),
    ],
)
def test_wrong_words_are_one_line(run: Call, labelled: Path, words: str, message: str) -> None:
    before = sorted(labelled.rglob("*"))
    code, out, err = run(*words.split())
    assert (code, out, err.count("\n")) == (2, "", 1), out
    assert message in err
    assert sorted(labelled.rglob("*")) == before


@pytest.mark.parametrize("verb", ["stats", "verify", "export", "import", "prune", "probes"])
def test_help_shows_an_example(run: Call, verb: str) -> None:
    code, out, _ = run("cache", verb, "--help")
    assert code == 0
    assert f"Example: hf-synthlabels cache {verb}" in out
