"""Tables of routed labels: all rows with their route, and the rows that still need a human label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.publishing.labeled_data import LabeledData
from hf_synthlabels.publishing.sampled_data import ROW, label_texts
from hf_synthlabels.statistics.design.human_rows import PROBABILITY
from hf_synthlabels.statistics.routing.route import HUMAN, route_labels
from hf_synthlabels.statistics.routing.routing_report import RoutingReport
from hf_synthlabels.statistics.routing.routing_target import RoutingTarget
from hf_synthlabels.statistics.validation.codebook_validation import coded_domain
from hf_synthlabels.tables import WRITABLE, NewTable, check_output, check_overwrite


def route_variable(
    labeled: LabeledData, target: RoutingTarget, **options: Any
) -> tuple[RoutingReport, list[str | None]]:
    """Route the labels of one variable, as `route_labels` does; rows in which it is not coded do not count.

    Args:
        labeled: rows with the columns of the variable.
        target: metric and value.
        **options: options of `route_labels`.
    """
    variable = labeled.as_variable()
    table = coded_domain(labeled.rows, {**labeled.variables, labeled.llm: variable}, labeled.llm)
    return route_labels(table, variable, target, **options)


def check_routed(labeled: LabeledData, output: Path | None, data: str, *, overwrite: bool) -> None:
    """Check that a table of routed rows can be written, and loses no human labels.

    Args:
        labeled: the rows to route.
        output: file to write; None for no file.
        data: the input, which is not replaced.
        overwrite: whether any other file may be replaced.
    """
    if output is None:
        return
    check_output(output, sources=[data], suffixes=WRITABLE, folder=False)
    if not overwrite:
        columns = [*labeled.rows.column_names, f"{labeled.llm}_route", ROW]
        check_overwrite(output, NewTable(columns, labeled.rows, labeled.human, marks=f"{labeled.llm}_route"))


def routed_rows(labeled: LabeledData, routes: Sequence[str | None]) -> Any:
    """All rows with the column `<llm>_route`: keep, human, or null where the target does not cover the row."""
    from datasets import Value

    column = f"{labeled.llm}_route"
    rows = labeled.rows
    rows = rows.remove_columns([column]) if column in rows.column_names else rows
    return rows.add_column(column, list(routes), feature=Value("string"))


def unlabeled_rest(labeled: LabeledData, routes: Sequence[str | None]) -> Any:
    """The routed rows without a human label, with the number of their row in the table.

    Raises:
        DataError: all routed rows have a human label.
    """
    rows = routed_rows(labeled, routes)
    known = label_texts(rows, labeled.human)
    chosen = [row for row, route in enumerate(routes) if route == HUMAN and known[row] is None]
    if not chosen:
        raise DataError("`--rest` has no rows: all routed rows have a human label. Leave it out.")
    number = ROW if ROW not in rows.column_names else f"_{ROW}"
    rest = rows.select(chosen).add_column(number, chosen)
    return rest.remove_columns([PROBABILITY]) if PROBABILITY in rest.column_names else rest
