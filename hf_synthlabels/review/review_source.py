"""Opening of the data for a review, by a recipe or by options."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from hf_synthlabels.annotation import Recipe, read_recipe
from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.annotation.recipe.task import INSTRUCTIONS
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.labels import KINDS, Kind, LabelSchema
from hf_synthlabels.publishing.labeled_data import label_options, open_labeled, scale_schema
from hf_synthlabels.review.review_options import ReviewOptions
from hf_synthlabels.review.review_rows import ReviewRows, check_columns, review_rows
from hf_synthlabels.statistics.validation.dataset_columns import column_feature, feature_kind, read_names
from hf_synthlabels.statistics.validation.label_columns import label_column, label_names
from hf_synthlabels.tables import ReadOptions

MAX_NAMES = 200
"""Maximum number of distinct values that are treated as class names."""

SPAN_KINDS = ("token-classification", "question-answering")


def open_review(data: str, options: ReviewOptions | None = None) -> ReviewRows:
    """Open the rows to review.

    Args:
        data: labeled file or folder, recipe file, or name of a packaged recipe.
        options: options that override the recipe or the columns.

    Raises:
        SynthLabelsError: the data cannot be read, or an option is missing.
    """
    options = options or ReviewOptions()
    path = Path(data)
    is_recipe = path.suffix in (".yaml", ".yml") or (not path.exists() and not path.suffix)
    recipe = read_recipe(options.recipe or data) if options.recipe or is_recipe else None
    labeled = open_labeled(data, options.split, _read_options(options, recipe))
    table = labeled.rows
    human, llm = options.human or labeled.human, options.llm or labeled.llm
    if recipe is not None:
        human, llm = options.human or recipe.task.human or "label", options.llm or recipe.output.column
        schema, form = recipe.schema_of_labels(), recipe.task.form()
        instructions = recipe.task.instructions_or_default()
    else:
        check_columns(table, llm)
        schema = _schema(table, llm, human, options)
        form = _form(table, schema.kind, human, llm, options)
        instructions = INSTRUCTIONS[schema.kind]
    return review_rows(
        table,
        schema=schema,
        form=form,
        instructions=instructions,
        human=human,
        llm=llm,
        options=options,
    )


def _read_options(options: ReviewOptions, recipe: Recipe | None) -> ReadOptions:
    """Options for reading a file: texts and labels are read verbatim, except ratings."""
    texts = [*options.text, options.question or "question", options.context or "context", *options.show_columns]
    human, llm, is_number = options.human, options.llm, options.scale is not None or options.kind == "text-scale"
    if recipe is not None:
        texts += recipe.task.columns
        human, llm = human or recipe.task.human, llm or recipe.output.column
        is_number = recipe.task.kind == "text-scale"
    return label_options(
        human, llm, "text", *texts, numbers=is_number, encoding=options.encoding, separator=options.separator
    )


def _schema(table: Any, llm: str, human: str, options: ReviewOptions) -> LabelSchema:
    if options.scale is not None:
        return scale_schema(options.scale)
    kind = options.kind or feature_kind(column_feature(table, llm))
    if kind not in KINDS:
        raise ConfigError(f"`kind` is {kind!r}. Choose one of: {', '.join(KINDS)}.")
    match kind:
        case "text-scale":
            raise ConfigError("`--scale` is required for ratings, e.g. `--scale 1:5`.")
        case "question-answering" | "text-generation":
            return LabelSchema(kind=cast("Kind", kind))
        case "multi-label" | "token-classification":
            columns = [column for column in (llm, human) if column in table.column_names]
            names = label_names([label_column(table, column, kind) for column in columns], kind)
        case _:
            names = _names(table, llm, human)
    return LabelSchema(kind=cast("Kind", kind), names=tuple(names))


def _names(table: Any, llm: str, human: str) -> list[str]:
    """Class names: those of a ClassLabel, or all that occur."""
    read = [read_names(table, column) for column in (llm, human) if column in table.column_names]
    for _, known in read:
        if known:
            return list(known)
    names = sorted({label for labels, _ in read for label in labels if label is not None})
    if len(names) > MAX_NAMES:
        raise ConfigError(
            f"`{llm}` has {len(names):,} distinct values, too many for class names: add `--kind text-generation`, "
            "or give the recipe with `--recipe`."
        )
    if len(names) < 2:
        raise ConfigError(
            f"`{llm}` has {len(names)} distinct labels, but annotators need at least two: give the recipe with "
            "`--recipe`, or add `--kind`."
        )
    return names


def _form(table: Any, kind: str, human: str, llm: str, options: ReviewOptions) -> RowForm:
    columns = table.column_names
    if kind == "question-answering":
        question, context = options.question or "question", options.context or "context"
        check_columns(table, question, context)
        return RowForm((context, question), question=question, context=context)
    if kind == "token-classification" and (options.tokens or ("tokens" in columns and not options.text)):
        tokens = options.tokens or "tokens"
        check_columns(table, tokens)
        return RowForm((tokens,), tokens=tokens)
    text = options.text or _text_columns(table, human, llm)
    if kind in SPAN_KINDS and len(text) != 1:
        raise ConfigError(f"`text` is {', '.join(text)}: spans are marked in a single column. Name it with `--text`.")
    check_columns(table, *text)
    return RowForm(tuple(text), pair=kind == "text-pair")


def _text_columns(table: Any, human: str, llm: str) -> tuple[str, ...]:
    """The text column, if it is unambiguous."""
    if "text" in table.column_names:
        return ("text",)
    texts = [
        name
        for name in table.column_names
        if name not in (human, llm)
        and not name.startswith(f"{llm}_")
        and str(getattr(table.features[name], "dtype", "")) in ("string", "large_string")
    ]
    if len(texts) == 1:
        return (texts[0],)
    raise ConfigError(
        f"`text` is not given, and the columns are {', '.join(table.column_names)}: name the text column with "
        "`--text`, or give the recipe with `--recipe`."
    )
