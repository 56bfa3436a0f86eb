"""Judge files: what is judged, and what is wrong with a file, told in one line before anything is read or asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.errors import ConfigError, SynthLabelsError
from hf_synthlabels.judging import Extraction, JudgeFile, judge_to_files, read_judge
from hf_synthlabels.judging.prompting.judge_prompt import Item

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "judges"


def content(**parts: Any) -> dict[str, Any]:
    return {
        "name": "answers",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "rubric": "score_1_5",
        "columns": {"prediction": "answer"},
        "judge": {"client": "openai", "model": "tiny"},
    } | parts


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.yaml")), ids=lambda file: file.stem)
def test_packaged_judge_file_is_named_as_its_file(file: Path) -> None:
    judge = read_judge(file.stem)
    assert judge.name == file.stem
    assert judge.source.homepage


def test_a_wrong_file_is_told_in_one_line(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"colums": {}}, "`colums` is not a key. Did you mean `columns`?"),
        ({"columns": {"prediktion": "a", "prediction": "b"}}, "`columns.prediktion` is not a key"),
        ({"columns": {}}, "`columns.prediction` is missing"),
        ({"rubric": "score_1_6"}, "`rubric` 'score_1_6'"),
        ({"rubric": {"name": "a"}}, "`instructions` is missing"),
        ({"rubric": "preference"}, "'preference' compares two answers. Name the second in `columns.other`."),
        ({"columns": {"prediction": "a", "other": "b"}}, "'score_1_5' judges one answer. Remove `columns.other`."),
        ({"rubric": "faysse2023"}, "`columns.reference` is missing"),
        (
            {"rubric": "summeval_fluency", "columns": {"prediction": "a", "reference": "b"}},
            "`columns.reference` does not fit",
        ),
        ({"judge": {"client": "embedding"}}, "`judge.client` is 'embedding'"),
        ({"judge": {"client": "openai"}}, "`judge` needs `model`"),
        ({"judge": {"client": "openai", "model": "m", "examples": []}}, "`judge.examples`"),
        ({"judge": {"client": "openai", "model": "m", "num_samples": 3}}, "`num_samples: 3` at `temperature` 0"),
        ({"judge": {"client": "transformers", "model": "m", "scoring": True}}, "`judge.scoring`"),
        ({"extraction": {"parse_methods": ["lines"]}}, "`extraction.parse_methods.0` is 'lines'"),
        ({"extraction": {"parse_methods": ["logprobs"]}}, "`parse_methods`"),
        ({"extraction": {"min_probability_mass": 2}}, "`min_probability_mass` is 2"),
        ({"name": "a b"}, "`name` is 'a b'"),
    ]
    for parts, words in cases:
        with subtests.test(repr((parts, words))):
            with pytest.raises(ConfigError) as caught:
                JudgeFile.from_dict(content(**parts))
            assert words in str(caught.value)
            assert "\n" not in str(caught.value)
            assert "annotator" not in str(caught.value)


def test_a_rubric_beside_the_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\ninstructions = "?"\nscale = {low = 0, high = 3}\n')
    (tmp_path / "judge.yaml").write_text(
        "name: a\nsource: {path: json}\nrubric: mine.toml\ncolumns: {prediction: x}\n"
        "judge: {client: openai, model: m}\n"
    )
    judge = read_judge(tmp_path / "judge.yaml")
    assert judge.read_rubric().high == 3
    before = judge.fingerprint()
    (tmp_path / "mine.toml").write_text('name = "mine"\ninstructions = "!"\nscale = {low = 0, high = 3}\n')
    assert read_judge(tmp_path / "judge.yaml").fingerprint() != before


def test_the_ladder_and_the_client_follow_from_the_file() -> None:
    judge = JudgeFile.from_dict(
        content(
            judge={"client": "openai", "model": "m", "num_samples": 4, "temperature": 1},
            extraction={"parse_methods": ["line", "logprobs"], "low_mass": "unscored"},
        )
    )
    assert judge.extraction_options() == Extraction(("line", "logprobs"), 4, 0.9, "unscored")
    assert judge.resolved_judge.logprobs
    # Replies with reasons are long; one that is cut has no verdict.
    assert judge.resolved_judge.client.max_answer_tokens == 1024
    thinks = JudgeFile.from_dict(content(judge={"client": "openai", "model": "o3"}))
    assert thinks.resolved_judge.client.max_answer_tokens == 4096
    short = JudgeFile.from_dict(content(judge={"client": "openai", "model": "m", "max_tokens": 9}))
    assert short.resolved_judge.client.max_answer_tokens == 9


def test_cells_are_shown_as_people_read_them() -> None:
    judge = JudgeFile.from_dict(
        content(columns={"prediction": "label", "reference": "gold", "input": "q"}, rubric="correctness")
    )
    names = {"label": ["film", "sport"], "gold": ["film", "sport"]}
    row = {"label": 1, "gold": [0, 1], "q": {"a": 2}}
    assert judge.item(row, names) == Item("sport", ("film", "sport"), '{"a": 2}', "", row)
    bare = {"label": None, "gold": None, "q": None}
    assert judge.item(bare, names) == Item("", (), "", "", bare)
    assert judge.item({"label": 3.5, "gold": ["a", None, " "], "q": "x"}, {}).prediction == "3.5"
    assert judge.item({"label": -1, "gold": "a", "q": "x"}, names).prediction == ""


def test_errors_of_shared_parts_name_the_keys_of_the_judge_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NO_KEY", raising=False)
    monkeypatch.delenv("HF_SYNTHLABELS_DATA", raising=False)
    (tmp_path / "rows.jsonl").write_text('{"answer": "a", "id": 1}\n')

    def judged(**parts: Any) -> str:
        file = JudgeFile.from_dict(content(**parts), folder=tmp_path)
        with pytest.raises(SynthLabelsError) as caught:
            judge_to_files(file)
        assert "annotator" not in str(caught.value)
        assert "recipe" not in str(caught.value)
        return str(caught.value)

    recorded = {"client": "recorded", "column": "replies"}
    assert judged(columns={"prediction": "text"}).startswith("`columns.prediction` names the column 'text'")
    assert judged(judge=recorded).startswith("`judge.column` names the column 'replies'")
    assert judged(judge={"client": "recorded", "file": "no.jsonl", "key": "id"}).startswith("`file` ")
    assert judged(judge={"client": "openai", "model": "m", "api_key_env": "NO_KEY"}).startswith("`api_key_env` ")
    assert judged(source={"path": "json", "data_files": "no.jsonl"}).startswith("`source` 'json'")
    assert judged(source={"path": "json", "data_files": "${HF_SYNTHLABELS_DATA}/a"}).startswith(
        "`${HF_SYNTHLABELS_DATA}"
    )
