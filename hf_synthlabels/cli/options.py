"""Options and helpers that several verbs share."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

DataArgument = Annotated[str, typer.Argument(help="Labeled file or folder, recipe file, or name of a packaged recipe.")]
RecipeArgument = Annotated[str, typer.Argument(help="Recipe file, or name of a packaged recipe.")]
HumanOption = Annotated[str | None, typer.Option(help="Column with human labels (default: the recipe's, or `label`).")]
LLMOption = Annotated[str | None, typer.Option(help="Column with LLM labels (default: the recipe's, or `llm_label`).")]
SplitOption = Annotated[str | None, typer.Option(help="Split to read, if the data have several.")]
KindOption = Annotated[
    str | None, typer.Option(help="Task type, if the column does not determine it, e.g. text-generation.")
]
ScaleOption = Annotated[str | None, typer.Option(help="Scale of a text-scale task: '1:5', '0:1:0.1' or '0:100:any'.")]
TokensOption = Annotated[str | None, typer.Option(help="Column with token lists, if human entities are tags.")]
GateOption = Annotated[
    str | None, typer.Option(help="Required score, e.g. 'macro_f1>=0.7'; for an error, e.g. 'mae<=0.5'.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OutputOption = Annotated[Path | None, typer.Option("-o", "--output", help="JSON file for the result.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output, whatever it holds.")]
EncodingOption = Annotated[
    str | None, typer.Option("--encoding", help="Encoding of a CSV or JSON file, e.g. cp1252 (default: detected).")
]
SeparatorOption = Annotated[
    str | None, typer.Option("--separator", help="Separator of a CSV file, e.g. ';' (default: detected).")
]
NormalizeOption = Annotated[
    bool, typer.Option("--normalize-labels", help="Merge labels that differ only in case or white space.")
]


def _confirm(context: typer.Context, trusted: bool) -> bool:
    if trusted:
        from hf_synthlabels.annotation.trust.confirmation import confirmed

        context.with_resource(confirmed())
    return trusted


TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust-recipe",
        callback=_confirm,
        help="Allow this recipe to use its keys, files and servers, and remember the decision. See docs/recipes.md.",
    ),
]


def terminal_width() -> int | None:
    """Width of the terminal in characters; None if the output goes to a file or a program."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def column_options(human: str, llm: str) -> str:
    """Options that name the label columns in the next command; empty for the default names."""
    columns = (("--human", human, "label"), ("--llm", llm, "llm_label"))
    return "".join(f" {option} {shlex.quote(column)}" for option, column, default in columns if column != default)
