"""The packaged recipe on real recorded answers gives the numbers that were counted by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.annotation import load
from hf_synthlabels.labels import STATUSES

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture(scope="module")
def titles(tmp_path_factory: pytest.TempPathFactory) -> Any:
    if not (DATA / "conference_titles" / "conference_titles.jsonl").is_file():
        pytest.skip("no local copy of the conference titles beside the checkout")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_SYNTHLABELS_DATA", str(DATA))
        patch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path_factory.mktemp("home")))
        return load("conference_titles", split="train", cache_dir=str(tmp_path_factory.mktemp("cache")))


def right(rows: Any) -> int:
    names = rows.features["llm_label"].names
    pairs = zip(rows["label"], rows["llm_label"], strict=True)
    return sum(code is not None and names[code] == human for human, code in pairs)


def test_agreement_on_all_rows(titles: Any) -> None:
    assert len(titles) == 2507
    assert right(titles) == 1955
    assert round(right(titles) / 2507, 4) == 0.7798


def test_agreement_on_answered_rows(titles: Any) -> None:
    counts = Counter(STATUSES[code] for code in titles["llm_label_status"])
    assert counts == {"labelled": 2489, "unparsed": 18}
    assert round(right(titles) / 2489, 4) == 0.7855


def test_agreement_on_the_validation_rows(titles: Any) -> None:
    part = titles.filter(lambda row: row["split"] == "val")
    assert (right(part), len(part)) == (292, 377)
