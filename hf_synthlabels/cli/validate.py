"""`hf-synthlabels validate` and `sample-size`: check LLM labels, and plan how many human labels that takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_synthlabels.cli.help import show_next
from hf_synthlabels.cli.options import (
    DataArgument,
    EncodingOption,
    GateOption,
    HumanOption,
    KindOption,
    LLMOption,
    NormalizeOption,
    OutputOption,
    ScaleOption,
    SeparatorOption,
    SplitOption,
    TokensOption,
    TrustOption,
    column_options,
    terminal_width,
)
from hf_synthlabels.cli.report import print_written
from hf_synthlabels.errors import ConfigError, DataError

if TYPE_CHECKING:
    from hf_synthlabels.statistics import Gate
    from hf_synthlabels.statistics.design.sample_plan import PlannedDesign


def validate(
    data: DataArgument,
    human: HumanOption = None,
    llm: LLMOption = None,
    split: SplitOption = None,
    kind: KindOption = None,
    scale: ScaleOption = None,
    tokens: TokensOption = None,
    gate: GateOption = None,
    clusters: Annotated[
        str | None, typer.Option(help="Column with cluster IDs (e.g. article or author); intervals are clustered.")
    ] = None,
    strata: Annotated[str | None, typer.Option(help="Column with the strata that rows were sampled from.")] = None,
    normalize_labels: NormalizeOption = False,
    output: OutputOption = None,
    page: Annotated[
        Path | None, typer.Option("--report", help="Folder for a report page with tables and figures.")
    ] = None,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
    trust_recipe: TrustOption = False,  # noqa: ARG001  the option's callback acts
) -> None:
    """Compare LLM labels with human labels, with intervals. A failed or inconclusive gate gives exit status 1.

    Example: hf-synthlabels validate labeled.jsonl --human label --gate 'accuracy>=0.75'
    """
    from hf_synthlabels.publishing import open_labeled, write_report
    from hf_synthlabels.publishing.labeled_data import label_options, missing_reasons, scale_schema
    from hf_synthlabels.statistics import Gate
    from hf_synthlabels.statistics import validate as compute_report
    from hf_synthlabels.tables import check_output, write_text

    threshold = Gate.parse(gate) if gate else None
    schema = scale_schema(scale) if scale else None
    if output is not None:
        check_output(output, sources=[data], suffixes=(".json",), folder=False)
    numbers = scale is not None or kind == "text-scale"
    options = label_options(human, llm, strata, numbers=numbers, encoding=encoding, separator=separator)
    labeled = open_labeled(data, split, options)
    rows, n_examples = labeled.without_examples(llm or labeled.llm)
    report = compute_report(
        rows,
        human=human or labeled.human,
        llm=llm or labeled.llm,
        schema=schema or labeled.schema,
        kind=kind,
        tokens=tokens or labeled.tokens,
        gate=threshold,
        clusters=clusters,
        strata=strata,
        normalize_labels=normalize_labels,
    )
    reasons = missing_reasons(labeled.rows, report.llm)
    if report.n_answered == 0:
        cause = f" Most frequent reason: {reasons[0].strip()}." if reasons else ""
        raise DataError(f"`{report.llm}` has no label in any of {report.n_human:,} rows with a human label.{cause}")
    print("\n".join([report.text(terminal_width()), *reasons]))
    if n_examples:
        print(f"{n_examples:,} rows were shown to the judge as examples and are excluded")
    if output is not None:
        print(f"written: {write_text(output, report.to_json())}")
    if page is not None:
        print_written(write_report(report, page), page)
    show_next("validate", *column_options(report.human, report.llm, split), data=data)
    if report.gate is not None and report.gate.verdict != "pass":
        raise typer.Exit(1)


def sample_size(
    data: DataArgument,
    width: Annotated[float | None, typer.Option(help="Target width of the interval, e.g. 0.1.")] = None,
    gate: GateOption = None,
    accuracy: Annotated[
        float | None, typer.Option(help="Assumed accuracy of the LLM (default: that of the human-labeled rows).")
    ] = None,
    human: HumanOption = None,
    llm: LLMOption = None,
    split: SplitOption = None,
    kind: KindOption = None,
    scale: ScaleOption = None,
    tokens: TokensOption = None,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
    trust_recipe: TrustOption = False,  # noqa: ARG001  the option's callback acts
) -> None:
    """Plan how many human labels a target interval width or a gate needs, and the sampling design to use.

    Example: hf-synthlabels sample-size labeled.jsonl --gate 'accuracy>=0.8' --accuracy 0.88
    """
    from hf_synthlabels.publishing import open_labeled
    from hf_synthlabels.publishing.labeled_data import label_options, scale_schema
    from hf_synthlabels.statistics import Gate, plan_score
    from hf_synthlabels.statistics import validate as compute_report
    from hf_synthlabels.statistics.validation.dataset_columns import column_feature, feature_kind

    if (width is None) == (gate is None):
        raise ConfigError("`sample-size` needs one goal: give --width, e.g. 0.1, or --gate, e.g. 'accuracy>=0.8'.")
    threshold = Gate.parse(gate) if gate else None
    numbers = scale is not None or kind == "text-scale"
    labeled = open_labeled(
        data, split, label_options(human, llm, numbers=numbers, encoding=encoding, separator=separator)
    )
    human, llm = human or labeled.human, llm or labeled.llm
    schema = scale_schema(scale) if scale else labeled.schema
    kind = kind or (schema.kind if schema is not None else feature_kind(column_feature(labeled.rows, llm)))
    if kind in ("text-classification", "text-pair"):
        best = _print_class_plan(labeled.rows, human, llm, width=width, gate=threshold, accuracy=accuracy)
        if best is not None:
            output = Path(data).with_name("sampled.parquet")
            columns = column_options(human, llm, split)
            show_next("sample-size", *columns, data=data, rows=best.with_llm, design=best.design, output=output)
        return
    if human not in labeled.rows.column_names:
        raise DataError(f"`{human}` is not a column: sample sizes for kind {kind!r} need human labels of a pilot.")
    report = compute_report(
        labeled.rows, human=human, llm=llm, schema=schema, kind=kind, tokens=tokens or labeled.tokens
    )
    print(plan_score(report, width=width, gate=threshold))


def _print_class_plan(
    rows: Any, human: str, llm: str, *, width: float | None, gate: Gate | None, accuracy: float | None
) -> PlannedDesign | None:
    """Print the plan for a column of class names; return the design that needs the fewest labels."""
    from hf_synthlabels.statistics import plan_gate, plan_sample
    from hf_synthlabels.statistics.validation.dataset_columns import read_names

    labels, names = read_names(rows, llm)
    known = [label for label in labels if label is not None]
    n_distinct = len(set(known))
    if n_distinct > max(2, len(known) // 4):
        raise DataError(f"`{llm}` has {n_distinct:,} different labels: sample sizes need one class name per row.")
    columns = rows.column_names
    truth, human_names = read_names(rows, human) if human in columns else (None, None)
    names = names or human_names
    if gate is not None:
        plan = plan_gate(labels, gate, names=names, human=truth, accuracy=accuracy)
        print(plan)
        return plan.best
    column = f"{llm}_confidence"
    confidence = list(rows[column]) if column in columns else []
    has_confidence = any(value is not None for value in confidence)
    plan = plan_sample(
        labels,
        width or 0,
        names=names,
        human=truth,
        accuracy=accuracy,
        confidence=confidence if has_confidence else None,
    )
    print(plan)
    return plan.best
