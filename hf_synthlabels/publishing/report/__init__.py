"""Reports: sections of tables and figures as one page, as Markdown, and as files that others can use."""

from hf_synthlabels.publishing.report.markdown import render_markdown
from hf_synthlabels.publishing.report.page import render_page, write_page
from hf_synthlabels.publishing.report.page_values import Page
from hf_synthlabels.publishing.report.report_pages import Report, read_report, report_page, write_report

__all__ = [
    "Page",
    "Report",
    "read_report",
    "render_markdown",
    "render_page",
    "report_page",
    "write_page",
    "write_report",
]
