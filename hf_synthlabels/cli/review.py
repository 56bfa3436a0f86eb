"""`hf-synthlabels review`: the review page, and the exchange of labels with other tools."""

from __future__ import annotations

import json
import webbrowser
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from hf_synthlabels.cli.help import show_next
from hf_synthlabels.cli.options import (
    DataArgument,
    OverwriteOption,
    column_options,
)
from hf_synthlabels.cli.review_options import with_review_options
from hf_synthlabels.errors import ConfigError, import_extra

if TYPE_CHECKING:
    from hf_synthlabels.review import ReviewOptions, ReviewState


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
    from hf_synthlabels.review import AnnotationSession, bind_socket, serve_review

    if per_row is not None and per_row < 1:
        raise ConfigError(f"`--per-row` is {per_row}: give 1 or more.")
    for module in ("starlette", "uvicorn"):
        import_extra(module, "app")
    # Bound before the data are read, so that a port in use is reported at once.
    listening = bind_socket(host, port, tuple(allowed_host or ()))
    with listening.listener:
        state = _open_state(data, store, options)
        rows = state.rows
        count = f"{len(rows.queue):,} rows to label of {len(rows):,} ({rows.schema.kind})"
        print(f"{count}; decisions in {state.store.path}")
        session = AnnotationSession(state, per_row=per_row, blind=blind)
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
    from hf_synthlabels.publishing.sampled_data import write_sampled
    from hf_synthlabels.tables import write_sheet

    if form not in FORMATS:
        raise ConfigError(f"`--as` is {form!r}: give one of {', '.join(FORMATS)}.")
    path = store or review.default_store(data)
    if not path.exists():
        raise ConfigError(
            f"`--store` {str(path)!r} does not exist: label some rows with `hf-synthlabels review` first."
        )
    state = _open_state(data, path, review.ReviewOptions())
    _check_export(state, output, form, data, overwrite=overwrite)
    hidden = state.rows.sampled if blind is None else blind
    match form:
        case "labels":
            exported = review.labeled_table(state, each=per_annotator)
            counts = ", ".join(f"{how} {count:,}" for how, count in exported.how.items())
            print(f"rows with human labels: {counts}; {exported.open:,} sampled rows without a label")
            files = write_sampled(exported.table, output)
        case "sheet":
            files = [write_sheet(review.sheet(state), output)]
        case "decisions":
            files = [_lines(output, review.decisions(state))]
        case "examples":
            files = [_lines(output, review.examples(state))]
        case "argilla":
            files = review.write_argilla(state, output, blind=hidden)
        case _:
            files = review.write_label_studio(state, output, blind=hidden)
    for file in files:
        print(f"written: {file}")
    columns = column_options(state.rows.human, state.rows.llm)
    _show_next(form, data, output, columns)


def _show_next(form: str, data: str, output: Path, columns: list[str]) -> None:
    if form == "labels":
        show_next("review export", *columns, data=output)
    elif form == "sheet":
        show_next("review export --as sheet", *columns, data=data, sheet=output, output=data)
    elif form in ("argilla", "label-studio"):
        show_next(f"review export --as {form}", data=data, answers=output)


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

    if tool not in ("argilla", "label-studio"):
        raise ConfigError(f"`--from` is {tool!r}: give argilla or label-studio.")
    names = dict(pair.split("=", 1) for pair in map_annotator or () if "=" in pair)
    if wrong := [pair for pair in map_annotator or () if "=" not in pair]:
        raise ConfigError(f"`--map-annotator` is {wrong[0]!r}: give the ID in the tool and the name, e.g. '7=ann'.")
    state = _open_state(data, store, options)
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
    from hf_synthlabels.statistics.design.human_rows import PROBABILITY
    from hf_synthlabels.tables import SHEET_SUFFIXES, WRITABLE, NewTable, check_output, check_overwrite

    suffixes = {"labels": WRITABLE, "sheet": SHEET_SUFFIXES, "label-studio": (".json",), "argilla": ()}.get(
        form, (".jsonl",)
    )
    check_output(output, sources=[] if form == "labels" else [data], suffixes=suffixes, folder=form == "argilla")
    if form not in ("labels", "sheet", "argilla") and output.exists() and not overwrite:
        # Decisions stay in their store, but additions to the file by a tool or a person would be lost.
        raise ConfigError(f"`--output` {str(output)!r} exists. Name another file, or add `--overwrite` to replace it.")
    if form == "sheet":
        check_sheet(review.labeled_table(state).table, output, state.rows.human)
    same = output.exists() and Path(data).exists() and output.samefile(data)
    if form == "labels" and not same and not overwrite:
        table = review.labeled_table(state).table
        check_overwrite(output, NewTable([*table.column_names, PROBABILITY], table, state.rows.human))


def _open_state(data: str, store: Path | None, options: ReviewOptions) -> ReviewState:
    """Open the data with their decisions; options stored with the decisions are the defaults."""
    from hf_synthlabels.review import DecisionStore, ReviewState, default_store, open_review

    path = store or default_store(data)
    earlier: dict[str, Any] = {}
    if path.exists():
        with DecisionStore(path) as existing:
            earlier = existing.facts().get("options", {})
    options = options.or_else(earlier)
    rows = open_review(data, options)
    # Created only now, so that unreadable data leave no file behind.
    decisions = DecisionStore(path)
    state = ReviewState(rows, decisions)
    decisions.remember({"options": asdict(options), "data": str(data)})
    return state
