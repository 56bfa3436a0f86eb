"""The measurement module as it is loaded: by its path."""

from __future__ import annotations

import importlib.util
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hf_synthlabels
from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.judging import AuditOptions, audit_metric
from hf_synthlabels.statistics import BootstrapConfig
from tests.judging.audit.audit_data import made

FOLDER = Path(__file__).resolve().parents[2] / "metrics" / "metric_audit"


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import evaluate

    def load(*args: Any, **options: Any) -> Any:
        return evaluate.load(str(FOLDER), *args, cache_dir=str(tmp_path), **{"resamples": 100} | options)

    return load


@pytest.fixture(scope="module")
def app() -> Any:
    spec = importlib.util.spec_from_file_location("metric_audit_app", FOLDER / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_numbers_are_those_of_the_package_and_plain(load: Any) -> None:
    columns = made(1)
    lengths = [float(place % 5) for place in range(len(columns.scores))]
    metric = load(columns=["items", "systems", "lengths"], baselines=["rouge1"], bootstrap_seed=3, level=0.9)
    given: dict[str, Any] = {"items": columns.items, "systems": columns.systems, "lengths": lengths}
    found = metric.compute(
        scores=np.array(columns.scores), human=columns.human, tasks=columns.tasks, rouge1=columns.human, **given
    )
    expected = audit_metric(
        columns.scores,
        columns.human,
        columns.tasks,
        baselines={"rouge1": columns.human},
        options=AuditOptions(BootstrapConfig(0.9, 100, 3)),
        **given,
    )
    for name, interval in expected.scores.items():
        assert found[name] == pytest.approx(interval.estimate, nan_ok=True), name
        assert found[f"{name}_low"] == pytest.approx(interval.low, nan_ok=True), name
    for each in expected.comparisons:
        assert found[f"{each.statistic}_over_{each.baseline}_high"] == pytest.approx(each.difference.high, nan_ok=True)
    assert found["verdicts"] == dict(expected.verdicts)
    # rouge1 is the human score here: nothing is better.
    assert found["cit_pass"] == 0
    assert math.isnan(found["tfa_pass"])
    assert all(type(value) in (int, float, dict) for value in found.values())
    json.dumps(found)


def test_unscored_rows_come_as_none_and_are_counted(load: Any) -> None:
    found = load().compute(scores=[None, 0.2, math.nan, 0.9], human=[0.1, 0.2, 0.3, None], tasks=[1, 1, 2, 2])
    assert (found["n"], found["n_unscored"], found["n_unreferenced"], found["n_tasks"]) == (3, 2, 1, 2)
    assert found["coverage"] == pytest.approx(1 / 3)
    assert found["task_share"] == 0


def test_rows_can_be_added_one_by_one_and_in_batches(load: Any) -> None:
    metric = load()
    metric.add(scores=0.1, human=0.2, tasks="a")
    metric.add_batch(scores=[0.5, 0.9], human=[0.4, 0.8], tasks=["a", "a"])
    assert metric.compute()["cit_kendall"] == 1


def test_an_audit_stands_beside_other_metrics_and_takes_tensors(load: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    import evaluate

    columns: dict[str, Any] = {"scores": [0.1, 0.5, 0.9], "human": [0.2, 0.4, 0.8], "tasks": ["a"] * 3}
    agreement = evaluate.load(hf_synthlabels.metric_path("label_agreement"), cache_dir=str(tmp_path))
    both = evaluate.combine([load(), agreement])
    both.add_batch(predictions=[1, 0, 1], references=[1, 1, 1], **columns)
    scores = both.compute()
    assert (scores["cit_kendall"], scores["accuracy"]) == (1, pytest.approx(2 / 3))
    tensors = columns | {"scores": torch.tensor(columns["scores"]), "human": list(torch.tensor(columns["human"]))}
    assert load().compute(**tensors)["cit_kendall"] == 1


def test_the_whole_audit_is_returned_on_request(load: Any) -> None:
    found = load(columns=["formats", "items"]).compute(
        scores=[0.9, 0.8, 0.1, 0.2],
        human=[1, 1, 0, 0],
        tasks=["t"] * 4,
        items=["1", "1", "2", "2"],
        formats=["a", "b", "a", "b"],
        return_items=True,
    )
    assert found["tfa_auc"] == 1
    assert found["audit"]["metric"]["formats"]["b"]["mean_right"]["estimate"] == pytest.approx(0.8)
    assert found["audit"]["metric"]["tasks"][0]["name"] == "t"


NOTHING: list[tuple[str, dict[str, Any], str]] = [
    ("empty", {"scores": [], "human": [], "tasks": []}, "no row has both"),
    ("no humans", {"scores": [0.1], "human": [None], "tasks": ["a"]}, "no row has both"),
    ("no scores", {"scores": [None, None], "human": [0.1, 0.9], "tasks": ["a", "a"]}, "no row has both"),
    ("constant", {"scores": [0.5, 0.5], "human": [0.1, 0.9], "tasks": ["a", "b"]}, "all scores are 0.5"),
]


def test_what_can_not_be_computed_is_nan_in_the_same_keys(subtests: pytest.Subtests, load: Any) -> None:
    for name, columns, reason in NOTHING:
        with subtests.test(repr((name, columns, reason))):
            options = {"columns": ["formats", "lengths"], "baselines": ["other"]}
            rows = len(columns["scores"])
            extra = {"formats": ["a"] * rows, "lengths": [1.0] * rows, "other": [0.1] * rows}
            found = load(**options).compute(**columns, **extra)
            whole = made(2)
            n = len(whole.scores)
            full = load(**options).compute(
                scores=whole.scores,
                human=whole.human,
                tasks=whole.tasks,
                formats=["a", "b"] * (n // 2),
                lengths=whole.human,
                other=whole.human,
            )
            assert set(found) == set(full)
            assert reason in found["reasons"]["all"]
            assert math.isnan(found["cit_kendall"])
            assert math.isnan(found["tfa_icc"])
            assert found["verdicts"]["cit"] == "not_computed"


def test_a_house_format_that_does_not_occur_is_a_reason_and_the_metric_goes_on(load: Any) -> None:
    metric = load(columns=["formats"], reference_format="json")
    rows: dict[str, Any] = {"scores": [0.1, 0.9], "human": [0, 1], "tasks": ["a", "a"]}
    found = metric.compute(**rows, formats=["a", "b"])
    assert "`reference_format` is 'json': give one of the formats, a, b" in found["reasons"]["all"]
    assert math.isnan(found["tfa_auc"])
    assert found["n"] == 2
    assert metric.compute(**rows, formats=["a", "json"])["cit_kendall"] == 1


def test_wrong_options_fail_at_load(load: Any) -> None:
    with pytest.raises(ValueError, match="`config_name` is 'cat': there is only 'default'"):
        load("cat")
    with pytest.raises(ValueError, match="`columns` has 'item': give some of items, formats, systems, lengths"):
        load(columns=["item"])
    with pytest.raises(ValueError, match="`columns` is 'items': give a list of names"):
        load(columns="items")
    with pytest.raises(ValueError, match="`baselines` has 'human'"):
        load(baselines=["human"])
    with pytest.raises(ValueError, match="`baselines` has 'rouge-1': give names such as rouge1"):
        load(baselines=["rouge-1"])
    with pytest.raises(ValueError, match="`reference_format` is 'json'"):
        load(reference_format="json")
    with pytest.raises(ConfigError, match="`level` is 95"):
        load(level=95)
    with pytest.raises(ConfigError, match="`resamples` is 0"):
        load(resamples=0)
    with pytest.raises(ConfigError, match="`threshold` is 6"):
        load(threshold=6)
    with pytest.raises(ValueError, match="`resample` is not an option"):
        load(resample=5)


def test_wrong_columns_fail_before_the_batch_and_the_metric_goes_on(load: Any) -> None:
    metric = load()
    rows: dict[str, Any] = {"scores": [0.1, 0.9], "human": [0.2, 0.8], "tasks": ["a", "a"]}
    with pytest.raises(ValueError, match="`tasks` is missing: give scores, human, tasks"):
        metric.compute(scores=[0.1], human=[0.1])
    with pytest.raises(ValueError, match=r"`items` is not a column"):
        metric.compute(**rows, items=["a", "b"])
    with pytest.raises(DataError, match=r"`scores` has 7\.0 in row 1: give scores from 0"):
        metric.compute(**rows | {"scores": [0.1, 7]})
    with pytest.raises(DataError, match=r"`scores` has '0\.1' in row 0: give numbers"):
        metric.compute(**rows | {"scores": ["0.1", "0.2"]})
    with pytest.raises(ValueError, match="`tasks` has None in row 1"):
        metric.compute(**rows | {"tasks": ["a", None]})
    with pytest.raises(ValueError, match="columns differ in length: scores 2, human 2, tasks 1"):
        metric.compute(**rows | {"tasks": ["a"]})
    assert metric.compute(**rows)["cit_kendall"] == 1


def test_metric_comes_with_the_package_and_its_card_is_a_spaces() -> None:
    assert hf_synthlabels.metric_path("metric_audit") == str(FOLDER)
    import yaml

    front = yaml.safe_load((FOLDER / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py")
    assert {"evaluate", "measurement"} <= set(front["tags"])


def test_blocks_of_the_card_say_what_comes_out(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER.parents[1])
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    session: dict[str, Any] = {}
    shown = re.findall(r"```python\n(.*?)```", card, re.S)
    assert len(shown) == 2
    for block in shown:
        *_, last = block.strip().splitlines()
        exec(block, session)
        asked, _, told = last.partition("  # ")
        assert [round(value, 2) for value in eval(asked, session)] == list(eval(told))


def test_page_audits_a_table_and_shows_why_it_does_not(app: Any) -> None:
    words, statistics, comparisons = app.audited(app.EXAMPLE, 100)
    assert words.startswith("**CIT** ")
    assert "**TFA** not computed" in words
    # Summaries are in order; of the six pairs of dialogues one is not: (1 + (5 - 1) / 6) / 2.
    assert [statistics[1][0], statistics[1][1][:5]] == ["cit_kendall", "0.833"]
    assert {row[1] for row in comparisons} == {"rouge1"}
    for table, said in (
        ("", "The first line must name columns"),
        ("score,human\n1,1", "The first line must name columns"),
        ("score,human,task\n1,1", "more or fewer cells"),
        ("score,human,task\nhigh,1,a", "is not a number"),
        ("score,human,task\n7,1,a", "give scores from 0"),
    ):
        assert said in app.audited(table, 100)[0]


def test_page_is_built_by_gradio(app: Any) -> None:
    gradio = pytest.importorskip("gradio")
    assert isinstance(app.page(), gradio.Blocks)
