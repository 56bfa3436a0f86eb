"""The metric module as it is loaded: by its path; and the page of its Space."""

from __future__ import annotations

import importlib.util
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hf_synthlabels
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.intervals import wilson

pytest.importorskip("nltk")

FOLDER = Path(__file__).resolve().parents[2] / "metrics" / "bleu_accuracy"


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import evaluate

    def load(*args: Any, **options: Any) -> Any:
        return evaluate.load(str(FOLDER), *args, cache_dir=str(tmp_path), **options)

    return load


@pytest.fixture(scope="module")
def app() -> Any:
    spec = importlib.util.spec_from_file_location("bleu_accuracy_app", FOLDER / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_shares_carry_their_wilson_intervals(load: Any) -> None:
    # Scores 0 (no prediction), 1/2, 1 and 0; the fifth row has no reference.
    scores = load(thresholds=[0.3, 1.0]).compute(
        predictions=[None, "in 1876", "1876", "Rome", "x"], references=[["a"], ["1876"], ["1876"], ["Paris"], None]
    )
    expected = {
        "accuracy": wilson(2, 4),
        "coverage": wilson(3, 4),
        "accuracy_at_0.3": wilson(2, 4),
        "accuracy_at_1.0": wilson(1, 4),
    }
    for name, interval in expected.items():
        ends = [interval.estimate, interval.low, interval.high]
        assert [scores[name], scores[f"{name}_low"], scores[f"{name}_high"]] == ends
    assert scores["mean_bleu"] == 1.5 / 4
    assert (scores["n"], scores["n_unlabelled"], scores["n_unreferenced"]) == (4, 1, 1)
    assert all(type(value) in (int, float) for value in scores.values())
    assert json.loads(json.dumps(scores)) == scores


def test_default_sweep_has_ten_thresholds_and_an_empty_one_none(load: Any) -> None:
    rows = {"predictions": ["a"], "references": [["a"]]}
    shares = [name for name in load().compute(**rows) if re.fullmatch(r"accuracy_at_[\d.]+", name)]
    assert shares == [f"accuracy_at_{tenth / 10}" for tenth in range(1, 11)]
    assert not [name for name in load(thresholds=[]).compute(**rows) if "_at_" in name]


def test_a_text_is_one_reference_and_not_a_list_of_letters(load: Any) -> None:
    metric = load()
    assert metric.compute(predictions=["P a r i s", "Rome"], references=["Paris", "Rome"])["accuracy"] == 1 / 2
    metric.add(predictions="Rome", references="Rome")
    metric.add_batch(predictions=["Paris"], references=["Rome"])
    assert metric.compute()["accuracy"] == 1 / 2


def test_verdicts_tell_the_agreement_of_each_threshold(load: Any) -> None:
    # Of the judged rows .3 calls both as the human did, 1.0 only the second; nobody looked at the first row.
    scores = load("verdicts", thresholds=[0.3, 1.0]).compute(
        predictions=["1876", "in 1876", "Rome"],
        references=[["1876"], ["1876"], ["Paris"]],
        verdicts=[None, True, False],
    )
    assert (scores["agreement_at_0.3"], scores["agreement_at_1.0"]) == (1, 1 / 2)
    assert scores["agreement_at_0.3_low"] == wilson(2, 2).low
    assert (scores["kappa_at_0.3"], scores["kappa_at_1.0"]) == (1, 0)
    assert scores["n_unjudged"] == 1


def test_items_are_returned_on_request(load: Any) -> None:
    scores = load().compute(predictions=["in 1876", "x"], references=[["1876"], None], return_items=True)["scores"]
    assert scores[0] == 1 / 2
    assert math.isnan(scores[1])


def test_no_rows_give_nan_and_counts_instead_of_an_error(load: Any) -> None:
    scores = load().compute(predictions=[], references=[])
    assert math.isnan(scores["accuracy"])
    assert math.isnan(scores["mean_bleu"])
    assert scores["n"] == 0


RANK = """
import sys
import evaluate

folder, cache, rank = sys.argv[1], sys.argv[2], int(sys.argv[3])
metric = evaluate.load(folder, num_process=2, process_id=rank, experiment_id="two", cache_dir=cache, thresholds=[])
rows = [("a", "a"), ("b", "a"), ("a b", "a"), ("c", "c")][rank::2]
found = metric.compute(predictions=[said for said, _ in rows], references=[gold for _, gold in rows])
print(found and (found["accuracy"], found["n"]))
"""


@pytest.mark.slow
def test_two_processes_score_all_rows_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RANK, str(FOLDER), str(tmp_path)]
    started = [subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, text=True) for rank in (0, 1)]
    said = [process.communicate(timeout=120)[0].strip() for process in started]
    assert said == ["(0.75, 4)", "None"]


