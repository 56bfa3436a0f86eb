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
    route,
    sample,
    stability,
    study,
    train,
    validate,
    version,
)
from hf_synthlabels.cli.help import VerbsByPurpose, show_next
from hf_synthlabels.cli.version import VersionOption
from hf_synthlabels.errors import ConfigError, SynthLabelsError, os_error_line

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
    stability.stability,
    validate.validate,
    validate.sample_size,
    sample.sample,
    sample.import_labels,
    route.route,
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
    model: Annotated[
        str | None, typer.Option(help="An LLM labels. Without it, the packaged sentence encoder labels, offline.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Base URL of an OpenAI-compatible server.")] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(help="Environment variable with the API key; OPENAI_API_KEY unless the server is local."),
    ] = None,
    budget_usd: Annotated[float | None, typer.Option(help="Budget for the LLM's labels, in US dollars.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Send paid requests without confirmation.")] = False,
    small_llm: Annotated[
        bool, typer.Option("--small-llm", help="A small LLM labels on this machine, by llama.cpp; on fewer rows.")
    ] = False,
    gguf: Annotated[Path | None, typer.Option(help="With --small-llm: a GGUF file of another model.")] = None,
) -> None:
    """Label docstrings of the standard library, validate the labels, train students and compare the label sources.

    A sentence encoder labels, offline. With --model an LLM does.

    Example: hf-synthlabels demo

    Example: hf-synthlabels demo --model llama3.1 --base-url http://localhost:11434/v1
    """
    if (model is not None and small_llm) or (gguf is not None and not small_llm):
        raise ConfigError("`--small-llm` excludes `--model`, and `--gguf` needs `--small-llm`. Give one annotator.")
    _print_line("Loading libraries ...")
    from hf_synthlabels.cli.demo import run_demo, run_small_llm_demo
    from hf_synthlabels.studies.quickstart.demo_files import DemoAnnotator

    if small_llm:
        run_small_llm_demo(output, gguf, tell=_print_line)
    else:
        annotator = DemoAnnotator(model, base_url, api_key_env, budget_usd)
        if run_demo(output, annotator, tell=_print_line, confirm=lambda question: yes or _agrees(question)) is None:
            raise typer.Exit(1)
    show_next("demo", recipe=output / "zero_shot.yaml")


def _agrees(question: str) -> bool:
    """Ask on a terminal; elsewhere the command itself is the consent, as with `study`."""
    return not sys.stdin.isatty() or typer.confirm(question, default=True)


def _print_line(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
