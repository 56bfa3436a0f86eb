"""The bar that shows a run: rows, rows a second, failures, tokens, money so far and what it will come to."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from hf_synthlabels.annotation.provenance import cost_usd
from hf_synthlabels.annotation.run.progress_bars import progress_bar
from hf_synthlabels.annotation.run.row_annotator import RowAnnotator
from hf_synthlabels.annotation.run.run_stats import RunStats
from hf_synthlabels.clients.config import ClientConfig

REFRESH_S = 0.2
TICK_S = 1.0
"""How often the bar is brought up to date while no row is finished."""

UNLABELLED = ("unparsed", "refused", "truncated", "failed", "over_budget", "skipped")


class Progress:
    """Counts labeled rows and shows the state of the run, including why it waits.

    Args:
        bar: of tqdm.
        config: with the prices and the budget.
        tally: what is shown.
        total: rows to come; None if unknown.
        client: may have a property `waiting`, the reason why it sends nothing.
    """

    def __init__(
        self, bar: Any, config: ClientConfig, tally: RunStats, total: int | None, client: object = None
    ) -> None:
        self._bar = bar
        self._config = config
        self._tally = tally
        self._total = total
        self._client = client
        self._rows = 0
        self._shown_at = 0.0
        self._showing = threading.Lock()

    def __call__(self, rows: int) -> None:
        """So many rows more are labeled."""
        self._rows += rows
        now = time.monotonic()
        if now - self._shown_at >= REFRESH_S:
            self._shown_at = now
            self.show()

    def show(self) -> None:
        """Bring the bar up to date."""
        if self._bar.disable:
            return
        with self._showing:
            line = status_line(self._config, self._tally, self._total)
            if (reason := getattr(self._client, "waiting", None)) is not None:
                # First, since a narrow terminal cuts the end.
                line = f"{reason}; {line}"
            self._bar.set_postfix_str(line, refresh=False)
            self._bar.update(self._rows - self._bar.n)

    @contextmanager
    def kept_current(self) -> Iterator[Self]:
        """Bring the bar up to date every second, also while no row is finished."""
        ended = threading.Event()

        def tick() -> None:
            while not ended.wait(TICK_S):
                self.show()
                self._bar.refresh()

        ticker = threading.Thread(target=tick, name="progress", daemon=True)
        if not self._bar.disable:
            ticker.start()
        try:
            yield self
        finally:
            ended.set()
            if ticker.ident is not None:
                ticker.join()
        self.show()


@contextmanager
def shown_progress(
    config: ClientConfig, annotator: RowAnnotator, *, total: int | None, what: str
) -> Iterator[Progress]:
    """A progress bar on standard error while rows are labeled.

    Args:
        config: with the prices and the budget.
        annotator: whose tally is shown.
        total: number of rows; None if unknown.
        what: stands before the bar.
    """
    with (
        progress_bar(total=total, desc=what, unit=" rows", mininterval=REFRESH_S) as bar,
        Progress(bar, config, annotator.tally, total, annotator.client).kept_current() as progress,
    ):
        yield progress


def status_line(config: ClientConfig, tally: RunStats, total: int | None) -> str:
    """The state of a run in one line: rows without a label, tokens, cost and projected cost."""
    parts = [f"{count} {status}" for status in UNLABELLED if (count := tally.statuses[status])]
    if tally.stored:
        parts.append(f"{tally.stored} from store")
    parts.append(f"{_short(tally.prompt_tokens + tally.completion_tokens)} tokens")
    cost = cost_usd(config, tally)
    if cost is not None and config.kind == "openai":
        money = f"${cost:.4g}"
        if total and tally.rows:
            # Rows out of the store cost nothing, and the rest is taken to hold as many of them.
            money += f" of about ${cost * total / tally.rows:.4g}"
        if config.budget_usd is not None:
            money += f" (budget ${config.budget_usd:g})"
        parts.append(money)
    return ", ".join(parts)


def _short(number: int) -> str:
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)