def test_metrics_are_combined(load: Any, tmp_path: Path) -> None:
    import evaluate

    first = load(thresholds=[])
    both = evaluate.combine([first, type(first)(thresholds=[], threshold=0.9, cache_dir=str(tmp_path / "other"))])
    both.add_batch(predictions=["a b", "a"], references=["a", "a"])
    scores = both.compute()
    assert (scores["bleu_accuracy_0_accuracy"], scores["bleu_accuracy_1_accuracy"]) == (1, 1 / 2)


def test_one_row_is_added_by_the_names_that_evaluate_documents(load: Any) -> None:
    metric = load(thresholds=[])
    metric.add(prediction="a b", reference="a b")
    metric.add(prediction="a b", reference=["c", "d"])
    assert metric.compute()["accuracy"] == 0.5


def test_wrong_options_fail_at_load(load: Any) -> None:
    with pytest.raises(ValueError, match="`config_name` is 'verdict': give one of default, verdicts"):
        load("verdict")
    with pytest.raises(ConfigError, match="`threshold` has 50"):
        load(threshold=50)
    with pytest.raises(ConfigError, match="`level` is 95"):
        load(level=95)
    with pytest.raises(ConfigError, match="`normalization` is 'squad'"):
        load(normalization="squad")
    with pytest.raises(ValueError, match="`treshold` is not an option"):
        load(treshold=0.4)


def test_wrong_columns_fail_before_the_batch_and_the_metric_goes_on(load: Any) -> None:
    metric = load()
    with pytest.raises(ValueError, match="`references` is missing: config 'default' needs predictions, references"):
        metric.compute(predictions=["a"])
    with pytest.raises(ValueError, match="`verdicts` is not a column of config 'default'"):
        metric.compute(predictions=["a"], references=["a"], verdicts=[True])
    with pytest.raises(ValueError, match="`threshold` is not a column"):
        metric.compute(predictions=["a"], references=["a"], threshold=0.4)
    assert metric.compute(predictions=["a"], references=["a"])["accuracy"] == 1


def test_metric_comes_with_the_package_and_its_card_is_a_spaces() -> None:
    assert hf_synthlabels.metric_path("bleu_accuracy") == str(FOLDER)
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    import yaml

    front = yaml.safe_load(card.split("---")[1])
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py")
    assert {"evaluate", "metric"} <= set(front["tags"])


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
        values = eval(asked, session)
        assert [round(value, 2) for value in values] == list(eval(told))


def test_page_scores_lines_and_shows_why_it_does_not(app: Any) -> None:
    words, answers, sweep = app.scored("in 1876\n\nRome", "1876 | September 1876\nParis\nRome", 0.5, "paper")
    # 1/2, no answer, 1.
    assert words == "Right: 66.7% [20.8%, 93.9%] of 3 rows."
    assert answers == [
        ["in 1876", "1876 | September 1876", "0.500", "right"],
        ["", "Paris", "0.000", "wrong"],
        ["Rome", "Rome", "1.000", "right"],
    ]
    assert len(sweep) == 10
    assert app.scored("", "", 0.5, "paper")[0] == "There is no row with a right answer: give one in each line."
    assert "differ in length" in app.scored("a\nb", "a", 0.5, "paper")[0]


def test_page_is_built_by_gradio(app: Any) -> None:
    gradio = pytest.importorskip("gradio")
    assert isinstance(app.page(), gradio.Blocks)
