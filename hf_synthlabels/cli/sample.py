"""`hf-synthlabels sample` and `import-labels`: draw rows for human annotation and import the labels."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from hf_synthlabels.cli.help import show_next
from hf_synthlabels.cli.options import (
    DataArgument,
    EncodingOption,
    HumanOption,
    LLMOption,
    NormalizeOption,
    OverwriteOption,
    SeparatorOption,
    SplitOption,
    VariableOption,
    column_options,
    existing,
)
from hf_synthlabels.errors import ConfigError

if TYPE_CHECKING:
    from hf_synthlabels.publishing import LabeledData
    from hf_synthlabels.publishing.label_import import ImportedLabels
    from hf_synthlabels.statistics import HumanSample
    from hf_synthlabels.statistics.design.human_sample import Allocation, Design
    from hf_synthlabels.statistics.validation.table_variables import TableVariable


def sample(
    data: DataArgument,
    rows: Annotated[int, typer.Option("-n", "--rows", help="Number of rows to sample for human annotation.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="All rows with inclusion probabilities: .parquet, .jsonl or .csv.")
    ] = Path("sampled.parquet"),
    sheet: Annotated[
        Path, typer.Option("--to-label", help="Annotation sheet with the sampled rows: .csv or .xlsx.")
    ] = Path("to_label.csv"),
    overwrite: OverwriteOption = False,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
    design: Annotated[str, typer.Option(help="random, stratified (by LLM label) or confidence.")] = "random",
    allocation: Annotated[
        str, typer.Option(help="Allocation of a stratified sample: proportional or equal.")
    ] = "proportional",
    confidence: Annotated[
        str | None, typer.Option(help="Column with the LLM's confidence (default: `<llm>_confidence`).")
    ] = None,
    existing_labels: Annotated[
        str | None,
        typer.Option(help="How existing human labels were sampled: random, stratified (by LLM label), or ignore them."),
    ] = None,
    stratify: Annotated[
        str | None,
        typer.Option(help="Columns whose combinations are the strata, e.g. topic,tone (default: the LLM label)."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed for sampling.")] = 0,
    tune: Annotated[
        int | None,
        typer.Option(help="Of the sampled rows, N to choose a prompt or model on; estimates do not count them."),
    ] = None,
    normalize_labels: NormalizeOption = False,
    variable: VariableOption = None,
    human: HumanOption = None,
    llm: LLMOption = None,
    split: SplitOption = None,
) -> None:
    """Sample rows for human annotation, with known inclusion probabilities in the column `inclusion_probability`.

    Annotators fill in the sheet, which hides the LLM labels; `import-labels` reads their labels back. Sampling from a
    file that was sampled before adds rows to its sample. All variables of a codebook share one sample and one sheet.

    Example: hf-synthlabels sample labeled.jsonl -n 250 --design stratified -o sampled.parquet --to-label sheet.csv

    Example: hf-synthlabels sample coded.parquet -n 250 --stratify topic,tone
    """
    from hf_synthlabels.publishing import annotation_sheet, open_labeled, sample_rows, write_sampled
    from hf_synthlabels.publishing.holdout_rows import with_tuned_rows
    from hf_synthlabels.publishing.label_import import check_sheet
    from hf_synthlabels.publishing.labeled_data import label_options
    from hf_synthlabels.publishing.sampled_data import EXISTING_LABELS
    from hf_synthlabels.tables import SHEET_SUFFIXES, WRITABLE, check_output, write_sheet

    if existing_labels not in (None, *EXISTING_LABELS):
        raise ConfigError(f"`--existing-labels` is {existing_labels!r}: give one of {', '.join(EXISTING_LABELS)}.")
    check_output(output, suffixes=WRITABLE, folder=False)
    check_output(sheet, sources=[data, output], suffixes=SHEET_SUFFIXES, folder=False)
    labeled = open_labeled(data, split, label_options(human, llm, encoding=encoding, separator=separator))
    asked = _asked(labeled, variable, human, llm)
    human, llm = (asked[0].human, asked[0].llm) if len(asked) == 1 else ("label", "llm_label")
    for each in asked:
        check_sheet(labeled.rows, sheet, each.human)
        _check_sampled(labeled.rows, output, data, each.human, overwrite=overwrite)
    strata, design = _strata(stratify, design)
    table, drawn = sample_rows(
        labeled.rows,
        rows,
        human=human,
        llm=llm,
        design=cast("Design", design),
        confidence=confidence,
        allocation=cast("Allocation", allocation),
        existing_labels=existing_labels,
        seed=seed,
        normalize_labels=normalize_labels,
        variables=labeled.variables,
        stratify=strata,
    )
    table = with_tuned_rows(table, tune, seed)
    _print_sample(drawn, design, seed, tune)
    _print_spelling(labeled.rows, [] if normalize_labels else asked)
    lines = annotation_sheet(table, drawn, human=human, llm=llm, variables=labeled.variables)
    for file in [*write_sampled(table, output), write_sheet(lines, sheet)]:
        print(f"written: {file}")
    columns = _next_options(variable, asked)
    _print_command(asked, sheet, ["import-labels", str(output), str(sheet), "-o", str(output), *columns])
    show_next("sample", *columns, data=output)


def _print_command(asked: Sequence[TableVariable], sheet: Path, command: list[str]) -> None:
    """Say which columns to fill in, and what to run then."""
    filled = ", ".join(f"`{each.human}`" for each in asked)
    print(f"Label in the browser, or fill in {filled} in {sheet} and run: hf-synthlabels {shlex.join(command)}")


def _asked(labeled: LabeledData, variable: str | None, human: str | None, llm: str | None) -> list[TableVariable]:
    """The variables that annotators label: all of a codebook, or one."""
    if variable is None and human is None and llm is None and len(labeled.variables) > 1:
        return list(labeled.variables.values())
    chosen = labeled.of_variable(variable, llm)
    return [replace(chosen.as_variable(), human=human or chosen.human, llm=llm or chosen.llm)]


def _strata(stratify: str | None, design: str) -> tuple[list[str], str]:
    """The columns of the strata, and the design, which they make stratified."""
    columns = [name.strip() for name in stratify.split(",")] if stratify else []
    if columns and design not in ("random", "stratified"):
        raise ConfigError(f"`design` is {design!r}, but `--stratify` makes it stratified: leave one of them out.")
    return columns, "stratified" if columns else design


def _print_spelling(rows: Any, asked: Sequence[TableVariable]) -> None:
    from hf_synthlabels.publishing.sampled_data import spelling_warning

    for each in asked:
        if note := spelling_warning(rows, each.human, each.llm):
            print(note)


def _next_options(variable: str | None, asked: Sequence[TableVariable]) -> list[str]:
    """Options that name the same variables in the next command; none for all variables of a codebook."""
    if variable is not None:
        return ["--variable", variable]
    return column_options(asked[0].human, asked[0].llm) if len(asked) == 1 else []


def _print_sample(drawn: HumanSample, design: str, seed: int, tune: int | None) -> None:
    probabilities = [value for value in drawn.probabilities if value is not None]
    print(
        f"{len(drawn.rows):,} of {len(drawn.probabilities):,} rows sampled ({design}, seed {seed}); inclusion "
        f"probabilities from {min(probabilities):.4g} to {max(probabilities):.4g}"
    )
    for name, size, count in drawn.strata:
        print(f"  {name}: {count:,} of {size:,}")
    if tune is not None:
        print(f"{tune:,} of these rows choose a prompt or model (`tuned_on`); the others validate and estimate")


def import_labels(
    data: Annotated[str, typer.Argument(help="File written by `sample`.", callback=existing("data"))],
    sheet: Annotated[Path, typer.Argument(help="Filled-in annotation sheet, as written or as saved by Excel.")],
    output: Annotated[Path, typer.Option("-o", "--output", help=".parquet, .jsonl or .csv file; may be the input.")],
    new_labels: Annotated[
        bool, typer.Option("--new-labels", help="Allow labels that occur neither in the table nor among LLM labels.")
    ] = False,
    normalize_labels: NormalizeOption = False,
    overwrite: OverwriteOption = False,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
    variable: VariableOption = None,
    human: HumanOption = None,
    llm: LLMOption = None,
) -> None:
    """Import the labels of a filled-in annotation sheet into the sampled file.

    Example: hf-synthlabels import-labels sampled.parquet to_label.csv -o sampled.parquet
    """
    from hf_synthlabels.publishing import import_labels, open_labeled, write_sampled
    from hf_synthlabels.publishing.codebook_import import import_codebook
    from hf_synthlabels.publishing.labeled_data import label_options
    from hf_synthlabels.tables import WRITABLE, ReadOptions, check_output, read_sheet

    check_output(output, sources=[sheet], suffixes=WRITABLE, folder=False)
    labeled = open_labeled(data, options=label_options(human, llm))
    asked = _asked(labeled, variable, human, llm)
    humans = [each.human for each in asked]
    lines = read_sheet(sheet, [*humans, *labeled.rows.column_names], ReadOptions((), False, encoding, separator))
    changes: dict[str, bool] = {"new_labels": new_labels, "normalize_labels": normalize_labels}
    if len(asked) == 1:
        merged = import_labels(
            labeled.rows, lines, human=humans[0], llm=asked[0].llm, variables=labeled.variables, **changes
        )
        table = merged.rows
        _print_import(merged)
        is_changed = bool(merged.new or merged.changed)
    else:
        imported = import_codebook(labeled.rows, lines, labeled.variables, **changes)
        table = imported.rows
        for name, each in imported.variables.items():
            _print_import(each, f"{name}: ")
        for name, count in imported.not_coded.items():
            print(f"{name}: {count:,} sampled rows are not coded, since the human labels do not meet its condition")
        is_changed = any(each.new or each.changed for each in imported.variables.values())
    for name in humans:
        _check_sampled(table, output, data, name, overwrite=overwrite)
    _print_spelling(table, [] if normalize_labels else asked)
    for file in write_sampled(table, output):
        print(f"written: {file}")
    if is_changed:
        show_next("import-labels", *_next_options(variable, asked), data=output)


def _print_import(merged: ImportedLabels, name: str = "") -> None:
    counts = f"{merged.new:,} human labels added, {merged.changed:,} changed"
    print(f"{name}{counts}; {merged.open:,} sampled rows without a label")
    for label, count in merged.unknown[:5]:
        print(f"  {label!r} is no LLM label: {count:,} rows")


def _check_sampled(rows: Any, output: Path, data: str, human: str, *, overwrite: bool) -> None:
    """Refuse to replace a table whose columns or human labels the new one lacks; the input may be replaced."""
    from hf_synthlabels.statistics.design.human_rows import PROBABILITY
    from hf_synthlabels.tables import NewTable, check_overwrite

    is_input = output.exists() and Path(data).exists() and output.samefile(data)
    if not is_input and not overwrite:
        columns = [*rows.column_names, PROBABILITY]
        check_overwrite(output, NewTable(columns, rows, human, marks=PROBABILITY))
