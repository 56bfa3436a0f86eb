"""Opening: the data set, the recipe or the options that say what a review is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

from hf_synthlabels.annotation import read_recipe
from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.annotation.recipe.task import INSTRUCTIONS
from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import KINDS, Kind, LabelSchema
from hf_synthlabels.publishing.labeled_data import label_options, open_labeled, scale_schema
from hf_synthlabels.review.review_rows import ReviewRows, review_rows
from hf_synthlabels.statistics.validation.dataset_columns import column_feature, feature_kind, read_names
from hf_synthlabels.statistics.validation.label_columns import label_column, label_names
from hf_synthlabels.tables import ReadOptions

MAX_NAMES = 200
"""Different texts in a column beyond which they are hardly names of classes."""

SPAN_KINDS = ("token-classification", "question-answering")


@dataclass(frozen=True, slots=True)
class ReviewOptions:
    """Options of a review; None means taken from the recipe or the columns."""

    recipe: str | None = None
    split: str | None = None
    text: tuple[str, ...] = ()
    human: str | None = None
    llm: str | None = None
    kind: str | None = None
    scale: str | None = None
    tokens: str | None = None
    question: str | None = None
    context: str | None = None
    show_columns: tuple[str, ...] = ()
    all_rows: bool = False
    relabel: bool = False
    seed: int = 0
    encoding: str | None = None
    separator: str | None = None

    def or_else(self, earlier: Mapping[str, Any]) -> ReviewOptions:
        """These options, and for those that are not given what was said earlier."""
        unsaid = asdict(ReviewOptions())
        known = {each.name for each in fields(self)}
        said = {name: value for name, value in asdict(self).items() if value != unsaid[name]}
        kept = {name: tuple(value) if isinstance(value, list) else value for name, value in earlier.items()}
        return ReviewOptions(**{**{name: value for name, value in kept.items() if name in known}, **said})


def default_store(data: str) -> Path:
    """File of the decisions: next to the data, or in the current folder for a packaged recipe."""
    path = Path(data)
    return path.with_name(f"{path.name}.review.sqlite")


def open_review(data: str, options: ReviewOptions | None = None) -> ReviewRows:
    """Open what is to be reviewed.

    Args:
        data: a labeled file or folder, a recipe file, or a packaged recipe's name.
        options: what the data do not tell.

    Raises:
        SynthLabelsError: it cannot be read, or is not clear enough; the message says what to add.
    """
    said = options or ReviewOptions()
    path = Path(data)
    of_recipe = path.suffix in (".yaml", ".yml") or (not path.exists() and not path.suffix)
    recipe = said.recipe or (data if of_recipe else None)
    labeled = open_labeled(data, said.split, _read_options(said, recipe))
    human, llm = said.human or labeled.human, said.llm or labeled.llm
    table = labeled.rows
    instructions = ""
    if recipe is not None:
        read = read_recipe(recipe)
        schema, form = read.schema_of_labels(), read.task.form()
        human, llm = said.human or read.task.human or "label", said.llm or read.output.column
        instructions = read.task.instructions_or_default()
        _check_column(table, llm, "llm")
    else:
        _check_column(table, llm, "llm")
        schema = _schema(table, llm, human, said)
        form = _form(table, schema.kind, human, llm, said)
        instructions = INSTRUCTIONS[schema.kind]
    return review_rows(
        table,
        schema=schema,
        form=form,
        instructions=instructions,
        human=human,
        llm=llm,
        show_columns=said.show_columns,
        all_rows=said.all_rows,
        relabel=said.relabel,
        seed=said.seed,
    )


def _read_options(said: ReviewOptions, recipe: str | None) -> ReadOptions:
    """How a file is read: texts and labels stay as they are written, unless the labels are of a scale."""
    texts = (*said.text, said.question or "question", said.context or "context", *said.show_columns)
    given = {"encoding": said.encoding, "separator": said.separator}
    if recipe is None:
        numbers = said.scale is not None or said.kind == "text-scale"
        return label_options(said.human, said.llm, "text", *texts, numbers=numbers, **given)
    read = read_recipe(recipe)
    human, llm = said.human or read.task.human, said.llm or read.output.column
    return label_options(human, llm, *read.task.columns, *texts, numbers=read.task.kind == "text-scale", **given)


def _check_column(table: Any, column: str, option: str) -> None:
    if len(table) == 0:
        raise DataError("`data` has no rows: there is nothing to label.")
    if column not in table.column_names:
        raise DataError(
            f"`{column}` is not a column. There is {', '.join(table.column_names)}; name the one to read with "
            f"`--{option}`."
        )


def _schema(table: Any, llm: str, human: str, said: ReviewOptions) -> LabelSchema:
    if said.scale is not None:
        return scale_schema(said.scale)
    kind = said.kind or feature_kind(column_feature(table, llm))
    if kind not in KINDS:
        raise ConfigError(f"`kind` is {kind!r}. Choose one of: {', '.join(KINDS)}.")
    match kind:
        case "text-scale":
            raise ConfigError("`scale` is not given, and labels of kind 'text-scale' have one: say `--scale 1:5`.")
        case "question-answering" | "text-generation":
            return LabelSchema(kind=cast("Kind", kind))
        case "multi-label" | "token-classification":
            columns = [column for column in (llm, human) if column in table.column_names]
            names = label_names([label_column(table, column, kind) for column in columns], kind)
        case _:
            names = _names(table, llm, human)
    return LabelSchema(kind=cast("Kind", kind), names=tuple(names))


def _names(table: Any, llm: str, human: str) -> list[str]:
    """The names of classes: those of a ClassLabel, or all that occur."""
    read = [read_names(table, column) for column in (llm, human) if column in table.column_names]
    for _, known in read:
        if known:
            return list(known)
    found = sorted({label for labels, _ in read for label in labels if label is not None})
    if len(found) > MAX_NAMES:
        raise ConfigError(
            f"`{llm}` has {len(found):,} different texts, hardly names of classes: say `--kind text-generation`, "
            "or give the recipe with `--recipe`."
        )
    if len(found) < 2:
        raise ConfigError(
            f"`{llm}` has {len(found)} different labels, and people need two to choose from: give the recipe with "
            "`--recipe`, or say `--kind`."
        )
    return found


def _form(table: Any, kind: str, human: str, llm: str, said: ReviewOptions) -> RowForm:
    columns = table.column_names
    if kind == "question-answering":
        question, context = said.question or "question", said.context or "context"
        for option, column in (("question", question), ("context", context)):
            _check_column(table, column, option)
        return RowForm((context, question), question=question, context=context)
    if kind == "token-classification" and (said.tokens or ("tokens" in columns and not said.text)):
        tokens = said.tokens or "tokens"
        _check_column(table, tokens, "tokens")
        return RowForm((tokens,), tokens=tokens)
    text = said.text or _text_columns(table, human, llm)
    if kind in SPAN_KINDS and len(text) != 1:
        raise ConfigError(f"`text` is {', '.join(text)}: spans are marked in one column. Name it with `--text`.")
    for column in text:
        _check_column(table, column, "text")
    return RowForm(tuple(text), pair=kind == "text-pair")


def _text_columns(table: Any, human: str, llm: str) -> tuple[str, ...]:
    """The column of the texts where there is no doubt."""
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
        f"`text` is not given, and the columns are {', '.join(table.column_names)}: name what is to be read with "
        "`--text`, or give the recipe with `--recipe`."
    )
