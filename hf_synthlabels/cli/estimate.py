"""`hf-synthlabels estimate`: bias-corrected estimates from LLM labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hf_synthlabels.cli.help import show_next
from hf_synthlabels.cli.options import (
    DataArgument,
    EncodingOption,
    HumanOption,
    LLMOption,
    NormalizeOption,
    SeparatorOption,
    SplitOption,
    terminal_width,
)
from hf_synthlabels.errors import ConfigError

if TYPE_CHECKING:
    from hf_synthlabels.statistics import EstimateReport

TABLES = (".csv", ".json", ".md", ".tex")
"""Formats of a table of coefficients."""


def estimate(
    data: DataArgument,
    estimand: Annotated[
        str | None, typer.Option(help="prevalence, mean or f1 (default: depends on the task type).")
    ] = None,
    groups: Annotated[str | None, typer.Option(help="Column with groups; estimates their differences.")] = None,
    formula: Annotated[str | None, typer.Option(help="Regression, e.g. 'bias ~ topic * year + C(outlet)'.")] = None,
    variable: Annotated[
        list[str] | None,
        typer.Option(
            help="Variable of a codebook to estimate. With --formula: name=llm_column:human_column of an LLM variable "
            "(default: from the provenance of the columns); may be repeated."
        ),
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="Regression family: linear or logistic (default: logistic for classes).")
    ] = None,
    positive: Annotated[
        str | None, typer.Option(help="Positive class in group comparisons, or of a regression's outcome.")
    ] = None,
    estimator: Annotated[
        list[str] | None,
        typer.Option(
            help="Estimator to show of a regression: naive, classical, ppi or dsl (default: all). May be repeated."
        ),
    ] = None,
    prediction: Annotated[
        str | None, typer.Option(help="Column with predictions to score by f1 (default: the LLM labels).")
    ] = None,
    clusters: Annotated[
        str | None, typer.Option(help="Column with cluster IDs (e.g. article or author); errors are clustered.")
    ] = None,
    level: Annotated[float, typer.Option(help="Confidence level.")] = 0.95,
    finite: Annotated[
        bool,
        typer.Option(
            "--finite-population", help="Treat the rows as the whole population (finite-population correction)."
        ),
    ] = False,
    normalize_labels: NormalizeOption = False,
    human: HumanOption = None,
    llm: LLMOption = None,
    split: SplitOption = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help=".json or .csv file; for a regression also .tex or .md."),
    ] = None,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
) -> None:
    """Estimate means, shares, group differences or regressions, bias-corrected with human labels (PPI++ and DSL).

    Inclusion probabilities stored by `sample` are used as weights. Without them, the human-labeled rows are treated
    as a simple random sample.

    Example: hf-synthlabels estimate sampled.parquet --formula 'llm_label ~ words * year' --positive biased -o table.tex
    """
    from hf_synthlabels.publishing import open_labeled
    from hf_synthlabels.publishing.conditional_labels import NOT_CODED, check_conditional, with_not_coded
    from hf_synthlabels.publishing.label_variables import label_variables, parse_variables
    from hf_synthlabels.publishing.labeled_data import label_options
    from hf_synthlabels.statistics import Inference
    from hf_synthlabels.statistics import estimate as compute_estimates
    from hf_synthlabels.tables import check_output

    if output is not None:
        check_output(output, sources=[data], suffixes=TABLES if formula else (".json", ".csv"), folder=False)
    name, variables = parse_variables(variable or ())
    if formula is not None and name is not None:
        raise ConfigError(
            f"`--variable` is {name!r}: with --formula give name=llm_column:human_column, or leave it out."
        )
    columns = (human, llm, prediction, *(column for pair in variables.values() for column in pair))
    numbers = estimand == "mean" or formula is not None
    options = label_options(*columns, numbers=numbers, encoding=encoding, separator=separator)
    labeled = open_labeled(data, split, options)
    if formula is None:
        labeled = labeled.of_variable(name, llm)
        check_conditional(labeled.rows, labeled.variables, llm or labeled.llm)
    rows, conditional = with_not_coded(labeled.rows, labeled.variables)
    report = compute_estimates(
        rows,
        human=human or labeled.human,
        llm=llm or labeled.llm,
        estimand=estimand,  # type: ignore[arg-type]
        groups=groups,
        formula=formula,
        variables={**label_variables(labeled.rows), **variables},
        family=family,  # type: ignore[arg-type]
        positive=positive,
        prediction=prediction,
        clusters=clusters,
        inference=Inference(level=level, finite=finite),
        normalize_labels=normalize_labels,
    )
    _show(report, estimator, output)
    if shown := [each for each in conditional if each in (formula or labeled.llm)]:
        print(f"{NOT_CODED!r}: the condition of {', '.join(shown)} does not hold.")
    label = llm or (next(iter(labeled.variables)) if formula and labeled.variables else labeled.llm)
    show_next("estimate", data=data, label=label)


def _show(report: EstimateReport, estimators: Sequence[str] | None, output: Path | None) -> None:
    """Print the report, and write it to `output`."""
    from hf_synthlabels.statistics.estimation.estimates import ESTIMATORS
    from hf_synthlabels.statistics.regression.coefficients import RegressionReport
    from hf_synthlabels.tables import write_text

    if isinstance(report, RegressionReport):
        chosen = estimators or ESTIMATORS
        print(report.text(terminal_width(), chosen))
        content = "" if output is None else report.render(output.suffix.lower(), chosen)
    else:
        print(report.text(terminal_width()))
        is_table = output is not None and output.suffix.lower() == ".csv"
        content = report.to_csv() if is_table else report.to_json()
    if output is not None:
        print(f"written: {write_text(output, content)}")
