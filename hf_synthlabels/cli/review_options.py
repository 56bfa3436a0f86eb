"""Options that the commands of `hf-synthlabels review` share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from hf_synthlabels.cli.options import (
    EncodingOption,
    HumanOption,
    KindOption,
    LLMOption,
    ScaleOption,
    SeparatorOption,
    SplitOption,
    TokensOption,
)


def _review_options(
    recipe: Annotated[
        str | None, typer.Option(help="Recipe with labels, guidelines and columns, if DATA is a file.")
    ] = None,
    split: SplitOption = None,
    text: Annotated[list[str] | None, typer.Option(help="Text column; may be repeated (twice for pairs).")] = None,
    human: HumanOption = None,
    llm: LLMOption = None,
    kind: KindOption = None,
    scale: ScaleOption = None,
    tokens: TokensOption = None,
    question: Annotated[str | None, typer.Option(help="Question column, for question-answering.")] = None,
    context: Annotated[str | None, typer.Option(help="Context column, for question-answering.")] = None,
    show_column: Annotated[list[str] | None, typer.Option(help="Additional column to show; may be repeated.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Label all rows, not only sampled ones.")] = False,
    relabel: Annotated[bool, typer.Option("--relabel", help="Include rows that already have a human label.")] = False,
    seed: Annotated[int, typer.Option(help="Random seed of the row order.")] = 0,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
) -> Any:
    """Options that select and show rows, shared by several commands."""
    from hf_synthlabels.review import ReviewOptions

    return ReviewOptions(
        recipe=recipe,
        split=split,
        text=tuple(text or ()),
        human=human,
        llm=llm,
        kind=kind,
        scale=scale,
        tokens=tokens,
        question=question,
        context=context,
        show_columns=tuple(show_column or ()),
        all_rows=everything,
        relabel=relabel,
        seed=seed,
        encoding=encoding,
        separator=separator,
    )


def with_review_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `_review_options` instead of its parameter `options`."""
    shared = dict(inspect.signature(_review_options, eval_str=True).parameters)
    own = dict(inspect.signature(command, eval_str=True).parameters)
    del own["options"]

    @wraps(command)
    def run(**arguments: Any) -> None:
        options = _review_options(**{name: arguments.pop(name) for name in shared})
        command(**arguments, options=options)

    parameters = (value.replace(kind=inspect.Parameter.KEYWORD_ONLY) for value in (*own.values(), *shared.values()))
    run.__signature__ = inspect.Signature(list(parameters))  # type: ignore[attr-defined]
    run.__annotations__ = {name: value.annotation for name, value in (own | shared).items()}
    return run
