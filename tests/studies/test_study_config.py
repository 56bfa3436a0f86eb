"""A study file says one thing only, and its errors say which word is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.errors import StudyError
from hf_synthlabels.studies import Study
from tests.studies.conftest import Make


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sources": {"llm": None, "half": {"shares": {"llm": 1, "humn": 1}}}}, "names 'humn'. There are: llm, half"),
        ({"sources": {"llm": None, "half": {"shares": {"llm": 0}}}}, "Give each source a number above 0"),
        ({"sources": {"a": {"shares": {"llm": 1}, "votes": ["llm", "b"]}}}, "is several things at once"),
        ({"sources": {"human": {"labels": "human", "annotator": {"column": "x"}}}}, "keys of an annotator"),
        ({"sources": {"llm": None, "llm@0.5": {"of": "llm"}}}, "`of`, a source, and `at_least`, a share, together"),
        ({"sources": {"human": None, "h@1": {"of": "human", "at_least": 1.0}}}, "which has no confidence"),
        ({"sources": {"human": None, "llm": None, "jury": {"votes": ["llm", "human"]}}}, "which is no annotator"),
        ({"students": {"counts": "tfdif"}}, "`students.counts` is 'tfdif'"),
        ({"students": {"minilm": {"learning_rate": 1e-4}}}, "`students.minilm` has no `model`"),
        ({"strategies": ["plain", "mixed"]}, "`strategies` names 'mixed'. There are: plain, llm_then_human"),
        ({"pairs": [{"sorce": "llm"}]}, "`pairs` names 'sorce'. The axes are: task, source"),
        ({"exclude": [{"source": ["llm", "humn"]}]}, "`exclude` has the source 'humn'. There are: human, llm"),
        ({"sizes": [0, 50]}, "needs a `base` to train on"),
        ({"sizes": [50, 50]}, "Give each value once"),
        ({"task": {}}, "`task` is not a key. Did you mean `tasks`?"),
        ({"tasks": {"toy": {"recipe": "toy.yaml", "test": {"rows": 3, "share": 0.5}}}}, "Give one of them"),
    ],
)
def test_a_wrong_word_is_told_with_the_right_ones(study_of: Make, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(StudyError) as error:
        study_of(**changes)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_with_tasks_is_read_as_a_sweep(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        "name: one\ntasks: {toy: {recipe: toy.yaml, test: 0.25}}\nsources: {human: , random: , llm: }\n"
        "sizes: [50, all]\nstudents: {counts: tfidf}\n"
    )
    study = Study.from_yaml(file)
    assert study.sizes == [50, None]
    assert [keys.labels for keys in study.sources.values()] == ["human", "random", "annotator"]
    assert study.tasks["toy"].test.share == 0.25
    assert study.folder == tmp_path


def test_a_student_takes_over_the_keys_of_another(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        "name: one\ntasks: {toy: {recipe: toy.yaml, test: 0.25}}\nstudents:\n"
        "  short: &short {model: m, max_length: 32, seed: 1}\n  long:\n    <<: *short\n    max_length: 64\n"
    )
    study = Study.from_yaml(file)
    assert study.students == {
        "short": {"model": "m", "max_length": 32, "seed": 1},
        "long": {"model": "m", "max_length": 64, "seed": 1},
    }
    file.write_text(file.read_text() + "    max_length: 128\n")
    with pytest.raises(StudyError, match=r"line 8: `max_length` stands twice in one mapping"):
        Study.from_yaml(file)
