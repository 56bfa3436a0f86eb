"""Review page: human annotation of sampled rows, adjudication, and the agreement report."""

from __future__ import annotations

from hf_synthlabels.review.annotation_session import AnnotationSession, Decision
from hf_synthlabels.review.decision_store import DecisionStore, Event
from hf_synthlabels.review.exchange.argilla import read_argilla, write_argilla
from hf_synthlabels.review.exchange.export import Exported, decisions, examples, labelled_table, sheet
from hf_synthlabels.review.exchange.imports import Answer, Imported, import_answers
from hf_synthlabels.review.exchange.label_studio import read_label_studio, write_label_studio
from hf_synthlabels.review.review_rows import ReviewRows, review_rows
from hf_synthlabels.review.review_source import ReviewOptions, default_store, open_review
from hf_synthlabels.review.review_state import Resolution, ReviewState
from hf_synthlabels.review.server.app import review_app
from hf_synthlabels.review.server.listening import bind_socket, serve_review

__all__ = [
    "AnnotationSession",
    "Answer",
    "Decision",
    "DecisionStore",
    "Event",
    "Exported",
    "Imported",
    "Resolution",
    "ReviewOptions",
    "ReviewRows",
    "ReviewState",
    "bind_socket",
    "decisions",
    "default_store",
    "examples",
    "import_answers",
    "labelled_table",
    "open_review",
    "read_argilla",
    "read_label_studio",
    "review_app",
    "review_rows",
    "serve_review",
    "sheet",
    "write_argilla",
    "write_label_studio",
]
