"""The command line of people's labels: `hf-synthlabels review ...`."""

from __future__ import annotations

import webbrowser
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hf_synthlabels.errors import ConfigError

__all__ = ["app"]


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
    per_row: Annotated[int | None, typer.Option(help="How many people label each row; all, unless given.")] = None,
    blind: Annotated[bool, typer.Option("--blind", help="Never show the LLM's label on the label page.")] = False,
    port: Annotated[int, typer.Option(help="0 takes any that is free.")] = 7862,
    host: Annotated[str, typer.Option(help="Address to listen at; others than this machine need a key.")] = "127.0.0.1",
    name: Annotated[list[str] | None, typer.Option(help="A further name of this machine that browsers use.")] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Open the review page; this is what `hf-synthlabels review DATA` does.

    Example: hf-synthlabels review sampled.parquet --recipe recipe.yaml
    """
    from hf_synthlabels.publishing.review import Desk, ReviewOptions, open_door, serve_review

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
    )
    # Before the data are read: a port in use is told at once.
    door = open_door(host, port, tuple(name or ()))
    board = _board(data, store, options)
    rows = board.rows
    print(f"{len(rows.queue):,} rows to label of {len(rows):,} ({rows.schema.kind}); decisions in {board.store.path}")

    def ready(url: str) -> None:
        print(f"open {url}  (stop with Ctrl-C; every decision is on disk at once)", flush=True)
        if browser:
            webbrowser.open(url)

    serve_review(Desk(board, per_row=per_row, blind=blind), door, title=Path(data).name, ready=ready)


def _board(data: str, store: Path | None, options: Any) -> Any:
    """The data with the decisions on them; what was said of the data when the store was made need not be said again."""
    from hf_synthlabels.publishing.review import Board, DecisionStore, default_store, open_review

    path = store or default_store(data)
    earlier: dict[str, Any] = {}
    if path.exists():
        with DecisionStore(path) as there:
            earlier = there.facts().get("options", {})
    said = options.or_else(earlier)
    rows = open_review(data, said)
    # Only now, so that data which can not be read leave no file behind.
    kept = DecisionStore(path)
    board = Board(rows, kept)
    kept.remember({"options": asdict(said), "data": str(data)})
    return board
