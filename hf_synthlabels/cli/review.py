"""`hf-synthlabels review`: the review page, and the exchange of labels with other tools."""

from __future__ import annotations

import json
import webbrowser
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from hf_synthlabels.cli.help import show_next
from hf_synthlabels.cli.options import DataArgument, OverwriteOption, column_options
from hf_synthlabels.cli.review_options import with_review_options
from hf_synthlabels.errors import ConfigError, import_extra

if TYPE_CHECKING:
    from hf_synthlabels.review import ReviewState
    from hf_synthlabels.review.codebook.codebook_review import CodebookReview
    from hf_synthlabels.review.exchange.export import Exported


class ReviewGroup(TyperGroup):
    """Group in which `review DATA` is short for `review page DATA`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the verb `page` if no verb is given."""
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["page", *args]
        return list(super().parse_args(ctx, args))


app = typer.Typer(
    cls=ReviewGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help=(
        "Label sampled rows, adjudicate disagreements and read the report in the browser.\n\n"
        "Example: hf-synthlabels review sampled.parquet --recipe recipe.yaml"
    ),
)

Store = Annotated[
    Path | None, typer.Option(help="File with the decisions (default: DATA.review.sqlite next to the data).")
]
Blind = Annotated[
    bool | None,
    typer.Option(
        "--blind/--show-llm",
        help="Hide or show LLM labels during annotation (default: hidden for sampled rows).",
        show_default=False,
    ),
]


@app.command()
@with_review_options
def page(
    data: DataArgument,
    options: Any,
    store: Store = None,
    per_row: Annotated[int | None, typer.Option(help="Annotators per row (default: all).")] = None,
    blind: Blind = None,
    port: Annotated[int, typer.Option(help="Port; 0 picks a free one.")] = 7862,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other machines need the key in the printed URL.")
    ] = "127.0.0.1",
    allowed_host: Annotated[list[str] | None, typer.Option(help="Additional host name that browsers use.")] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve the review page (same as `hf-synthlabels review DATA`).

    Example: hf-synthlabels review sampled.parquet --recipe recipe.yaml
    """
    from hf_synthlabels.review import AnnotationSession, ReviewState, bind_socket, serve_review
    from hf_synthlabels.review.codebook.codebook_session import CodebookSession
    from hf_synthlabels.review.codebook.opening import open_decisions

    if per_row is not None and per_row < 1:
        raise ConfigError(f"`--per-row` is {per_row}: give 1 or more.")
    for module in ("starlette", "uvicorn"):
        import_extra(module, "app")
    # Bound before the data are read, so that a port in use is reported at once.
    listening = bind_socket(host, port, tuple(allowed_host or ()))
    with listening.listener:
        state = open_decisions(data, store, options)
        if isinstance(state, ReviewState):
            content: str = state.rows.schema.kind
            session: AnnotationSession | CodebookSession = AnnotationSession(state, per_row=per_row, blind=blind)
        else:
            content = f"{len(state.variables)} variables"
            session = CodebookSession(state, per_row=per_row, blind=blind)
        count = f"{len(state.rows.queue):,} rows to label of {len(state.rows):,} ({content})"
        print(f"{count}; decisions in {state.store.path}")
        serve_review(session, listening, title=Path(data).name, ready=partial(_announce, browser=browser))
        show_next("review", data=data, output=Path(data).with_name("reviewed.parquet"))


def _announce(url: str, *, browser: bool) -> None:
    print(f"open {url}  (stop with Ctrl-C; every decision is on disk at once)", flush=True)
    if browser:
        webbrowser.open(url)


FORMATS = ("labels", "sheet", "decisions", "examples", "argilla", "label-studio")


@app.command()
def export(
    data: DataArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="Output file; for argilla a new folder.")],
    form: Annotated[
        str, typer.Option("--as", help="labels, sheet, decisions, examples, argilla or label-studio.")
    ] = "labels",
    per_annotator: Annotated[
        bool, typer.Option("--per-annotator", help="For labels: add one column per annotator.")
    ] = False,
    blind: Blind = None,
    store: Store = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Export human labels: as label columns with inclusion probabilities, or for other tools.

    `labels` is the whole table, for validate and estimate; `sheet` is for import-labels; `examples` are few-shot
    examples for a recipe.

    Example: hf-synthlabels review export sampled.parquet -o reviewed.parquet
    """
    from hf_synthlabels import review
    from hf_synthlabels.review.codebook.opening import open_decisions

    if form not in FORMATS:
        raise ConfigError(f"`--as` is {form!r}: give one of {', '.join(FORMATS)}.")
    path = store or review.default_store(data)
    if not path.exists():
        raise ConfigError(
            f"`--store` {str(path)!r} does not exist: label some rows with `hf-synthlabels review` first."
        )
    state = open_decisions(data, path, review.ReviewOptions())
    hidden = state.rows.sampled if blind is None else blind
    if isinstance(state, review.ReviewState):
        _check_export(state, output, form, data, overwrite=overwrite)
        files = _export_variable(state, output, form, each=per_annotator, blind=hidden)
        columns = column_options(state.rows.human, state.rows.llm)
    else:
        files, columns = _export_codebook(state, output, form, data, each=per_annotator, overwrite=overwrite), []
    for file in files:
        print(f"written: {file}")
    _show_next(form, data, output, columns)


