"""The command line of people's labels: `hf-synthlabels review ...`."""

from __future__ import annotations

import json
import shlex
import webbrowser
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hf_synthlabels.cli.sample import EncodingOption, OverwriteOption, SeparatorOption, column_options
from hf_synthlabels.errors import ConfigError


class ReviewGroup(TyperGroup):
    """`review DATA` is `review page DATA`: people type what they do most without a verb."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the verb in where there is none."""
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["page", *args]
        return list(super().parse_args(ctx, args))


app = typer.Typer(
    cls=ReviewGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help=(
        "Label the rows that were drawn, decide where labels differ, read the report, in a page of your browser.\n\n"
        "Example: hf-synthlabels review sampled.parquet --recipe recipe.yaml"
    ),
)

Data = Annotated[str, typer.Argument(help="A labelled file or folder, a recipe file, or a packaged recipe's name.")]
Store = Annotated[
    Path | None, typer.Option(help="The file of the decisions; by default DATA.review.sqlite beside the data.")
]
Recipe = Annotated[
    str | None, typer.Option(help="Says labels, guideline and columns, where DATA is a file that it made.")
]
Split = Annotated[str | None, typer.Option(help="The split, where there are several.")]
Text = Annotated[list[str] | None, typer.Option(help="Column to read; may be repeated, for pairs twice.")]
Human = Annotated[str | None, typer.Option(help="Column of human labels; the recipe's, or `label`.")]
Llm = Annotated[str | None, typer.Option(help="Column of LLM labels; the recipe's, or `llm_label`.")]
Kind = Annotated[str | None, typer.Option(help="Kind of label where its column does not tell.")]
Scale = Annotated[str | None, typer.Option(help="Of a text-scale: '1:5', '0:1:0.1', '0:100:any'.")]
Tokens = Annotated[str | None, typer.Option(help="Column of token lists, for entities.")]
Question = Annotated[str | None, typer.Option(help="Column of questions, for question-answering.")]
Context = Annotated[str | None, typer.Option(help="Column of passages, for question-answering.")]
Beside = Annotated[list[str] | None, typer.Option("--beside", help="A further column to show; may be repeated.")]
All = Annotated[bool, typer.Option("--all", help="Label every row, drawn by a sampler or not.")]
Again = Annotated[bool, typer.Option("--again", help="Label rows once more that have a human label already.")]
Seed = Annotated[int, typer.Option(help="Of the order of the rows.")]
Blind = Annotated[
    bool | None,
    typer.Option(
        "--blind/--show-llm",
        help="Hide or show the LLM's labels while humans label; hidden by default where a sampler drew the rows.",
        show_default=False,
    ),
]


