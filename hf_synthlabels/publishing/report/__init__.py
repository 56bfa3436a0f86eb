"""Reports: sections of tables and figures as one page, as Markdown, and as files that others can use."""

from hf_synthlabels.publishing.report.figures import draw
from hf_synthlabels.publishing.report.files import figure_table
from hf_synthlabels.publishing.report.markdown import render_markdown
from hf_synthlabels.publishing.report.page import render_page, write_page
from hf_synthlabels.publishing.report.values import Page, page_from_json, page_to_json

__all__ = [
    "Page",
    "draw",
    "figure_table",
    "page_from_json",
    "page_to_json",
    "render_markdown",
    "render_page",
    "write_page",
]
