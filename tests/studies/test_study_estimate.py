"""A study's estimate under every annotator and prompt: all rows, human labels of the test rows, tuned on the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.errors import DataError, StudyError
from hf_synthlabels.publishing.report import report_page
from hf_synthlabels.statistics import estimate
from hf_synthlabels.statistics.robustness.curve_report import SpecificationReport
from hf_synthlabels.studies import read_runs, run_study
from tests.statistics.common import Columns
from tests.studies.conftest import Make

SOURCES = {"llm": {}, "coin": {"annotator": {"column": "coin"}}}


def test_the_curve_is_the_estimate_of_each_annotator(study_of: Make, tmp_path: Path) -> None:
    keys = {"quantity": "film", "against": 0.5}
    study = study_of(sources=SOURCES, students={"annotator": "annotator"}, estimate=keys)
    runs = run_study(study, tmp_path / "out")
    (task,) = runs.tasks
    assert task.specification is not None
    report = SpecificationReport.from_dict(task.specification)
    (curve,) = report.curves
    # 30 test rows correct the estimates of all 100 rows; the other 70 have a human label, too, and choose.
    assert (report.n_rows, report.n_human, curve.name, curve.null) == (100, 30, "film", 0.5)
    assert report.selection is not None
    correct = sum(a == b for a, b in zip(task.train_labels["llm"], task.train_truth, strict=True))
    assert (report.selection.column, report.selection.score.n) == ("labels of llm", 70)
    assert report.selection.score.estimate == pytest.approx(correct / 70)
    for each in curve.variants:
        codes = [*task.train_labels[each.variant.name], *task.llm_labels[each.variant.name]]
        human = [None] * 70 + [task.names[code] for code in task.truth]
        named = [None if code is None else task.names[code] for code in codes]
        own = estimate(Columns(label=human, llm_label=named))["film"]
        assert each.naive.estimate == pytest.approx(own.naive.estimate)
        assert each.corrected.estimate == pytest.approx(own.ppi.estimate)
    assert read_runs(tmp_path / "out" / "runs.json").tasks[0].specification == json.loads(report.to_json())
    page = report_page(runs)
    assert any(section.name == "curve_1_1" for section in page.sections)
    assert any("Chosen on 70 tune rows by accuracy: llm" in line for line in page.summary)


def test_prompts_and_sources_are_choices_and_columns_are_groups(study_of: Make, tmp_path: Path) -> None:
    study = study_of(
        sources=SOURCES,
        prompts={"short": {}, "long": {"task": {"instructions": "Which section?"}}},
        students={"annotator": "annotator"},
        estimate={"groups": "coin", "positive": "film"},
    )
    # Recorded answers are the same for every prompt.
    (task,) = run_study(study, tmp_path / "out").tasks
    assert task.specification is not None
    (curve,) = SpecificationReport.from_dict(task.specification).curves
    assert (curve.name, curve.null) == ("sport - film", 0)
    assert [dict(each.variant.choices)["prompt"] for each in curve.variants].count("long") == 2
    assert {dict(each.variant.choices)["source"] for each in curve.variants} == {"llm", "coin"}


@pytest.mark.parametrize(
    ("sources", "keys", "field", "error"),
    [
        ({"llm": {}}, {}, "estimate", StudyError),
        (SOURCES, {"groups": "outlet"}, "estimate.groups", StudyError),
        (SOURCES, {"quantity": "opera"}, "opera", DataError),
        (SOURCES, {"clusters": "outlet"}, "estimate.clusters", StudyError),
    ],
)
def test_estimates_that_cannot_be_computed_are_refused(
    study_of: Make, tmp_path: Path, sources: Any, keys: dict[str, Any], field: str, error: type[Exception]
) -> None:
    study = study_of(sources=sources, students={"annotator": "annotator"}, estimate=keys)
    with pytest.raises(error, match=f"`{field}`"):
        run_study(study, tmp_path / "out")