@app.command()
def page(
    data: Data,
    store: Store = None,
    recipe: Recipe = None,
    split: Split = None,
    text: Text = None,
    human: Human = None,
    llm: Llm = None,
    kind: Kind = None,
    scale: Scale = None,
    tokens: Tokens = None,
    question: Question = None,
    context: Context = None,
    beside: Beside = None,
    everything: All = False,
    again: Again = False,
    seed: Seed = 0,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
    per_row: Annotated[int | None, typer.Option(help="How many people label each row; all, unless given.")] = None,
    blind: Blind = None,
    port: Annotated[int, typer.Option(help="0 takes any that is free.")] = 7862,
    host: Annotated[str, typer.Option(help="Address to listen at; others than this machine need a key.")] = "127.0.0.1",
    name: Annotated[list[str] | None, typer.Option(help="A further name of this machine that browsers use.")] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Open the review page; this is what `hf-synthlabels review DATA` does.

    Example: hf-synthlabels review sampled.parquet --recipe recipe.yaml
    """
    from hf_synthlabels.review import AnnotationSession, ReviewOptions, bind_socket, serve_review

    if per_row is not None and per_row < 1:
        raise ConfigError(f"`--per-row` is {per_row}: give 1 or more.")
    options = ReviewOptions(
        recipe=recipe,
        split=split,
        text=tuple(text or ()),
        human=human,
        llm=llm,
        kind=kind,
        scale=scale,
        tokens=tokens,
        question=question,
        context=context,
        beside=tuple(beside or ()),
        everything=everything,
        again=again,
        seed=seed,
        encoding=encoding,
        separator=separator,
    )
    # Before the data are read: a port in use is told at once.
    door = bind_socket(host, port, tuple(name or ()))
    with door.listener:
        board = _board(data, store, options)
        rows = board.rows
        count = f"{len(rows.queue):,} rows to label of {len(rows):,} ({rows.schema.kind})"
        print(f"{count}; decisions in {board.store.path}")
        session = AnnotationSession(board, per_row=per_row, blind=blind)
        serve_review(session, door, title=Path(data).name, ready=partial(_announce, browser=browser))


def _announce(url: str, *, browser: bool) -> None:
    print(f"open {url}  (stop with Ctrl-C; every decision is on disk at once)", flush=True)
    if browser:
        webbrowser.open(url)


FORMATS = ("labels", "sheet", "decisions", "examples", "argilla", "label-studio")


@app.command()
def export(
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="The file; for argilla a new folder.")],
    form: Annotated[
        str, typer.Option("--as", help="labels, sheet, decisions, examples, argilla or label-studio.")
    ] = "labels",
    each: Annotated[bool, typer.Option("--each", help="Of labels: a column for each annotator, too.")] = False,
    blind: Blind = None,
    store: Store = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write what people decided: as label columns with the chances of the sample, or for other tools.

    `labels` is the whole table, for validate and estimate; `sheet` is for merge; `examples` are few-shot examples of a
    recipe.

    Example: hf-synthlabels review export sampled.parquet -o reviewed.parquet
    """
    from hf_synthlabels import review
    from hf_synthlabels.publishing.sampled_data import write_sampled
    from hf_synthlabels.tables import write_sheet

    if form not in FORMATS:
        raise ConfigError(f"`--as` is {form!r}: give one of {', '.join(FORMATS)}.")
    path = store or review.default_store(data)
    if not path.exists():
        raise ConfigError(f"`--store` {str(path)!r} is not there: label some rows with `hf-synthlabels review` first.")
    board = _board(data, path, review.ReviewOptions())
    _check_export(board, output, form, data, overwrite=overwrite)
    hidden = board.rows.sampled if blind is None else blind
    match form:
        case "labels":
            made = review.labelled_table(board, each=each)
            counts = ", ".join(f"{how} {count:,}" for how, count in made.how.items())
            print(f"rows with labels by people: {counts}; {made.open:,} drawn rows have none")
            files = write_sampled(made.table, output)
        case "sheet":
            files = [write_sheet(review.sheet(board), output)]
        case "decisions":
            files = [_lines(output, review.decisions(board))]
        case "examples":
            files = [_lines(output, review.examples(board))]
        case "argilla":
            files = review.write_argilla(board, output, blind=hidden)
        case _:
            files = review.write_label_studio(board, output, blind=hidden)
    for file in files:
        print(f"written: {file}")
    if form == "labels":
        human, llm = board.rows.human, board.rows.llm
        print(f"Next: hf-synthlabels validate {shlex.quote(str(output))}{column_options(human, llm)}")


@app.command("import")
def bring_in(
    data: Data,
    answers: Annotated[Path, typer.Argument(help="Argilla's folder or records.json, or Label Studio's JSON file.")],
    tool: Annotated[str, typer.Option("--from", help="argilla or label-studio.")],
    who: Annotated[
        list[str] | None, typer.Option(help="A name for somebody whom the tool knows by number: '7=ann'.")
    ] = None,
    store: Store = None,
    recipe: Recipe = None,
    split: Split = None,
    text: Text = None,
    human: Human = None,
    llm: Llm = None,
    kind: Kind = None,
    scale: Scale = None,
    tokens: Tokens = None,
    question: Question = None,
    context: Context = None,
    everything: All = False,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
) -> None:
    """Take in what people labelled in Argilla or Label Studio; what comes twice is stored once.

    Example: hf-synthlabels review import sampled.parquet tasks.json --from label-studio --who 7=ann
    """
    from hf_synthlabels import review

    if tool not in ("argilla", "label-studio"):
        raise ConfigError(f"`--from` is {tool!r}: give argilla or label-studio.")
    names = dict(pair.split("=", 1) for pair in who or () if "=" in pair)
    if wrong := [pair for pair in who or () if "=" not in pair]:
        raise ConfigError(f"`--who` is {wrong[0]!r}: give what the tool says and the name, as '7=ann'.")
    options = review.ReviewOptions(
        recipe=recipe,
        split=split,
        text=tuple(text or ()),
        human=human,
        llm=llm,
        kind=kind,
        scale=scale,
        tokens=tokens,
        question=question,
        context=context,
        everything=everything,
        encoding=encoding,
        separator=separator,
    )
    board = _board(data, store, options)
    read = review.read_argilla if tool == "argilla" else review.read_label_studio
    done = review.import_answers(board, read(board.rows, answers, names), tool)
    people = ", ".join(done.annotators) or "nobody"
    print(f"{done.labels:,} labels and {done.skips:,} skips added, of {people}; {done.known:,} were there already")


def _lines(path: Path, content: list[dict[str, Any]]) -> Path:
    from hf_synthlabels.tables import write_text

    return write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in content))


def _check_export(board: Any, output: Path, form: str, data: str, *, overwrite: bool) -> None:
    """Refuse an output of another format, and one that would lose labels or columns that are there."""
    from hf_synthlabels import review
    from hf_synthlabels.publishing import check_sheet
    from hf_synthlabels.statistics import PROBABILITY
    from hf_synthlabels.tables import SHEET_SUFFIXES, WRITABLE, NewTable, check_output, check_overwrite

    suffixes = {"labels": WRITABLE, "sheet": SHEET_SUFFIXES, "label-studio": (".json",), "argilla": ()}.get(
        form, (".jsonl",)
    )
    check_output(output, sources=[] if form == "labels" else [data], suffixes=suffixes, folder=form == "argilla")
    if form not in ("labels", "sheet", "argilla") and output.exists() and not overwrite:
        # The decisions stay in their store, but what a tool or a person has added to the file would be lost.
        raise ConfigError(f"`--output` {str(output)!r} exists. Name another file, or add `--overwrite` to replace it.")
    if form == "sheet":
        check_sheet(review.labelled_table(board).table, output, board.rows.human)
    same = output.exists() and Path(data).exists() and output.samefile(data)
    if form == "labels" and not same and not overwrite:
        table = review.labelled_table(board).table
        check_overwrite(output, NewTable([*table.column_names, PROBABILITY], table, board.rows.human))


def _board(data: str, store: Path | None, options: Any) -> Any:
    """The data with the decisions on them; what was said of the data when the store was made need not be said again."""
    from hf_synthlabels.review import DecisionStore, ReviewState, default_store, open_review

    path = store or default_store(data)
    earlier: dict[str, Any] = {}
    if path.exists():
        with DecisionStore(path) as there:
            earlier = there.facts().get("options", {})
    said = options.or_else(earlier)
    rows = open_review(data, said)
    # Only now, so that data which can not be read leave no file behind.
    kept = DecisionStore(path)
    board = ReviewState(rows, kept)
    kept.remember({"options": asdict(said), "data": str(data)})
    return board
