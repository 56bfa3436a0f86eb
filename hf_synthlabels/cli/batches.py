"""The command line of batches: `hf-synthlabels batches ...`."""

from __future__ import annotations

import logging
import sys
from datetime import datetime
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List and cancel batches pending at a provider.")


class _TqdmHandler(logging.Handler):
    """Writes log lines to standard error without breaking a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(f"hf-synthlabels: {self.format(record)}", file=sys.stderr)


def show_progress() -> None:
    """Log the events of batches to standard error."""
    logger = logging.getLogger("hf_synthlabels.batches")
    if not logger.handlers:
        logger.addHandler(_TqdmHandler())
    logger.setLevel(logging.INFO)
    logger.propagate = False


@app.command(name="list")
def list_command(
    include_final: Annotated[bool, typer.Option("--all", help="Also list batches that have ended.")] = False,
) -> None:
    """List the open batches. Running their recipe again resumes them.

    Example: hf-synthlabels batches list
    """
    from hf_synthlabels.clients import list_batches
    from hf_synthlabels.resources import store_path

    records = list_batches(store_path(), include_final=include_final)
    if not records:
        print("no batches" if include_final else "no open batches")
    for record in records:
        created = datetime.fromtimestamp(record.created_at).astimezone().strftime("%Y-%m-%d %H:%M")
        requests = f"{record.requests:,} requests to {record.model} at {record.base_url}"
        details = [part for part in (record.state, record.status, record.note) if part]
        print(", ".join([record.batch_id or record.id[:12], created, requests, *details]))


@app.command()
def cancel(
    batch: Annotated[str, typer.Argument(help="ID of the batch as in the list, or its beginning.")],
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Give up the batch without asking the provider; it may still be billed.")
    ] = False,
) -> None:
    """Cancel a batch at its provider. Existing answers are billed; the next run of its recipe stores them.

    Example: hf-synthlabels batches cancel batch_abc123
    """
    from hf_synthlabels.clients import cancel_batch
    from hf_synthlabels.resources import store_path

    record = cancel_batch(store_path(), batch, abandon=abandon)
    print(f"{record.batch_id or record.id}: {record.state}, {record.status}".rstrip(", "))
