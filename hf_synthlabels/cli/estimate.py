"""`hf-synthlabels estimate`: bias-corrected estimates from LLM labels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    VotesOption,
    terminal_width,
)
from hf_synthlabels.cli.report import print_written
from hf_synthlabels.errors import ConfigError

if TYPE_CHECKING:
    from hf_synthlabels.publishing import LabeledData
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
            help="Estimator to show of a regression: naive, classical, ppi or dsl (default: all). May be repeated. "
            "With --variants the one that corrects them: ppi (default) or dsl."
        ),
    ] = None,
    variants: Annotated[
        list[str] | None,
        typer.Option(
            help="LLM label columns to estimate from, one after the other: 'llm:a,llm:b', 'llm:*', or with choices "
            "'{prompt}|{model}'. Shows whether conclusions survive. May be repeated."
        ),
    ] = None,
    against: Annotated[
        float | None,
        typer.Option(help="With --variants: value of the conclusion, e.g. 0.5 (default: 0 for differences)."),
    ] = None,
    quantity: Annotated[
        list[str] | None,
        typer.Option(help="With --variants: class, difference or coefficient to show. May be repeated."),
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
    votes: VotesOption = None,
    soft: Annotated[
        bool, typer.Option("--soft", help="Let human labels be shares of votes in all rows, not only in disputed ones.")
    ] = False,
    normalize_labels: NormalizeOption = False,
    human: HumanOption = None,
    llm: LLMOption = None,
    split: SplitOption = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help=".json or .csv file; for a regression also .tex or .md."),
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--report", help="With --variants: folder for a report page with the figure.")
    ] = None,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
) -> None:
    """Estimate means, shares, group differences or regressions, bias-corrected with human labels (PPI++ and DSL).

    Inclusion probabilities stored by `sample` are used as weights. Without them, the human-labeled rows are treated
    as a simple random sample.

    Example: hf-synthlabels estimate sampled.parquet --formula 'llm_label ~ words * year' --positive biased -o table.tex

    Example: hf-synthlabels estimate sampled.parquet --variants 'llm:*' --quantity biased --against 0.5
    """
    from hf_synthlabels.publishing import open_labeled
    from hf_synthlabels.publishing.conditional_labels import NOT_CODED
    from hf_synthlabels.publishing.label_variables import label_variables
    from hf_synthlabels.publishing.labeled_data import label_options

    _check_output(output, data, TABLES if formula and not variants else (".json", ".csv"))
    name, declared = _variables(variable, formula)
    columns = [human, llm, prediction, *(votes or "").split(","), *itertools.chain(*declared.values())]
    numbers = estimand == "mean" or formula is not None
    options = label_options(*columns, numbers=numbers, encoding=encoding, separator=separator)
    labeled = open_labeled(data, split, options)
    if formula is None and not variants:
        labeled = labeled.of_variable(name, llm)
    analysis: dict[str, Any] = {
        "human": human or labeled.human,
        "llm": llm or labeled.llm,
        "estimand": estimand,
        "groups": groups,
        "formula": formula,
        "variables": {**label_variables(labeled.rows), **declared},
        "family": family,
        "positive": positive,
        "prediction": prediction,
        "clusters": clusters,
        "normalize_labels": normalize_labels,
        "votes": votes,
        "soft": soft,
    }
    if variants:
        chosen = {"quantities": quantity or (), "null": against, "estimator": _corrected(estimator)}
        _estimate_variants(labeled, variants, analysis, chosen, (level, finite), (output, page))
        show_next("estimate --variants", data=data)
        return
    _refuse_variant_options(against, quantity, page)
    report, conditional = _estimated(labeled, analysis, level, finite)
    _show(report, estimator, output)
    if shown := [each for each in conditional if each in (formula or labeled.llm)]:
        print(f"{NOT_CODED!r}: the condition of {', '.join(shown)} does not hold.")
    label = llm or (next(iter(labeled.variables)) if formula and labeled.variables else labeled.llm)
    show_next("estimate", data=data, label=label)


def _check_output(output: Path | None, data: str, suffixes: tuple[str, ...]) -> None:
    from hf_synthlabels.tables import check_output

    if output is not None:
        check_output(output, sources=[data], suffixes=suffixes, folder=False)


def _variables(variable: Sequence[str] | None, formula: str | None) -> tuple[str | None, dict[str, tuple[str, str]]]:
    """The variable of a codebook, and the declared variables of a formula."""
    from hf_synthlabels.publishing.label_variables import parse_variables

    name, declared = parse_variables(variable or ())
    if formula is not None and name is not None:
        raise ConfigError(
            f"`--variable` is {name!r}: with --formula give name=llm_column:human_column, or leave it out."
        )
    return name, declared


def _estimated(
    labeled: LabeledData, analysis: dict[str, Any], level: float, finite: bool
) -> tuple[EstimateReport, list[str]]:
    """The estimates, and the names of conditional variables."""
    from hf_synthlabels.publishing.conditional_labels import check_conditional, formula_domain, with_not_coded
    from hf_synthlabels.publishing.holdout_rows import holdout_rows
    from hf_synthlabels.statistics import Inference
    from hf_synthlabels.statistics import estimate as compute_estimates

    humans = [analysis["human"], *(human for _, human in analysis["variables"].values())]
    rows, notes = holdout_rows(labeled.rows, humans)
    domain = None
    if analysis["formula"] is None:
        check_conditional(rows, labeled.variables, analysis["llm"])
    else:
        domain = formula_domain(rows, labeled.variables, analysis["formula"])
    rows, conditional = with_not_coded(rows, labeled.variables)
    report = compute_estimates(rows, inference=Inference(level=level, finite=finite), domain=domain, **analysis)
    return replace(report, notes=(*notes, *report.notes)), conditional


def _corrected(estimators: Sequence[str] | None) -> str:
    """The estimator that corrects variants."""
    if estimators and len(estimators) > 1:
        raise ConfigError(f"`--estimator` is {', '.join(estimators)}: with --variants give one, ppi or dsl.")
    return estimators[0] if estimators else "ppi"


def _refuse_variant_options(against: float | None, quantity: Sequence[str] | None, page: Path | None) -> None:
    for option, value in (("--against", against), ("--quantity", quantity), ("--report", page)):
        if value is not None and value != []:
            raise ConfigError(f"`{option}` needs `--variants`: name the LLM label columns, or leave it out.")


def _estimate_variants(
    labeled: LabeledData,
    patterns: Sequence[str],
    analysis: dict[str, Any],
    chosen: dict[str, Any],
    inference: tuple[float, bool],
    files: tuple[Path | None, Path | None],
) -> None:
    """Estimate from each variant, print the specification curve, and write it."""
    from hf_synthlabels.publishing import write_report
    from hf_synthlabels.publishing.conditional_labels import refuse_domain
    from hf_synthlabels.statistics import Inference
    from hf_synthlabels.statistics.robustness.specification_curve import Analysis, Conclusion, specification_curve
    from hf_synthlabels.statistics.robustness.tuned_rows import tuned_rows
    from hf_synthlabels.statistics.robustness.variants import read_variants
    from hf_synthlabels.tables import write_text

    rows, (output, page) = labeled.rows, files
    refuse_domain(rows, labeled.variables, analysis["formula"])
    level, finite = inference
    named = ("human", "llm", "formula", "groups", "variables")
    options = {name: value for name, value in analysis.items() if name not in named}
    shared = {name: analysis[name] for name in named}
    columns = read_variants(rows.column_names, patterns)
    settings = Analysis(**shared, options=options, inference=Inference(level=level, finite=finite))
    report = specification_curve(rows, columns, settings, Conclusion(**chosen), tuned_rows(rows))
    print(report.text(terminal_width()))
    if output is not None:
        is_table = output.suffix.lower() == ".csv"
        print(f"written: {write_text(output, report.to_csv() if is_table else report.to_json())}")
    if page is not None:
        print_written(write_report(report, page), page)


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
