"""Judge files: what is judged, and what is wrong with a file, told in one line before anything is read or asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.judging import Extraction, JudgeFile, read_judge
from hf_synthlabels.judging.config import translate_judge_errors
from hf_synthlabels.judging.prompt import Item

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
    assert judge.recipe.name == judge.name


@pytest.mark.parametrize(
    ("parts", "words"),
    [
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
    ],
)
def test_a_wrong_file_is_told_in_one_line(parts: dict[str, Any], words: str) -> None:
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
    assert judge.recipe.annotator.logprobs
    # Replies with reasons are long; one that is cut has no verdict.
    assert judge.recipe.annotator.client.max_answer_tokens == 1024
    thinks = JudgeFile.from_dict(content(judge={"client": "openai", "model": "o3"}))
    assert thinks.recipe.annotator.client.max_answer_tokens == 4096
    short = JudgeFile.from_dict(content(judge={"client": "openai", "model": "m", "max_tokens": 9}))
    assert short.recipe.annotator.client.max_answer_tokens == 9


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


def test_errors_of_recipe_parts_keep_their_class_their_attributes_and_the_users_values() -> None:
    class LocatedError(ConfigError):
        def __init__(self, message: str, line: int) -> None:
            super().__init__(message)
            self.line = line

    original = LocatedError(
        "`annotator.model` is 'the `annotator` model', the recipe's own, relative to the recipe.", 7
    )
    with pytest.raises(LocatedError) as raised, translate_judge_errors():
        raise original
    assert raised.value is original
    assert raised.value.line == 7
    words = "`judge.model` is 'the `annotator` model', the judge file's own, relative to the judge file."
    assert str(raised.value) == words
