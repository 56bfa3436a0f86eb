"""The command line of human labels: `hf-synthlabels sample`, `merge`, `estimate`, and `validate --plan`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from hf_synthlabels.cli.terminal import terminal_width
from hf_synthlabels.errors import ConfigError, DataError

if TYPE_CHECKING:
    from hf_synthlabels.labels import LabelSchema
    from hf_synthlabels.publishing import Labelled
    from hf_synthlabels.statistics import Allocation, Design, Gate

DataArgument = Annotated[
    str, typer.Argument(help="A labelled file or folder, a recipe file, or a packaged recipe's name.")
]
HumanOption = Annotated[str | None, typer.Option(help="Column with human labels; the recipe's, or `label`.")]
LLMOption = Annotated[str | None, typer.Option(help="Column with LLM labels; the recipe's, or `llm_label`.")]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace an output that is there, whatever it holds.")
]
EncodingOption = Annotated[
    str | None, typer.Option("--encoding", help="Of a CSV or JSON file, such as cp1252; detected, unless given.")
]
SeparatorOption = Annotated[
    str | None, typer.Option("--separator", help="Of a CSV file, such as ';'; detected, unless given.")
]
NormalizeOption = Annotated[
    bool, typer.Option("--normalize-labels", help="Take names that differ only in case or white space as one.")
]
SplitOption = Annotated[str | None, typer.Option(help="The split, where there are several.")]


def sample(
    data: DataArgument,
    rows: Annotated[int, typer.Option("-n", "--rows", help="Rows to draw for people to label.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="All rows with their chances: a .parquet, .jsonl or .csv file.")
    ] = Path("sampled.parquet"),
    sheet: Annotated[Path, typer.Option(help="The drawn rows for people to fill in: .csv or .xlsx.")] = Path(
        "to_label.csv"
    ),
    overwrite: OverwriteOption = False,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
    design: Annotated[str, typer.Option(help="random, stratified (by the LLM's label) or confidence.")] = "random",
    allocation: Annotated[str, typer.Option(help="Of stratified rows: proportional or equal.")] = "proportional",
    confidence: Annotated[str | None, typer.Option(help="Column with the LLM's; `<llm>_confidence`.")] = None,
    earlier: Annotated[
        str | None,
        typer.Option(help="How existing human labels were drawn: random, stratified (by LLM label), none (not used)."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the drawing.")] = 0,
    normalize_labels: NormalizeOption = False,
    human: HumanOption = None,
    llm: LLMOption = None,
    split: SplitOption = None,
) -> None:
    """Draw rows for people to label, with chances that are known and kept in the column `inclusion_probability`.

    People fill in the sheet, which does not show what the LLM said; `merge` puts their labels back. A file that was
    sampled before gets more rows.

    Example: hf-synthlabels sample labelled.parquet -n 250 --design stratified -o sampled.parquet --sheet to_label.csv
    """
    from hf_synthlabels.publishing import (
        EARLIER,
        check_sheet,
        label_options,
        labelling_sheet,
        open_labelled,
        sample_rows,
        spelling_warning,
        write_sampled,
    )
    from hf_synthlabels.tables import SHEET_SUFFIXES, WRITABLE, check_output, write_sheet

    if earlier not in (None, *EARLIER):
        raise ConfigError(f"`--earlier` is {earlier!r}: give {', '.join(EARLIER)}.")
    check_output(output, suffixes=WRITABLE, folder=False)
    check_output(sheet, sources=[data, output], suffixes=SHEET_SUFFIXES, folder=False)
    labelled = open_labelled(data, split, label_options(human, llm, encoding=encoding, separator=separator))
    human, llm = human or labelled.human, llm or labelled.llm
    check_sheet(labelled.rows, sheet, human)
    _check_sampled(labelled.rows, output, data, human, overwrite=overwrite)
    drawn, made = sample_rows(
        labelled.rows,
        rows,
        human=human,
        llm=llm,
        design=cast("Design", design),
        confidence=confidence,
        allocation=cast("Allocation", allocation),
        earlier=earlier,
        seed=seed,
        normalize_labels=normalize_labels,
    )
    chances = [chance for chance in made.probabilities if chance is not None]
    print(
        f"{len(made.rows):,} of {len(made.probabilities):,} rows drawn ({design}, seed {seed}); chances from "
        f"{min(chances):.4g} to {max(chances):.4g}"
    )
    for name, size, count in made.strata:
        print(f"  {name}: {count:,} of {size:,}")
    if not normalize_labels and (note := spelling_warning(labelled.rows, human, llm)):
        print(note)
    to_fill = labelling_sheet(drawn, made, human=human, llm=llm)
    for file in [*write_sampled(drawn, output), write_sheet(to_fill, sheet)]:
        print(f"written: {file}")
    paths = " ".join(shlex.quote(str(path)) for path in (output, sheet))
    columns = column_options(human, llm)
    print(f"Fill in `{human}` in {sheet}, then: hf-synthlabels merge {paths} -o {shlex.quote(str(output))}{columns}")


def column_options(human: str, llm: str) -> str:
    """The options that name the label columns, for the next command; none where they have the usual names."""
    named = (("--human", human, "label"), ("--llm", llm, "llm_label"))
    return "".join(f" {option} {shlex.quote(column)}" for option, column, usual in named if column != usual)


def _check_sampled(rows: Any, output: Path, data: str, human: str, *, overwrite: bool) -> None:
    """Refuse to replace a table whose columns or human labels the new one does not have; the input itself is kept."""
    from hf_synthlabels.statistics import PROBABILITY
    from hf_synthlabels.tables import NewTable, check_overwrite

    same = output.exists() and Path(data).exists() and output.samefile(data)
    if not same and not overwrite:
        columns = [*rows.column_names, PROBABILITY]
        check_overwrite(output, NewTable(columns, rows, human, marks=PROBABILITY))


def merge(
    data: Annotated[str, typer.Argument(help="The file that `sample` wrote.")],
    sheet: Annotated[Path, typer.Argument(help="The sheet, filled in: as it was written, or as Excel saved it.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A .parquet, .jsonl or .csv file; may be the same.")],
    new_labels: Annotated[
        bool, typer.Option("--new-labels", help="Allow labels that neither the LLM gave nor the table has.")
    ] = False,
    normalize_labels: NormalizeOption = False,
    overwrite: OverwriteOption = False,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
    human: HumanOption = None,
    llm: LLMOption = None,
) -> None:
    """Put the labels of a filled sheet back into the file whose rows were drawn.

    Example: hf-synthlabels merge sampled.parquet to_label.csv -o sampled.parquet
    """
    from hf_synthlabels.publishing import label_options, merge_labels, open_labelled, spelling_warning, write_sampled
    from hf_synthlabels.tables import WRITABLE, ReadOptions, check_output, read_sheet

    check_output(output, sources=[sheet], suffixes=WRITABLE, folder=False)
    labelled = open_labelled(data, options=label_options(human, llm))
    human, llm = human or labelled.human, llm or labelled.llm
    lines = read_sheet(sheet, [human, *labelled.rows.column_names], ReadOptions((), False, encoding, separator))
    done = merge_labels(
        labelled.rows, lines, human=human, llm=llm, new_labels=new_labels, normalize_labels=normalize_labels
    )
    _check_sampled(done.rows, output, data, human, overwrite=overwrite)
    print(f"{done.new:,} human labels added, {done.changed:,} changed; {done.open:,} drawn rows have none yet")
    for name, count in done.unknown[:5]:
        print(f"  {name!r}, which the LLM never gave: {count:,} rows")
    if not normalize_labels and (note := spelling_warning(done.rows, human, llm)):
        print(note)
    for file in write_sampled(done.rows, output):
        print(f"written: {file}")
    if done.new or done.changed:
        print(f"Next: hf-synthlabels validate {shlex.quote(str(output))}{column_options(human, llm)}")


def estimate(
    data: DataArgument,
    ask: Annotated[str | None, typer.Option(help="prevalence, mean or f1; by the kind of label.")] = None,
    groups: Annotated[str | None, typer.Option(help="Column of groups to compare instead.")] = None,
    regress: Annotated[
        str | None, typer.Option(help="Columns to regress the label on instead: 'year,outlet' (text: categories).")
    ] = None,
    outcome: Annotated[str | None, typer.Option(help="Column to regress on the label (and on --regress).")] = None,
    family: Annotated[str | None, typer.Option(help="Of a regression: linear or logistic.")] = None,
    positive: Annotated[str | None, typer.Option(help="The class that groups and regressions ask for.")] = None,
    prediction: Annotated[str | None, typer.Option(help="Column of predictions for f1; the LLM's labels.")] = None,
    clusters: Annotated[str | None, typer.Option(help="Column that says which rows hang together.")] = None,
    level: Annotated[float, typer.Option(help="Confidence level.")] = 0.95,
    finite: Annotated[
        bool, typer.Option("--finite", help="Ask of these rows alone, not of all that are like them: narrower.")
    ] = False,
    normalize_labels: NormalizeOption = False,
    human: HumanOption = None,
    llm: LLMOption = None,
    split: SplitOption = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the result as JSON here.")] = None,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
) -> None:
    """Say what the labels show, from LLM labels put right by the human ones: PPI++ and DSL, beside each alone.

    Chances that `sample` stored are used by themselves; without them human labels are taken for a random sample.

    Example: hf-synthlabels estimate sampled.parquet --regress words,year --positive biased
    """
    from hf_synthlabels.publishing import label_options, open_labelled
    from hf_synthlabels.statistics import Inference
    from hf_synthlabels.statistics import estimate as answer
    from hf_synthlabels.tables import check_output, write_text

    if output is not None:
        check_output(output, sources=[data], suffixes=(".json",), folder=False)
    options = label_options(human, llm, prediction, numbers=ask == "mean", encoding=encoding, separator=separator)
    labelled = open_labelled(data, split, options)
    found = answer(
        labelled.rows,
        human=human or labelled.human,
        llm=llm or labelled.llm,
        ask=ask,  # type: ignore[arg-type]
        groups=groups,
        regress=[name.strip() for name in regress.split(",")] if regress else (),
        outcome=outcome,
        family=family,  # type: ignore[arg-type]
        positive=positive,
        prediction=prediction,
        clusters=clusters,
        inference=Inference(level=level, finite=finite),
        normalize_labels=normalize_labels,
    )
    print(found.text(terminal_width()))
    if output is not None:
        print(f"written: {write_text(output, found.to_json())}")


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of the labels beside their columns."""

    schema: LabelSchema | None = None
    kind: str | None = None
    tokens: str | None = None


