"""`hf-synthlabels plan` and `hf-synthlabels cache`, as a user types them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.annotation.label_server import LabelServer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"id": number, "text": f"text {number}"} for number in range(12)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return tmp_path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_SYNTHLABELS_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"}
    command = [str(Path(sys.executable).with_name("hf-synthlabels")), *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def write_recipe(folder: Path, base_url: str) -> None:
    recipe = {
        "name": "films",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "task": {"kind": "text-classification", "labels": ["film", "sport"]},
        "teacher": {
            "client": "openai",
            "model": "tiny",
            "base_url": base_url,
            "api_key_env": None,
            "budget_usd": 1.0,
            "price": {"input_usd_per_mtok": 100, "output_usd_per_mtok": 200},
        },
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")


def test_from_plan_to_replay(folder: Path) -> None:
    with LabelServer(lambda text: "film" if int(text.split()[1]) % 2 else "sport") as server:
        write_recipe(folder, server.base_url)
        planned = run(folder, "plan", "recipe.yaml")
        assert planned.returncode == 0, planned.stderr
        assert "12 to send (12 in all, 0 answers stored already)" in planned.stdout
        assert "1 USD, 0.0000 of it spent: " in planned.stdout
        assert server.requests == []
        annotated = run(folder, "annotate", "recipe.yaml", "--stream", "-o", "out.jsonl")
        assert annotated.returncode == 0, annotated.stderr
        # Twelve answers of 10 tokens in and 1 out.
        assert "cost: 0.0144 USD" in annotated.stdout
    stats = run(folder, "cache", "stats").stdout
    assert "12 answers" in stats
    assert "films, tiny: 1 runs, 12 requests, 120 tokens in, 12 out, 0.0144 USD" in stats
    assert run(folder, "cache", "verify").returncode == 0
    exported = run(folder, "cache", "export", "recipe.yaml", "--key", "id", "-o", "answers.jsonl")
    assert "12 answers; 0 are not in the store" in exported.stdout
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    recipe["teacher"] = {"client": "recorded", "file": "answers.jsonl", "key": "id"}
    (folder / "replay.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    assert run(folder, "annotate", "replay.yaml", "--stream", "-o", "again.jsonl").returncode == 0
    labels = [
        [json.loads(line)["llm_label"] for line in (folder / name).open()] for name in ("out.jsonl", "again.jsonl")
    ]
    assert labels[0] == labels[1] == ["film" if number % 2 else "sport" for number in range(12)]


def test_a_damaged_answer_is_found_and_asked_again(folder: Path) -> None:
    with LabelServer(lambda _: "film") as server:
        write_recipe(folder, server.base_url)
        run(folder, "annotate", "recipe.yaml", "--stream", "-o", "out.jsonl")
        with sqlite3.connect(folder / "home" / "responses.sqlite") as connection:
            damage = "UPDATE answers SET payload = replace(payload, 'film', 'sport')"
            connection.execute(f"{damage} WHERE key = (SELECT min(key) FROM answers)")
        checked = run(folder, "cache", "verify")
        assert checked.returncode == 1
        assert "12 answers read, 1 of them damaged" in checked.stdout
        run(folder, "annotate", "recipe.yaml", "--stream", "-o", "again.jsonl")
        assert len(server.requests) == 13
    assert run(folder, "cache", "verify").returncode == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cache", "export", "recipe.yaml", "-o", "x.jsonl"], "`--key` is missing"),
        (["cache", "prune"], "`prune` has nothing to go by"),
        (["cache", "import", "none.jsonl"], "`none.jsonl` can not be read: No such file"),
        (["cache", "verify"], "is not there. Set HF_SYNTHLABELS_HOME"),
        (["plan", "none.yaml"], "`recipe` 'none.yaml' can not be read"),
        (["annotate", "recipe.yaml", "--stream"], "name a .parquet or .jsonl file with `-o`"),
        (["annotate", "recipe.yaml", "--stream", "-o", "x.csv"], "`output` 'x.csv' can not be written as it comes"),
    ],
)
def test_wrong_input_is_one_line(folder: Path, words: list[str], message: str) -> None:
    write_recipe(folder, "http://127.0.0.1:9/v1")
    done = run(folder, *words)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
