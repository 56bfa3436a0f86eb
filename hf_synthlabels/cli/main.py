"""Entry point of the command line: one verb per library call; errors are one line with exit status 2."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from wrapt import register_post_import_hook

from hf_synthlabels.cli import (
    annotate,
    batches,
    cache,
    estimate,
    hub,
    judge,
    report,
    review,
    sample,
    study,
    train,
    validate,
    version,
)
from hf_synthlabels.cli.help import VerbsByPurpose, show_next
from hf_synthlabels.cli.version import VersionOption
from hf_synthlabels.errors import SynthLabelsError, os_error_line

HELP = "Label with an LLM, validate the labels, train a small model on them. Start with `hf-synthlabels demo`."

app = typer.Typer(
    cls=VerbsByPurpose,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=HELP,
)

app.add_typer(cache.app, name="cache")
app.add_typer(batches.app, name="batches")
app.add_typer(hub.app, name="push")
app.add_typer(review.app, name="review")
for verb in (
    annotate.annotate,
    annotate.plan,
    validate.validate,
    validate.sample_size,
    sample.sample,
    sample.import_labels,
    estimate.estimate,
    judge.judge,
    train.train,
    train.predict,
    train.export,
    study.study,
    report.report,
    hub.pull,
    version.version,
):
    app.command()(verb)

INTERRUPTED = 130
"""Exit status after Ctrl-C."""


def main() -> None:
    """Run the command line; print an error of this package as one line on standard error."""
    # Read when torch is first loaded. Threads that spin while they wait for each other make training five times
    # slower as soon as another program needs a core; sleeping threads cost next to nothing on an idle machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # The readers of `datasets` log the errors that they raise; here they are printed as one line.
    logging.getLogger("datasets.packaged_modules").setLevel(logging.CRITICAL)
    batches.show_progress()
    try:
        app()
    except SynthLabelsError as error:
        print(f"hf-synthlabels: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        print(f"hf-synthlabels: {os_error_line(error)}", file=sys.stderr)
        raise SystemExit(2) from None
    except SystemExit as end:
        # Typer turns Ctrl-C into an exit status.
        if end.code == INTERRUPTED and not isinstance(end, train.Stopped):
            print("hf-synthlabels: stopped. Finished work is kept; run the command again to resume.", file=sys.stderr)
        raise


@app.callback(help=HELP)
def options(version: VersionOption = False) -> None:  # noqa: ARG001 - the option has a callback
    """Global options."""
    # `datasets` takes a second to import, so nothing loads it before a verb needs it.
    register_post_import_hook(_hide_other_bars, "datasets")


def _hide_other_bars(_: object) -> None:
    from hf_synthlabels.annotation.run.progress_bars import own_bars_only

    # A run shows one progress bar, with failures and cost.
    own_bars_only()


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for labels and report.")] = Path("demo"),
) -> None:
    """Label docstrings of the standard library, validate, train and compare: real text and models, offline.

    Example: hf-synthlabels demo
    """
    from hf_synthlabels.cli.demo import run_demo

    run_demo(output, tell=_print_line)
    show_next("demo", recipe=output / "zero_shot.yaml")


def _print_line(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
