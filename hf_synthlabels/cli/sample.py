"""`hf-synthlabels sample` and `import-labels`: draw rows for human annotation and import the labels."""

from __future__ import annotations

import shlex
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
    column_options,
    existing,
)
from hf_synthlabels.errors import ConfigError

if TYPE_CHECKING:
    from hf_synthlabels.statistics import HumanSample
    from hf_synthlabels.statistics.design.human_sample import Allocation, Design


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
    seed: Annotated[int, typer.Option(help="Random seed for sampling.")] = 0,
    normalize_labels: NormalizeOption = False,
    human: HumanOption = None,
    llm: LLMOption = None,
    split: SplitOption = None,
) -> None:
    """Sample rows for human annotation, with known inclusion probabilities in the column `inclusion_probability`.

    Annotators fill in the sheet, which hides the LLM labels; `import-labels` reads their labels back. Sampling from a
    file that was sampled before adds rows to its sample.

    Example: hf-synthlabels sample labeled.jsonl -n 250 --design stratified -o sampled.parquet --to-label sheet.csv
    """
    from hf_synthlabels.publishing import annotation_sheet, open_labeled, sample_rows, write_sampled
    from hf_synthlabels.publishing.label_import import check_sheet
    from hf_synthlabels.publishing.labeled_data import label_options
    from hf_synthlabels.publishing.sampled_data import EXISTING_LABELS, spelling_warning
    from hf_synthlabels.tables import SHEET_SUFFIXES, WRITABLE, check_output, write_sheet

    if existing_labels not in (None, *EXISTING_LABELS):
        raise ConfigError(f"`--existing-labels` is {existing_labels!r}: give one of {', '.join(EXISTING_LABELS)}.")
    check_output(output, suffixes=WRITABLE, folder=False)
    check_output(sheet, sources=[data, output], suffixes=SHEET_SUFFIXES, folder=False)
    labeled = open_labeled(data, split, label_options(human, llm, encoding=encoding, separator=separator))
    human, llm = human or labeled.human, llm or labeled.llm
    check_sheet(labeled.rows, sheet, human)
    _check_sampled(labeled.rows, output, data, human, overwrite=overwrite)
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
    )
    _print_sample(drawn, design, seed)
    if not normalize_labels and (note := spelling_warning(labeled.rows, human, llm)):
        print(note)
    lines = annotation_sheet(table, drawn, human=human, llm=llm)
    for file in [*write_sampled(table, output), write_sheet(lines, sheet)]:
        print(f"written: {file}")
    columns = column_options(human, llm)
    command = shlex.join(["import-labels", str(output), str(sheet), "-o", str(output), *columns])
    print(f"Label in the browser, or fill in `{human}` in {sheet} and run: hf-synthlabels {command}")
    show_next("sample", *columns, data=output)


def _print_sample(drawn: HumanSample, design: str, seed: int) -> None:
    probabilities = [value for value in drawn.probabilities if value is not None]
    print(
        f"{len(drawn.rows):,} of {len(drawn.probabilities):,} rows sampled ({design}, seed {seed}); inclusion "
        f"probabilities from {min(probabilities):.4g} to {max(probabilities):.4g}"
    )
    for name, size, count in drawn.strata:
        print(f"  {name}: {count:,} of {size:,}")


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
    human: HumanOption = None,
    llm: LLMOption = None,
) -> None:
    """Import the labels of a filled-in annotation sheet into the sampled file.

    Example: hf-synthlabels import-labels sampled.parquet to_label.csv -o sampled.parquet
    """
    from hf_synthlabels.publishing import import_labels, open_labeled, write_sampled
    from hf_synthlabels.publishing.labeled_data import label_options
    from hf_synthlabels.publishing.sampled_data import spelling_warning
    from hf_synthlabels.tables import WRITABLE, ReadOptions, check_output, read_sheet

    check_output(output, sources=[sheet], suffixes=WRITABLE, folder=False)
    labeled = open_labeled(data, options=label_options(human, llm))
    human, llm = human or labeled.human, llm or labeled.llm
    lines = read_sheet(sheet, [human, *labeled.rows.column_names], ReadOptions((), False, encoding, separator))
    merged = import_labels(
        labeled.rows, lines, human=human, llm=llm, new_labels=new_labels, normalize_labels=normalize_labels
    )
    _check_sampled(merged.rows, output, data, human, overwrite=overwrite)
    print(
        f"{merged.new:,} human labels added, {merged.changed:,} changed; {merged.open:,} sampled rows without a label"
    )
    for name, count in merged.unknown[:5]:
        print(f"  {name!r} is no LLM label: {count:,} rows")
    if not normalize_labels and (note := spelling_warning(merged.rows, human, llm)):
        print(note)
    for file in write_sampled(merged.rows, output):
        print(f"written: {file}")
    if merged.new or merged.changed:
        show_next("import-labels", *column_options(human, llm), data=output)


def _check_sampled(rows: Any, output: Path, data: str, human: str, *, overwrite: bool) -> None:
    """Refuse to replace a table whose columns or human labels the new one lacks; the input may be replaced."""
    from hf_synthlabels.statistics.design.human_rows import PROBABILITY
    from hf_synthlabels.tables import NewTable, check_overwrite

    is_input = output.exists() and Path(data).exists() and output.samefile(data)
    if not is_input and not overwrite:
        columns = [*rows.column_names, PROBABILITY]
        check_overwrite(output, NewTable(columns, rows, human, marks=PROBABILITY))
