"""What the benchmarks write into the results pages, from small or recorded results."""

from __future__ import annotations

from pathlib import Path

from benchmarks import coverage, judging_audit, judging_coverage, label_sources, papers, valid_conclusions
from benchmarks.coverage_tables import TABLES
from benchmarks.documents import Table, read_csv
from benchmarks.papers import Block, Excerpt
from hf_synthlabels.statistics import Interval
from hf_synthlabels.studies.analysis.strategies import StrategyComparison, StrategyScores
from tests.studies.analysis.study_cells import cell, make_runs, make_task, noisy

TRUTH = tuple(row % 2 for row in range(200))


def test_page_on_coverage_shows_the_lowest_and_highest_of_its_files() -> None:
    assert coverage.summary(coverage.FOLDER) in coverage.DOCUMENT.read_text(encoding="utf-8")
    assert {name for _, name, _ in coverage.SUMMARY} <= TABLES.keys()


def test_tables_of_coverage_have_the_columns_that_the_page_counts() -> None:
    for _, name, columns in coverage.SUMMARY:
        if name in ("no_error", "pooled", "hamming_loss"):
            head, rows = TABLES[name](2, 0)
            assert set(columns) <= set(head), name
            assert len(rows) == len(read_csv(coverage.FOLDER / f"{name}.csv")[1]), name


def test_pages_of_judges_show_ends_of_coverage_and_verdicts() -> None:
    rows = [
        ("a", "0.900 [0.880, 0.920]", "0.950 [0.940, 0.960]"),
        ("b", "0.940 [0.930, 0.950]", "0.930 [0.920, 0.940]"),
    ]
    columns = {name: {column} for _, name, column in judging_coverage.DESIGNS}
    for _, name, column in judging_coverage.DESIGNS:
        columns[name].add(column)
    tables = {
        name: Table(("case", *sorted(found), "classical"), [(row[0], *[row[1]] * len(found), row[2]) for row in rows])
        for name, found in columns.items()
    }
    line = judging_coverage.summary(tables).splitlines()[2]
    assert line.endswith("| 2 | 0.900 [0.880, 0.920] | 0.940 [0.930, 0.950] | 0.930 to 0.950 |")
    audit = Table(tuple(judging_audit.SHOWN), [("m", 1, 2, 3, "pass", "fail")])
    assert judging_audit.summary(audit).splitlines()[2] == "| m | 1 | 2 | 3 | pass | fail |"


def test_page_on_estimates_shows_simple_random_samples() -> None:
    lines = [(question.what, question.data, *["0.950 [0.940, 0.960]"] * 6) for question in valid_conclusions.QUESTIONS]
    shown = valid_conclusions._shown(lines)
    assert 0 < len(shown.rows) <= 10
    assert not [row for row in shown.rows if "confidence" in str(row[0])]
    assert "12 with PPI++ (0.950 to 0.950)" in valid_conclusions._verdict(lines)


def test_strategies_have_differences_and_the_ends_of_their_seeds() -> None:
    score = {"macro_f1": Interval(0.8, 0.7, 0.9, 0.95, "", 9)}
    gain = {"macro_f1": Interval(0.02, -0.01, 0.05, 0.95, "", 9)}
    seeds: dict[str, tuple[float, ...]] = {"macro_f1": (0.75, 0.85)}
    strategies = (
        StrategyScores("llm_only", score, seeds, {}),
        StrategyScores("mix", score, seeds, {"llm_only": gain}),
    )
    report = StrategyComparison("t", "s", "llm", 20, 9, (0, 1), strategies, score)
    table = label_sources.strategy_table(report, "macro_f1")
    assert [len(row) for row in table.rows] == [len(table.head)] * 3
    assert list(table.rows[1][-2:]) == ["0.750", "0.850"]
    lines = label_sources.summary({"conference_titles": table}).splitlines()
    assert "| both together, human labels first | 0.800 | 0.020 [-0.010, 0.050] |" in lines


def test_study_leaves_its_exhibits_its_words_and_an_excerpt(tmp_path: Path) -> None:
    accuracies = {"human": 0.9, "llm": 0.8}
    cells = [cell(name, noisy(TRUTH, share, seed), seed) for name, share in accuracies.items() for seed in (0, 1)]
    runs = make_runs(make_task(cells, truth=TRUTH, llm_labels={"llm": noisy(TRUTH, 0.8, 9)}))
    columns = ("task, student, labels", "test rows", "verdict")
    block = Block("page.md", "study", {"human_or_llm": ("human_llm_table",)}, Excerpt("human_llm_table", columns))
    papers.write_study(runs, block, tmp_path / "study")
    assert read_csv(tmp_path / "study" / "human_llm_table.csv")[1]
    words = (tmp_path / "study" / "summary.txt").read_text(encoding="utf-8")
    assert words.startswith("Recommendation: ")
    assert words.count("\n\n") >= 3
    head, _, *lines = papers.excerpt_text(runs, block).splitlines()
    assert head == f"| {' | '.join(columns)} |"
    assert len(lines) == 1
