"""Command `hf-synthlabels cache`: the response store and its ledger."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hf_synthlabels.cli.options import JsonOption
from hf_synthlabels.errors import ConfigError, DataError

if TYPE_CHECKING:
    from hf_synthlabels.clients import ResponseStore
    from hf_synthlabels.clients.store.administration import LedgerLine

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Inspect, verify, export and prune the response store and its ledger.\n\nExample: hf-synthlabels cache stats",
)

MAX_LISTED = 10
"""Lines of one kind to print."""

AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([hdwy]?)")
HOURS = {"h": 1, "": 24, "d": 24, "w": 24 * 7, "y": 24 * 365}


@app.command()
def stats(as_json: JsonOption = False) -> None:
    """Show the size of the store, and spending by recipe and model.

    Example: hf-synthlabels cache stats
    """
    from hf_synthlabels.clients.store.administration import ledger, size_bytes

    with _open_store() as store:
        answers, size, lines, path = len(store), size_bytes(store), ledger(store), store.path
    if as_json:
        content = {"path": str(path), "answers": answers, "bytes": size, "ledger": [asdict(line) for line in lines]}
        print(json.dumps(content, indent=1, ensure_ascii=False))
        return
    print(f"{path}: {answers:,} answers, {size / 1e6:,.1f} MB")
    for line in lines:
        print("\n".join(_format_line(line)))


@app.command()
def verify() -> None:
    """Check the checksums of all answers and the file itself, without changes. Exits with status 1 on errors.

    Example: hf-synthlabels cache verify
    """
    from hf_synthlabels.clients.store.administration import verify as check_store
    from hf_synthlabels.resources import store_path

    path = store_path()
    check = check_store(path)
    print(f"{path}: {check.answers:,} answers read, {len(check.damaged):,} of them damaged")
    _print_list("damaged answer, which will be requested again:", [key[:16] for key in check.damaged])
    _print_list("error in the file:", check.faults)
    if check.faults:
        print("To save the readable answers: hf-synthlabels cache export -o saved.jsonl")
        print(f"Then move {path.name} and {path.name}-wal elsewhere and run: hf-synthlabels cache import saved.jsonl")
    if not check.is_valid:
        raise typer.Exit(1)


@app.command()
def export(
    output: Annotated[Path, typer.Option("-o", "--output", help="Output file (.jsonl).")],
    recipe: Annotated[str | None, typer.Argument(help="Export only this recipe's answers, row by row.")] = None,
    key: Annotated[
        str | None, typer.Option(help="ID column of the recipe's rows; the text identifies them by default.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="Store file to export, e.g. a damaged one that was moved aside.")
    ] = None,
) -> None:
    """Export all answers, or those of a recipe in the format that `client: recorded` replays.

    Example: hf-synthlabels cache export recipe.yaml --key id -o answers.jsonl
    """
    from hf_synthlabels.annotation import export_answers, read_codebook
    from hf_synthlabels.clients.store.export_import import export_store
    from hf_synthlabels.resources import store_path

    if recipe is not None:
        if store is not None:
            raise ConfigError("`--store` exports a whole store. Leave the recipe out.")
        loaded = read_codebook(recipe)
        _existing_path()
        exported = export_answers(loaded, output, key)
        missing = f", {exported.incomplete:,} rows lack an answer" if exported.incomplete else ""
        print(f"written: {output}, the answers of {exported.rows:,} rows{missing}")
        print(f"To replay the run: annotator: {exported.annotator()}")
        return
    if key is not None:
        raise ConfigError("`--key` is a column of a recipe's rows. Name the recipe, or leave it out.")
    result = export_store(store or store_path(), output)
    print(f"written: {output}, {result.answers:,} answers, {result.ledger:,} ledger entries")
    if result.damaged:
        print(f"left out: {result.damaged:,} damaged answers")
    _print_list("the file is damaged, so answers may be missing:", result.faults)
    if any(fault.startswith("table runs") for fault in result.faults):
        print("The ledger cannot be read completely: earlier spending may be missing from budgets.")


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="File written by `cache export`.")],
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the store's answer where it differs; otherwise the import fails.")
    ] = False,
) -> None:
    """Import exported answers into the store. Importing twice has no effect.

    Example: hf-synthlabels cache import answers.jsonl
    """
    from hf_synthlabels.clients import ResponseStore
    from hf_synthlabels.clients.store.export_import import import_answers
    from hf_synthlabels.resources import store_path

    with ResponseStore(store_path()) as store:
        result = import_answers(store, file, keep=keep)
    kept = f", {result.kept:,} different ones were kept" if result.kept else ""
    print(f"{result.new:,} new answers, {result.known:,} already stored{kept}")
    if result.ledger:
        print(f"{result.ledger:,} new ledger entries")


@app.command()
def prune(
    recipe: Annotated[str | None, typer.Argument(help="Only answers used by this recipe's rows.")] = None,
    older_than: Annotated[str | None, typer.Option(help="Minimum age: 12h, 30d, 8w, 1y.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model, as named by the server.")] = None,
    damaged: Annotated[bool, typer.Option("--damaged", help="Only answers with a wrong checksum.")] = False,
    reset_budget: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Remove the runs of this recipe from the ledger, so that its budget starts again."
        ),
    ] = None,
    release_reservations: Annotated[
        bool, typer.Option("--release-reservations", help="Return what killed runs had reserved to their budgets.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Apply the changes; by default they are only counted.")] = False,
) -> None:
    """Remove answers from the store, or runs and reservations from its ledger. Changes nothing without --yes.

    Example: hf-synthlabels cache prune --older-than 1y --yes
    """
    older_than_s = None if older_than is None else _seconds(older_than)
    if reset_budget is not None and release_reservations:
        raise ConfigError("`--reset-budget` cannot be combined with `--release-reservations`.")
    if (reset_budget is not None or release_reservations) and (recipe is not None or damaged):
        raise ConfigError(
            "`--reset-budget` and `--release-reservations` apply to runs; a recipe and `--damaged` select answers."
        )
    if release_reservations and model is not None:
        raise ConfigError("`--release-reservations` applies to all models. Leave `--model` out.")
    if release_reservations:
        _release(older_than_s, yes=yes)
    elif reset_budget is not None:
        _reset(reset_budget, older_than_s, model, yes=yes)
    else:
        _remove(recipe, older_than_s, model, damaged=damaged, yes=yes)


def _existing_path() -> Path:
    from hf_synthlabels.clients.store.sqlite_file import missing_store
    from hf_synthlabels.resources import store_path

    path = store_path()
    if not path.is_file():
        raise missing_store(path)
    return path


def _open_store() -> ResponseStore:
    """Open the response store; unlike a run, a command does not create it."""
    from hf_synthlabels.clients import ResponseStore

    return ResponseStore(_existing_path())


def _format_line(line: LedgerLine) -> list[str]:
    """A line of the ledger, followed by what is uncertain."""
    cost = "price unknown" if line.usd is None else f"{line.usd:,.4f} USD"
    if line.usd is not None and line.unpriced_requests:
        cost += f" and {line.unpriced_requests:,} requests of unknown price"
    cached = f" ({line.cached_tokens:,} cached)" if line.cached_tokens else ""
    lines = [
        f"{line.scope}, {line.model}: {_count(line.runs, 'run')}, {_count(line.requests, 'request')}, "
        f"{line.prompt_tokens:,} input tokens{cached}, {line.completion_tokens:,} output tokens, {cost}"
    ]
    if line.uncertain_requests:
        count = _count(line.uncertain_requests, "request")
        lines.append(f"  {count} sent without an answer, possibly billed: {_max_cost(line.uncertain_usd)}")
    if line.killed_runs:
        lines.append(
            f"  {_count(line.killed_runs, 'killed run')} with {_count(line.reserved_requests, 'reserved request')}, "
            f"possibly billed: {_max_cost(line.reserved_usd)}"
        )
    if line.running_runs:
        lines.append(f"  {_count(line.running_runs, 'run')} running, waiting for a batch, or on another machine")
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _max_cost(usd: float) -> str:
    """An upper bound of a cost; without a price, no money is reserved."""
    return f"at most {usd:,.4f} USD" if usd else "price unknown"


def _print_list(description: str, items: list[str] | tuple[str, ...]) -> None:
    for item in items[:MAX_LISTED]:
        print(f"  {description} {item}")
    if len(items) > MAX_LISTED:
        print(f"  and {len(items) - MAX_LISTED:,} more")


def _seconds(age: str) -> float:
    match = AGE.fullmatch(age.strip())
    if match is None:
        raise ConfigError(f"`--older-than` is {age!r}. Give a number of hours, days, weeks or years: 12h, 30d, 8w, 1y.")
    return float(match[1]) * HOURS[match[2]] * 3600


def _remove(recipe: str | None, older_than_s: float | None, model: str | None, *, damaged: bool, yes: bool) -> None:
    from hf_synthlabels.annotation import read_recipe
    from hf_synthlabels.annotation.replay import stored_keys
    from hf_synthlabels.clients.store.administration import answer_keys, compact, remove_answers

    with _open_store() as store:
        keys = None
        if older_than_s is not None or model is not None or damaged:
            keys = answer_keys(store, older_than_s=older_than_s, model=model, damaged=damaged)
        if recipe is not None:
            used = stored_keys(read_recipe(recipe), store)
            keys = used if keys is None else sorted(set(keys) & set(used))
        if keys is None:
            raise DataError("`prune` needs a condition: a recipe, `--older-than`, `--model` or `--damaged`.")
        if yes:
            remove_answers(store, keys)
        path = store.path
    print(f"{_count(len(keys), 'answer')} {_removed(yes)}")
    if yes and keys and not compact(path):
        print("Another process has the store open; the freed space is reused for new answers.")


def _reset(scope: str, older_than_s: float | None, model: str | None, *, yes: bool) -> None:
    from hf_synthlabels.clients.store.administration import reset_budget

    with _open_store() as store:
        runs = reset_budget(store, scope, older_than_s=older_than_s, model=model, dry_run=not yes)
    print(f"{_count(runs, 'run')} of {scope} {_removed(yes)} from the ledger")


def _release(older_than_s: float | None, *, yes: bool) -> None:
    from hf_synthlabels.clients.store.administration import release_reservations

    with _open_store() as store:
        lines = release_reservations(store, older_than_s=older_than_s, dry_run=not yes)
    for line in lines:
        print(
            f"{line.scope}, {line.model}: {_count(line.killed_runs, 'killed run')}, "
            f"{_count(line.reserved_requests, 'reserved request')}, {line.reserved_usd:,.4f} USD reserved"
        )
    if not lines:
        print("no reservations of killed runs")
    else:
        print("released" if yes else "not released; use --yes once the bill shows that they were not spent")


def _removed(yes: bool) -> str:
    return "removed" if yes else "would be removed (use --yes)"
