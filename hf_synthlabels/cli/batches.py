"""The command line of batches: `hf-synthlabels batches ...`."""

from __future__ import annotations

import logging
import sys
from datetime import datetime
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="What waits at a provider to be answered, and how to stop it."
)


class _AboveBars(logging.Handler):
    """Writes lines on standard error without tearing a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(f"hf-synthlabels: {self.format(record)}", file=sys.stderr)


def show_progress() -> None:
    """Say on standard error what happens to batches, for they may take a day."""
    logger = logging.getLogger("hf_synthlabels.batches")
    if not logger.handlers:
        logger.addHandler(_AboveBars())
    logger.setLevel(logging.INFO)
    logger.propagate = False


@app.command(name="list")
def list_command(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are done with.")] = False,
) -> None:
    """List the batches that are not done with: whoever runs their recipe again takes them up.

    Example: hf-synthlabels batches list
    """
    from hf_synthlabels.annotation import store_path
    from hf_synthlabels.clients import list_batches

    found = list_batches(store_path(), everything=everything)
    if not found:
        print("no batches" if everything else "no open batches")
    for one in found:
        when = datetime.fromtimestamp(one.created_at).astimezone().strftime("%Y-%m-%d %H:%M")
        words = [one.batch_id or one.id[:12], when, f"{one.requests:,} requests to {one.model} at {one.base_url}"]
        words += [part for part in (one.state, one.status, one.note) if part]
        print(", ".join(words))


@app.command()
def cancel(
    batch: Annotated[str, typer.Argument(help="Its id as in the list, or the beginning of it.")],
    forget: Annotated[
        bool, typer.Option("--abandon", help="Give it up without asking the provider; it may be billed all the same.")
    ] = False,
) -> None:
    """Cancel a batch at its provider. What was answered by then is billed, and stored by the next run of its recipe.

    Example: hf-synthlabels batches cancel batch_abc123
    """
    from hf_synthlabels.annotation import store_path
    from hf_synthlabels.clients import cancel_batch

    one = cancel_batch(store_path(), batch, forget=forget)
    print(f"{one.batch_id or one.id}: {one.state}, {one.status}".rstrip(", "))
