"""`hf-synthlabels route`: keep the LLM labels that reach a target, and route the other rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from hf_synthlabels.cli.help import SAMPLE_ROWS, show_next
from hf_synthlabels.cli.options import (
    DataArgument,
    EncodingOption,
    HumanOption,
    JsonOption,
    KindOption,
    LLMOption,
    NormalizeOption,
    OverwriteOption,
    ScaleOption,
    SeparatorOption,
    SplitOption,
    VariableOption,
    column_options,
    terminal_width,
)
from hf_synthlabels.errors import ConfigError


def route(
    data: DataArgument,
    target: Annotated[
        str,
        typer.Option(help="Target of the kept labels: accuracy>=0.9, 'precision[NAME]>=0.9' or 'recall[NAME]>=0.9'."),
    ],
    risk: Annotated[float, typer.Option(help="Probability of keeping labels that miss the target.")] = 0.05,
    confidence: Annotated[
        str | None, typer.Option(help="Column with the LLM's confidence (default: `<llm>_confidence`).")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="All rows with a column `<llm>_route`: .parquet, .jsonl or .csv."),
    ] = None,
    rest: Annotated[
        Path | None,
        typer.Option(help="The routed rows without a human label, for `review --all`: .parquet, .jsonl or .csv."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed, used only if inclusion probabilities are unequal.")] = 0,
    as_json: JsonOption = False,
    overwrite: OverwriteOption = False,
    normalize_labels: NormalizeOption = False,
    variable: VariableOption = None,
    human: HumanOption = None,
    llm: LLMOption = None,
    split: SplitOption = None,
    kind: KindOption = None,
    scale: ScaleOption = None,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
) -> None:
    """Find the LLM labels that can be kept without human labels, at a target that holds with a stated probability.

    Rows with a high confidence are kept; the others go to humans or to a second annotator. If nothing can be
    guaranteed, nothing is kept.

    Example: hf-synthlabels route sampled.parquet --target 'accuracy>=0.9' --risk 0.05 -o routed.parquet

    Example: hf-synthlabels route sampled.parquet --target 'precision[biased]>=0.95' --rest rest.parquet
    """
    from hf_synthlabels.publishing import open_labeled
    from hf_synthlabels.publishing.labeled_data import label_options, scale_schema
    from hf_synthlabels.publishing.routed_data import check_routed, route_variable, routed_rows, unlabeled_rest
    from hf_synthlabels.publishing.sampled_data import write_sampled
    from hf_synthlabels.statistics.routing.routing_target import RoutingTarget

    parsed = RoutingTarget.parse(target)
    schema = scale_schema(scale) if scale else None
    if output is not None and output == rest:
        raise ConfigError(f"`--rest` and `--output` are both {str(rest)!r}: give two files.")
    numbers = scale is not None or kind == "text-scale"
    options = label_options(human, llm, numbers=numbers, encoding=encoding, separator=separator)
    labeled = open_labeled(data, split, options)
    chosen = labeled.of_variable(variable, llm)
    chosen = replace(
        chosen,
        human=human or chosen.human,
        llm=llm or chosen.llm,
        schema=schema or chosen.schema,
        kind=kind or (None if schema or chosen.schema else chosen.kind),
    )
    for file in (output, rest):
        check_routed(chosen, file, data, overwrite=overwrite)
    report, routes = route_variable(
        chosen, parsed, risk=risk, confidence=confidence, seed=seed, normalize=normalize_labels
    )
    print(report.to_json() if as_json else report.text(terminal_width()))
    for file, rows in ((output, routed_rows), (rest, unlabeled_rest)):
        if file is not None:
            for written in write_sampled(rows(chosen, routes), file):
                print(f"written: {written}")
    columns = ["--variable", variable] if variable else column_options(chosen.human, chosen.llm)
    if report.threshold is None:
        size = min(SAMPLE_ROWS, report.kept.n)
        show_next("route nothing", *columns, data=data, rows=size, output=Path(data).with_name("sampled.parquet"))
    elif rest is not None:
        show_next("route --rest", *columns, rest=rest)
    else:
        asked = ["--target", target, "--risk", f"{risk:g}", *(["--confidence", confidence] if confidence else [])]
        asked += [*columns, *column_options("", "", split)]
        show_next("route", *asked, data=data, rest=Path(data).with_name("rest.parquet"))
