"""`hf-synthlabels estimate`: bias-corrected estimates from LLM labels."""

from __future__ import annotations

from typing import Annotated

import typer

from hf_synthlabels.cli.options import (
    DataArgument,
    EncodingOption,
    HumanOption,
    LLMOption,
    NormalizeOption,
    OutputOption,
    SeparatorOption,
    SplitOption,
    terminal_width,
)


def estimate(
    data: DataArgument,
    estimand: Annotated[
        str | None, typer.Option(help="prevalence, mean or f1 (default: depends on the task type).")
    ] = None,
    groups: Annotated[str | None, typer.Option(help="Column with groups; estimates their differences.")] = None,
    regress: Annotated[
        str | None, typer.Option(help="Predictor columns of a regression of the label, e.g. 'year,outlet'.")
    ] = None,
    outcome: Annotated[
        str | None, typer.Option(help="Outcome column; the label becomes a predictor of the regression.")
    ] = None,
    family: Annotated[str | None, typer.Option(help="Regression family: linear or logistic.")] = None,
    positive: Annotated[str | None, typer.Option(help="Positive class in group comparisons and regressions.")] = None,
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
    output: OutputOption = None,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
) -> None:
    """Estimate means, shares, group differences or regressions, bias-corrected with human labels (PPI++ and DSL).

    Inclusion probabilities stored by `sample` are used as weights. Without them, the human-labeled rows are treated
    as a simple random sample.

    Example: hf-synthlabels estimate sampled.parquet --regress words,year --positive biased
    """
    from hf_synthlabels.publishing import open_labeled
    from hf_synthlabels.publishing.labeled_data import label_options
    from hf_synthlabels.statistics import Inference
    from hf_synthlabels.statistics import estimate as compute_estimates
    from hf_synthlabels.tables import check_output, write_text

    if output is not None:
        check_output(output, sources=[data], suffixes=(".json",), folder=False)
    options = label_options(human, llm, prediction, numbers=estimand == "mean", encoding=encoding, separator=separator)
    labeled = open_labeled(data, split, options)
    report = compute_estimates(
        labeled.rows,
        human=human or labeled.human,
        llm=llm or labeled.llm,
        estimand=estimand,  # type: ignore[arg-type]
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
    print(report.text(terminal_width()))
    if output is not None:
        print(f"written: {write_text(output, report.to_json())}")
