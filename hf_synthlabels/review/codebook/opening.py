"""Opening of the data of a review with their decisions, for a recipe with one variable or a codebook."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from hf_synthlabels.annotation import Recipe, read_codebook
from hf_synthlabels.annotation.codebook.codebook import Codebook
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.review.codebook.codebook_review import CodebookReview
from hf_synthlabels.review.codebook.codebook_rows import CodebookRows, open_codebook
from hf_synthlabels.review.decision_store import DecisionStore
from hf_synthlabels.review.review_options import ReviewOptions, default_store
from hf_synthlabels.review.review_source import open_review
from hf_synthlabels.review.review_state import ReviewState

SINGLE_OPTIONS = ("human", "llm", "kind", "scale", "tokens", "question", "context", "text")
"""Options that describe one label column."""


def open_decisions(data: str, store: Path | None, options: ReviewOptions) -> ReviewState | CodebookReview:
    """Open the data with their decisions; options stored with the decisions are the defaults.

    Args:
        data: labeled file or folder, recipe file, or name of a packaged recipe.
        store: file of the decisions (default: next to the data).
        options: which rows are annotated, and what is shown with them.

    Raises:
        SynthLabelsError: the data or the decisions cannot be read, or an option is missing.
    """
    path = store or default_store(data)
    earlier: dict[str, Any] = {}
    if path.exists():
        with DecisionStore(path) as existing:
            earlier = existing.facts().get("options", {})
    options = options.or_else(earlier)
    codebook = read_review_codebook(data, options)
    rows = open_review(data, options) if codebook is None else open_codebook(data, codebook, options)
    # Created only now, so that unreadable data leave no file behind.
    decisions = DecisionStore(path)
    state = CodebookReview(rows, decisions) if isinstance(rows, CodebookRows) else ReviewState(rows, decisions)
    decisions.remember({"options": asdict(options), "data": str(data)})
    return state


def read_review_codebook(data: str, options: ReviewOptions) -> Codebook | None:
    """The codebook of a review; None if there is no recipe, or it has one variable.

    Raises:
        ConfigError: an option describes one label column, and the codebook has several.
    """
    path = Path(data)
    is_recipe = path.suffix in (".yaml", ".yml") or (not path.exists() and not path.suffix)
    if options.recipe is None and not is_recipe:
        return None
    read = read_codebook(options.recipe or data)
    if isinstance(read, Recipe):
        return None
    given = asdict(options)
    if wrong := next((name for name in SINGLE_OPTIONS if given[name]), None):
        raise ConfigError(
            f"`--{wrong}` is {given[wrong]!r}, but the recipe has several variables: {', '.join(read.variables)}. "
            "Remove the option, and describe each variable in the recipe."
        )
    return read