def _show_next(form: str, data: str, output: Path, columns: list[str]) -> None:
    if form == "labels":
        show_next("review export", *columns, data=output)
    elif form == "sheet":
        show_next("review export --as sheet", *columns, data=data, sheet=output, output=data)
    elif form in ("argilla", "label-studio"):
        show_next(f"review export --as {form}", data=data, answers=output)


def _export_variable(state: ReviewState, output: Path, form: str, *, each: bool, blind: bool) -> list[Path]:
    """Export the human labels of a recipe with one variable."""
    from hf_synthlabels import review
    from hf_synthlabels.publishing.sampled_data import write_sampled
    from hf_synthlabels.tables import write_sheet

    match form:
        case "labels":
            exported = review.labeled_table(state, each=each)
            _print_counts(exported)
            return write_sampled(exported.table, output)
        case "sheet":
            return [write_sheet(review.sheet(state), output)]
        case "decisions":
            return [_lines(output, review.decisions(state))]
        case "examples":
            return [_lines(output, review.examples(state))]
        case "argilla":
            return review.write_argilla(state, output, blind=blind)
        case _:
            return review.write_label_studio(state, output, blind=blind)


def _export_codebook(
    state: CodebookReview, output: Path, form: str, data: str, *, each: bool, overwrite: bool
) -> list[Path]:
    """Export the human labels of all variables of a codebook."""
    from hf_synthlabels.publishing.label_import import check_sheet
    from hf_synthlabels.publishing.sampled_data import write_sampled
    from hf_synthlabels.review.exchange import codebook_export as export
    from hf_synthlabels.tables import write_sheet

    if form in ("argilla", "label-studio"):
        raise ConfigError(f"`--as` is {form!r}, which has one variable: give labels, sheet, decisions or examples.")
    _check_output(output, form, data, overwrite=overwrite)
    humans = [rows.human for rows in state.rows.variables.values()]
    match form:
        case "labels":
            exported = export.codebook_table(state, each=each)
            _check_replaced(output, data, exported.table, humans, overwrite=overwrite)
            _print_counts(exported)
            return write_sampled(exported.table, output)
        case "sheet":
            for human in humans:
                check_sheet(export.codebook_table(state).table, output, human)
            return [write_sheet(export.codebook_sheet(state), output)]
        case "decisions":
            return [_lines(output, export.codebook_decisions(state))]
        case _:
            return [_lines(output, export.codebook_examples(state))]


def _print_counts(exported: Exported) -> None:
    counts = ", ".join(f"{name} {count:,}" for name, count in exported.counts.items())
    print(f"rows with human labels: {counts}; {exported.open:,} sampled rows without a label")