def print_plan(
    labelled: Labelled, human: str, llm: str, width: float | None, gate: Gate | None, accuracy: float | None, told: Told
) -> None:
    """What `validate --plan` says: how many human labels, drawn how."""
    from hf_synthlabels.statistics import plan_gate, plan_sample, plan_score
    from hf_synthlabels.statistics import validate as check
    from hf_synthlabels.statistics.validation.dataset_columns import column_feature, feature_kind
    from hf_synthlabels.statistics.validation.label_columns import read_names

    rows = labelled.rows
    if (width is None) == (gate is None):
        raise ConfigError("`--plan` needs a goal: give --width, such as 0.1, or --gate, such as 'accuracy>=0.8'.")
    kind = told.kind or (feature_kind(column_feature(rows, llm)) if told.schema is None else told.schema.kind)
    if kind not in ("text-classification", "text-pair"):
        if human not in rows.column_names:
            raise DataError(
                f"`{human}` is not a column: plans for labels of kind {kind!r} need a pilot's human labels."
            )
        report = check(rows, human=human, llm=llm, schema=told.schema, kind=kind, tokens=told.tokens)
        print(plan_score(report, width=width, gate=gate))
        return
    said, names = read_names(rows, llm)
    known = [label for label in said if label is not None]
    if len(set(known)) > max(2, len(known) // 4):
        raise DataError(f"`{llm}` has {len(set(known)):,} different labels: plans are for one class name per row.")
    truth, mine = read_names(rows, human) if human in rows.column_names else (None, None)
    names = names or mine
    if gate is not None:
        print(plan_gate(said, gate, names=names, human=truth, accuracy=accuracy))
        return
    column = f"{llm}_confidence"
    sure = list(rows[column]) if column in rows.column_names else None
    usable = sure is not None and any(value is not None for value in sure)
    made = plan_sample(
        said, width or 0, names=names, human=truth, accuracy=accuracy, confidence=sure if usable else None
    )
    print(made)
    if made.best is not None:
        print(f"\nto draw them: hf-synthlabels sample ... -n {made.best.with_llm} --design {made.best.design}")
