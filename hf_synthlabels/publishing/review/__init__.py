"""The review page: people label the rows that were drawn, decide where labels differ, and read what came of it."""

from __future__ import annotations

from hf_synthlabels.publishing.review.board import Board, Resolution
from hf_synthlabels.publishing.review.desk import Decision, Desk
from hf_synthlabels.publishing.review.opening import ReviewOptions, default_store, open_review
from hf_synthlabels.publishing.review.rows import ReviewRows, review_rows
from hf_synthlabels.publishing.review.server import review_app
from hf_synthlabels.publishing.review.serving import open_door, serve_review
from hf_synthlabels.publishing.review.store import DecisionStore, Event

__all__ = [
    "Board",
    "Decision",
    "DecisionStore",
    "Desk",
    "Event",
    "Resolution",
    "ReviewOptions",
    "ReviewRows",
    "default_store",
    "open_door",
    "open_review",
    "review_app",
    "review_rows",
    "serve_review",
]
