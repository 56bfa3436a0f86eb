"""The option by which a user vouches for a recipe, shared by all verbs that read one."""

from __future__ import annotations

from typing import Annotated

import typer


def _confirm(context: typer.Context, wanted: bool) -> bool:
    if wanted:
        from hf_synthlabels.annotation.trust.confirmation import confirmed

        context.with_resource(confirmed())
    return wanted


TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust-recipe",
        callback=_confirm,
        help="Send what this file names to the servers that it names, and remember that. See docs/recipes.md.",
    ),
]
