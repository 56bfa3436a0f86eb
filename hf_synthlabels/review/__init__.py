"""Review page: human annotation of sampled rows, adjudication, and the agreement report."""

from __future__ import annotations

from hf_synthlabels.review.annotation_session import AnnotationSession
from hf_synthlabels.review.decision_store import DecisionStore
from hf_synthlabels.review.exchange.argilla import read_argilla, write_argilla
from hf_synthlabels.review.exchange.export import decisions, examples, labeled_table, sheet
from hf_synthlabels.review.exchange.imports import import_answers
from hf_synthlabels.review.exchange.label_studio import read_label_studio, write_label_studio
from hf_synthlabels.review.review_options import ReviewOptions, default_store
from hf_synthlabels.review.review_source import open_review
from hf_synthlabels.review.review_state import ReviewState
from hf_synthlabels.review.server.app import review_app
from hf_synthlabels.review.server.listening import bind_socket, serve_review

__all__ = [
    "AnnotationSession",
    "DecisionStore",
    "ReviewOptions",
    "ReviewState",
    "bind_socket",
    "decisions",
    "default_store",
    "examples",
    "import_answers",
    "labeled_table",
    "open_review",
    "read_argilla",
    "read_label_studio",
    "review_app",
    "serve_review",
    "sheet",
    "write_argilla",
    "write_label_studio",
]
