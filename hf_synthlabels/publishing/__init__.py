"""What leaves the machine: tables, reports with figures."""

from hf_synthlabels.publishing.labelled import (
    Labelled,
    annotation_summary,
    open_labelled,
    record_summary,
    scale_schema,
)
from hf_synthlabels.publishing.page import render_page, write_report
from hf_synthlabels.publishing.tables import read_table, write_table

__all__ = [
    "Labelled",
    "annotation_summary",
    "open_labelled",
    "read_table",
    "record_summary",
    "render_page",
    "scale_schema",
    "write_report",
    "write_table",
]
