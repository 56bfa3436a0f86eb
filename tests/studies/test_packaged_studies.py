"""The study files of this repository can be read, and say which cells they have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hf_synthlabels.annotation import Recipe, load_source, read_recipe
from hf_synthlabels.studies import Study, plan_study
from hf_synthlabels.studies.tasks.label_sources import asked
from hf_synthlabels.studies.tasks.recipes import annotator_recipes, recipe_file
from hf_synthlabels.studies.tasks.rows import human_values

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs" / "studies"
DATA = Path(os.environ.get("HF_SYNTHLABELS_DATA") or ROOT.parent / "shared" / "data")
"""Read before any test hides the variable."""

FILES = sorted(CONFIGS.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_papers_studies_name_packaged_recipes_and_public_sources(file: Path) -> None:
    study = Study.from_yaml(file)
    for name, task in study.tasks.items():
        recipe = Recipe.from_yaml(recipe_file(task.recipe, study.folder))
        assert recipe.source.homepage is not None
        # A revision, not a branch that moves.
        assert len(recipe.source.homepage.rsplit("/", 1)[-1]) == 40
        assert annotator_recipes(study, name)


def test_the_third_paper_has_fourteen_tasks() -> None:
    study = Study.from_yaml(CONFIGS / "paper_3.yaml")
    assert len(study.tasks) == 14
    assert all(task.sha256 for task in study.tasks.values())


PUBLISHED = {
    "misinformation": 0.690,
    "power": 0.616,
    "ideology": 0.548,
    "persuasion": 0.530,
    "politeness": 0.508,
    "figurative": 0.502,
    "emotion": 0.462,
    "discourse": 0.445,
    "humor": 0.554,
    "derailing": 0.530,
    "global_warming": 0.818,
}
"""Accuracies of the recorded answers, as they were computed from their authors' files."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_recorded_answers_agree_with_people_as_published(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = "uiuc_llm_annotations" if name == "global_warming" else "css_ziems"
    if not (DATA / folder).is_dir():
        pytest.skip(f"no local copy of {folder} in HF_SYNTHLABELS_DATA")
    monkeypatch.setenv("HF_SYNTHLABELS_DATA", str(DATA))
    recipe = read_recipe(name)
    (rows,) = load_source(recipe).values()
    labels = asked(rows, recipe, None).values
    human = human_values(rows, recipe).labels
    assert sum(a == b for a, b in zip(labels, human, strict=True)) / len(rows) == pytest.approx(
        PUBLISHED[name], abs=5e-4
    )
    # What was recorded has no price and took no time that is known.
    assert asked(rows.select(range(2)), recipe, None).usd is None


def test_the_third_paper_can_be_planned_on_local_copies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for folder in ("css_ziems", "media_bias_babe", "conference_titles", "uiuc_llm_annotations"):
        if not (DATA / folder).is_dir():
            pytest.skip(f"no local copy of {folder} in HF_SYNTHLABELS_DATA")
    monkeypatch.setenv("HF_SYNTHLABELS_DATA", str(DATA))
    study = Study.from_yaml(CONFIGS / "paper_3.yaml")
    cells = plan_study(study, tmp_path)
    assert len({planned.cell.task for planned in cells}) == 14
    # Recorded answers are read when the study runs: before, nothing is done.
    assert not any(planned.done for planned in cells)
    assert sum(planned.cell.student == "annotator" for planned in cells) == 74