@app.command("import")
@with_review_options
def import_answers(
    data: DataArgument,
    options: Any,
    answers: Annotated[Path, typer.Argument(help="Argilla folder or records.json, or Label Studio JSON file.")],
    tool: Annotated[str, typer.Option("--from", help="argilla or label-studio.")],
    map_annotator: Annotated[
        list[str] | None, typer.Option(help="Map an annotator ID to a name, e.g. '7=ann'; may be repeated.")
    ] = None,
    store: Store = None,
) -> None:
    """Import labels from Argilla or Label Studio; importing twice adds nothing.

    Example: hf-synthlabels review import sampled.parquet tasks.json --from label-studio --map-annotator 7=ann
    """
    from hf_synthlabels import review
    from hf_synthlabels.review.codebook.opening import open_decisions

    if tool not in ("argilla", "label-studio"):
        raise ConfigError(f"`--from` is {tool!r}: give argilla or label-studio.")
    names = dict(pair.split("=", 1) for pair in map_annotator or () if "=" in pair)
    if wrong := [pair for pair in map_annotator or () if "=" not in pair]:
        raise ConfigError(f"`--map-annotator` is {wrong[0]!r}: give the ID in the tool and the name, e.g. '7=ann'.")
    state = open_decisions(data, store, options)
    if not isinstance(state, review.ReviewState):
        raise ConfigError(f"`--from` is {tool!r}, which has one variable: give a recipe with one variable.")
    read = review.read_argilla if tool == "argilla" else review.read_label_studio
    imported = review.import_answers(state, read(state.rows, answers, names), tool)
    annotators = ", ".join(imported.annotators) or "no annotator"
    print(f"{imported.labels:,} labels and {imported.skips:,} skips added from {annotators}; {imported.known:,} known")
    show_next("review", data=data, output=Path(data).with_name("reviewed.parquet"))


def _lines(path: Path, content: list[dict[str, Any]]) -> Path:
    from hf_synthlabels.tables import write_text

    return write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in content))


def _check_export(state: ReviewState, output: Path, form: str, data: str, *, overwrite: bool) -> None:
    """Refuse an output in another format, and one that would lose existing labels or columns."""
    from hf_synthlabels import review
    from hf_synthlabels.publishing.label_import import check_sheet

    _check_output(output, form, data, overwrite=overwrite)
    if form == "sheet":
        check_sheet(review.labeled_table(state).table, output, state.rows.human)
    if form == "labels":
        _check_replaced(output, data, review.labeled_table(state).table, [state.rows.human], overwrite=overwrite)


def _check_output(output: Path, form: str, data: str, *, overwrite: bool) -> None:
    """Refuse an output in another format, and an existing file that may have additions."""
    from hf_synthlabels.tables import SHEET_SUFFIXES, WRITABLE, check_output

    suffixes = {"labels": WRITABLE, "sheet": SHEET_SUFFIXES, "label-studio": (".json",), "argilla": ()}.get(
        form, (".jsonl",)
    )
    check_output(output, sources=[] if form == "labels" else [data], suffixes=suffixes, folder=form == "argilla")
    if form not in ("labels", "sheet", "argilla") and output.exists() and not overwrite:
        # Decisions stay in their store, but additions to the file by a tool or a person would be lost.
        raise ConfigError(f"`--output` {str(output)!r} exists. Name another file, or add `--overwrite` to replace it.")


def _check_replaced(output: Path, data: str, table: Any, humans: list[str], *, overwrite: bool) -> None:
    """Refuse to replace a table whose labels or columns would be lost."""
    from hf_synthlabels.statistics.design.human_rows import PROBABILITY
    from hf_synthlabels.tables import NewTable, check_overwrite

    same = output.exists() and Path(data).exists() and output.samefile(data)
    if not same and not overwrite:
        for human in humans:
            check_overwrite(output, NewTable([*table.column_names, PROBABILITY], table, human))
