"""What a formula may say, what it may not, and the tables of its coefficients."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset

from hf_synthlabels.errors import ConfigError, DataError, SynthLabelsError
from hf_synthlabels.publishing.label_variables import label_variables, parse_variables
from hf_synthlabels.statistics import estimate
from hf_synthlabels.statistics.regression.coefficients import RegressionReport
from hf_synthlabels.statistics.regression.formula_regression import estimate_formula
from hf_synthlabels.tables.provenance import embed_records

N, LABELED = 300, 120
RNG = np.random.default_rng(3)
X = RNG.normal(size=N)
Y = X + RNG.normal(size=N)
G = RNG.choice(["a", "b", "c"], N)
HAS_LABEL = np.arange(N) < LABELED
CLASSES = np.where(Y > 0, "pro", "con")


def hidden(values: Any) -> list[Any]:
    return [value if mine else None for value, mine in zip(np.asarray(values).tolist(), HAS_LABEL, strict=True)]


RARE = ["r"] * 20 + ["s", "t"] * 140
VARIABLES: dict[str, tuple[Any, Any]] = {
    "y": (Y + 0.1, hidden(Y)),
    "bias": (np.where(RNG.random(N) < 0.8, CLASSES, "pro").tolist(), hidden(CLASSES)),
    "rare": (RARE, hidden(["s", *RARE[20:], *RARE[20:39]])),
    "never": (Y, [None] * N),
    "sided": (np.where(X > 0, "pro", "con").tolist(), hidden(np.where(X > 0, "pro", "con"))),
}
COLUMNS: dict[str, Any] = {"x": X, "double": 2 * X, "g": G.tolist(), "size": np.exp(X), "tens of words": X, "if": X}


def fit(formula: str, **options: Any) -> RegressionReport:
    return estimate_formula(formula, COLUMNS, VARIABLES, **options)


def test_terms_have_the_coding_of_r() -> None:
    for right, names in {
        "g": ["(intercept)", "g = b", "g = c"],
        "0 + g": ["g = a", "g = b", "g = c"],
        "x:g": ["(intercept)", "g = a : x", "g = b : x", "g = c : x"],
        "x * g - x:g": ["(intercept)", "x", "g = b", "g = c"],
        "C(g, Treatment('b'))": ["(intercept)", "g = a", "g = c"],
        "`tens of words` + log(size)": ["(intercept)", "tens of words", "log(size)"],
        "if + I(x ** 2)": ["(intercept)", "if", "I(x ** 2)"],
        "1": ["(intercept)"],
    }.items():
        terms = [re.sub(r"^x : (g = .)$", r"\1 : x", each.name) for each in fit(f"y ~ {right}")]
        assert terms == names, right


@pytest.mark.parametrize(
    "attack",
    [
        "__import__('os').system('touch HIT')",
        "{open('HIT', 'w')}",
        "I(open('HIT', 'w'))",
        "np.load('HIT')",
        "x.__class__",
        "(lambda: open('HIT', 'w'))()",
        "C(open('HIT', 'w'))",
        "C(g, open('HIT', 'w'))",
        "I([open('HIT', 'w') for _ in x])",
        "x[open('HIT', 'w')]",
        "I(9 ** 9 ** 9 ** 9 * x)",
    ],
)
def test_no_part_of_a_formula_is_evaluated_as_python(
    attack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SynthLabelsError, match="`"):
        fit(f"y ~ x + {attack}")
    with pytest.raises(SynthLabelsError, match="`"):
        fit(f"{attack} ~ y")
    assert not (tmp_path / "HIT").exists()


@pytest.mark.parametrize(
    ("formula", "error", "field"),
    [
        ("y", ConfigError, "formula"),
        ("~ x", ConfigError, "formula"),
        ("y ~ x +", ConfigError, "formula"),
        ("y ~ x ~ g", ConfigError, "formula"),
        ("y ~ x | g", ConfigError, "formula"),
        ("y ~ .", ConfigError, "formula"),
        ("y + x ~ g", ConfigError, "formula"),
        ("y ~ 2:x", ConfigError, "formula"),
        ("y ~ log(y)", ConfigError, "formula"),
        ("x ~ double", ConfigError, "formula"),
        ("y ~ bs(x)", ConfigError, "formula"),
        ("y ~ C(g, Treatment('z'))", ConfigError, "C(g, Treatment('z'))"),
        ("rare ~ x", ConfigError, "positive"),
        ("y ~ lenght", DataError, "formula"),
        ("never ~ x", DataError, "never"),
        ("y ~ log(x)", DataError, "log(x)"),
        ("y ~ log(g)", DataError, "log(g)"),
        ("y ~ C(x)", DataError, "C(x)"),
    ],
)
def test_unusable_formulas_are_refused_in_one_sentence(formula: str, error: Any, field: str) -> None:
    with pytest.raises(error) as caught:
        fit(formula)
    assert f"`{field}`" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_notes_name_what_limits_a_regression() -> None:
    for formula, said in (
        ("y ~ x + double", "double is a linear combination"),
        ("sided ~ x", "separate the classes"),
        ("y ~ rare", "rare = r (0)"),
        ("y ~ x", "Taken as known without error: x."),
        ("bias ~ g", "Reference levels: g = a."),
    ):
        assert any(said in note for note in fit(formula).notes), formula


def test_the_positive_class_sets_the_sign() -> None:
    pro, con = fit("bias ~ x", positive="pro"), fit("bias ~ x", positive="con")
    assert (pro.family, pro.positive, con.positive) == ("logistic", "pro", "con")
    assert pro["x"].classical.estimate == pytest.approx(-con["x"].classical.estimate, abs=1e-9)
    assert fit("bias ~ x").positive == "pro"
    assert fit("bias ~ x", family="linear").family == "linear"
    assert fit("g ~ y", positive="b")["y"].n == LABELED
    with pytest.raises(DataError, match="`positive`"):
        fit("bias ~ x", positive="nobody")


def test_tables_of_coefficients_hold_the_same_numbers(tmp_path: Path) -> None:
    report = fit("bias ~ x * g")
    ppi = report["x"].ppi
    lines = list(csv.DictReader(report.render(".csv").splitlines()))
    assert len(lines) == 4 * 6
    row = next(line for line in lines if line["term"] == "x" and line["estimator"] == "ppi")
    assert float(row["estimate"]) == ppi.estimate
    assert (row["n"], row["n_human"]) == (str(N), str(LABELED))
    assert float(row["odds_ratio_low"]) == math.exp(ppi.low)
    assert next(line for line in lines if line["estimator"] == "naive")["effective_n"] == ""
    written = json.loads(report.render(".json", ["ppi"]))
    assert [each["term"] for each in written["coefficients"]] == [each.name for each in report]
    assert written["coefficients"][1]["p"] == float(row["p"])
    cells = f"{ppi.estimate:.3f}", f"[{ppi.low:.3f}, {ppi.high:.3f}]"
    markdown, latex = report.render(".md", ["ppi"]), report.render(".tex", ["ppi"])
    assert f"| x | {LABELED} | {cells[0]} |" in markdown
    assert cells[1].replace("-", "$-$") in latex
    assert latex.count(r"\\") == 1 + 6 + 1
    assert r"bias \textasciitilde{} x * g" in latex
    assert "undefined" in fit("sided ~ x").render(".md", ["classical"])
    with pytest.raises(ConfigError, match="`estimator`"):
        report.text(None, ["best"])
    with pytest.raises(ConfigError, match="`output`"):
        report.render(".xlsx")


def test_text_tables_fit_a_terminal() -> None:
    for formula in ("bias ~ x * g", "y ~ C(g, Treatment('b')) * I((x - 1000) / 100000) + log(size)", "y ~ rare"):
        text = fit(formula).text(80)
        assert max(map(len, text.splitlines())) <= 80, formula
        assert all(name in text for name in ("Naive", "Classical", "PPI++", "DSL"))
    assert "Naive  " not in fit("y ~ x").text(80, ["dsl"])


def dataset(**more: Any) -> Dataset:
    topic = [["art", "law", "war"].index(name) for name in np.where(G == "a", "art", "war")]
    columns = {
        "tone": (Y + 0.1).tolist(),
        "tone_human": hidden(Y),
        "topic": topic,
        "topic_human": hidden(topic),
        "x": X.tolist(),
        "inclusion_probability": [0.4 if mine else None for mine in HAS_LABEL],
        **more,
    }
    rows = Dataset.from_dict(columns)
    names = ClassLabel(names=["art", "law", "war"])
    return rows.cast_column("topic", names).cast_column("topic_human", names)


def test_variables_come_from_provenance_or_options() -> None:
    rows = dataset()
    records: list[dict[str, Any]] = [
        {"column": "tone", "human": "tone_human"},
        {"column": "topic", "human": None},
        {"column": "inclusion_probability", "human": "topic_human", "llm": "topic"},
        {"column": "x", "human": "gone"},
    ]
    rows.info.description = embed_records(records)
    variables = label_variables(rows)
    assert variables == {"tone": ("tone", "tone_human"), "topic": ("topic", "topic_human")}
    chosen, declared = parse_variables(["tone=tone:tone_human", "theme = topic:topic_human"])
    assert chosen is None
    assert parse_variables(["tone"]) == ("tone", {})
    first = estimate(rows, formula="tone ~ topic + x", variables=variables)
    second = estimate(rows, formula="tone ~ theme + x", variables=declared)
    assert [each.name for each in first] == ["(intercept)", "topic = war", "x"]
    assert first["topic = war"].dsl == second["theme = war"].dsl
    for option in ("", "tone=tone_human", "=a:b", "tone=a:"):
        with pytest.raises(ConfigError, match="`--variable`"):
            parse_variables([option])
    with pytest.raises(ConfigError, match="`--variable`"):
        parse_variables(["a=b:c", "a=b:c"])


def test_labels_are_never_taken_for_known_columns() -> None:
    rows = dataset(tone_status=["labelled"] * N)
    topic = {"topic": ("topic", "topic_human")}
    with pytest.raises(ConfigError, match=r"`tone`.*`--variable"):
        estimate(rows, formula="tone ~ topic", variables=topic)
    with pytest.raises(ConfigError, match="write `topic`"):
        estimate(rows, formula="x ~ topic_human", variables=topic)
    with pytest.raises(ConfigError, match="`formula`"):
        estimate(rows, formula="x ~ topic", variables=topic, groups="topic")


def test_only_sampled_rows_count_as_labeled() -> None:
    rows = dataset(inclusion_probability=[0.4 if row < 100 else None for row in range(N)])
    report = estimate(rows, formula="tone ~ x", human="tone_human", llm="tone")
    assert report.n_human == 100
    assert any(note.startswith("20 rows have a human label and were not drawn") for note in report.notes)
