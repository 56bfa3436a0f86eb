"""Options and helpers that several verbs share."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.resources import packaged_file

if TYPE_CHECKING:
    from hf_synthlabels.statistics.confidence.confidence_columns import ConfidenceCheck


def existing(name: str, packaged: str | None = None) -> Callable[[Any], Any]:
    """Callback of an argument that names an input: a missing file is reported before any library is loaded.

    Args:
        name: name of the argument in the error.
        packaged: folder of packaged files, where a name without a suffix is looked up.
    """

    def check(value: Any) -> Any:
        path = str(value)
        if value is None or "://" in path or Path(path).exists():
            return value
        if packaged is not None and not Path(path).suffix:
            packaged_file(packaged.removesuffix("s"), packaged, path, ".yaml")
            return value
        if name == "student" and path.count("/") == 1 and not path.startswith(("/", ".", "~")):
            # A repository on the Hub.
            return value
        raise ConfigError(f"`{name}` {path!r} does not exist. Check the path.")

    return check


DataArgument = Annotated[
    str,
    typer.Argument(
        help="Labeled file or folder, recipe file, or name of a packaged recipe.", callback=existing("data", "recipes")
    ),
]
RecipeArgument = Annotated[
    str, typer.Argument(help="Recipe file, or name of a packaged recipe.", callback=existing("recipe", "recipes"))
]
HumanOption = Annotated[str | None, typer.Option(help="Column with human labels (default: the recipe's, or `label`).")]
LLMOption = Annotated[str | None, typer.Option(help="Column with LLM labels (default: the recipe's, or `llm_label`).")]
VariableOption = Annotated[
    str | None, typer.Option(help="Variable of a codebook; sets the label columns, task type and label names.")
]
SplitOption = Annotated[str | None, typer.Option(help="Split to read, if the data have several.")]
KindOption = Annotated[
    str | None, typer.Option(help="Task type, if the column does not determine it, e.g. text-generation.")
]
ScaleOption = Annotated[str | None, typer.Option(help="Scale of a text-scale task: '1:5', '0:1:0.1' or '0:100:any'.")]
TokensOption = Annotated[str | None, typer.Option(help="Column with token lists, if human entities are tags.")]
GateOption = Annotated[
    str | None, typer.Option(help="Required score, e.g. 'macro_f1>=0.7'; for an error, e.g. 'mae<=0.5'.")
]
GatesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--gate",
        help="Required score, e.g. 'macro_f1>=0.7'; for an error, e.g. 'mae<=0.5'; for a variable of a codebook, e.g. "
        "'bias: macro_f1>=0.7'. May be repeated; several gates get Holm-adjusted verdicts.",
    ),
]
SequentialOption = Annotated[
    bool, typer.Option("--sequential", help="Intervals and gates that hold however often you look.")
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
VotesOption = Annotated[
    str | None,
    typer.Option(
        help="Column with several human labels per row, or one column for each rater, e.g. 'label_ann,label_bob' "
        "(default: <human>_votes)."
    ),
]
ConfidenceOption = Annotated[
    str | None,
    typer.Option(help="Column of the confidence to check (default: `<llm>_confidence`, else `<llm>_probs`)."),
]
RecalibrateOption = Annotated[
    str | None,
    typer.Option(help="Correct the confidence by the human labels, tested by cross-fitting: isotonic or temperature."),
]
NormalizeOption = Annotated[
    bool, typer.Option("--normalize-labels", help="Merge labels that differ only in case or white space.")
]
StudentArgument = Annotated[
    str,
    typer.Argument(help="Folder of a saved student, or its repository on the Hub.", callback=existing("student")),
]
ResultsArgument = Annotated[
    Path,
    typer.Argument(help="JSON of a report: runs.json of a study, page.json, ...", callback=existing("results")),
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


def column_options(human: str, llm: str, split: str | None = None) -> list[str]:
    """Options that name the label columns and the split in the next command; empty for the default names."""
    options = (("--human", human, "label"), ("--llm", llm, "llm_label"), ("--split", split, None))
    return [word for option, value, default in options if value and value != default for word in (option, value)]


def confidence_check(column: str | None, recalibrate: Any, n_reports: int) -> ConfidenceCheck | None:
    """What to do with the confidence, None by default; refused for several variables or gates."""
    from hf_synthlabels.statistics.confidence.confidence_columns import ConfidenceCheck

    for name, value in {"confidence": column, "recalibrate": recalibrate}.items():
        if value is not None and n_reports > 1:
            raise ConfigError(
                f"`{name}` is {value!r}, for one variable: add `--variable`, and give at most one `--gate`."
            )
    return ConfidenceCheck(column, recalibrate) if column or recalibrate else None
