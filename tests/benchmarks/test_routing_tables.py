"""The tables of routing on the page are those of a run in which the target is missed rarely enough."""

from __future__ import annotations

from pathlib import Path

from benchmarks.routing import LABELED, RISK, page_tables, read_table

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results" / "routing"
PAGE = ROOT / "docs" / "confidence_and_routing.md"


def test_the_page_has_the_tables_of_the_run() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(table in text for table in page_tables(RESULTS))


def test_the_target_is_missed_in_at_most_the_risk() -> None:
    cells = read_table(RESULTS / "simulation.csv")
    assert {int(cell["human labels"]) for cell in cells} == set(LABELED)
    for cell in cells:
        assert int(cell["worlds"]) >= 2000
        # In no cell is the share of misses shown to be above the risk.
        assert float(cell["low"]) <= RISK
        assert float(cell["missed in the table"]) <= RISK
    assert max(float(cell["missed"]) for cell in cells) <= RISK
    recorded = read_table(RESULTS / "recorded.csv")
    assert all(float(cell["low"]) <= RISK for cell in recorded)
