"""The command line of the response store: `hf-synthlabels cache ...`."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hf_synthlabels.errors import ConfigError, DataError, StoreError

if TYPE_CHECKING:
    from hf_synthlabels.clients import ResponseStore
    from hf_synthlabels.clients.store.administration import LedgerLine

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="What was answered and paid for, and how to keep it.\n\nExample: hf-synthlabels cache stats",
)

SHOWN = 10
"""Lines of a kind that are shown of many."""

AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([hdwy]?)")
HOURS = {"h": 1, "": 24, "d": 24, "w": 24 * 7, "y": 24 * 365}


@app.command()
def stats(
    by_day: Annotated[bool, typer.Option("--by-day", help="Each day by itself.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what the store holds, and what was spent on which recipe and model.

    Example: hf-synthlabels cache stats --by-day
    """
    from hf_synthlabels.clients.store.administration import ledger, size

    with _store() as store:
        held, lines = size(store), ledger(store, by_day=by_day)
        path = store.path
    if as_json:
        content = {"path": str(path), **asdict(held), "ledger": [asdict(line) for line in lines]}
        print(json.dumps(content, indent=1, ensure_ascii=False))
        return
    each = f", {held.bytes / held.answers:,.0f} bytes each" if held.answers else ""
    print(f"{path}: {held.answers:,} answers, {held.bytes / 1e6:,.1f} MB{each}")
    for line in lines:
        print("\n".join(_told(line)))


@app.command()
def verify() -> None:
    """Check every stored answer and the file itself; changes nothing. Exits with status 1 when something is wrong.

    Example: hf-synthlabels cache verify
    """
    from hf_synthlabels.annotation import store_path
    from hf_synthlabels.clients.store.administration import verify as check

    path = store_path()
    found = check(path)
    print(f"{path}: {found.answers:,} answers read, {len(found.damaged):,} of them damaged")
    _list("a damaged answer counts as absent and is asked again: request", [key[:16] for key in found.damaged])
    _list("the file:", found.faults)
    if found.faults:
        print("To save what reads: hf-synthlabels cache export -o saved.jsonl")
        print(f"then move {path.name} and {path.name}-wal away, and: hf-synthlabels cache import saved.jsonl")
    if not found.is_whole:
        raise typer.Exit(1)


@app.command()
def export(
    output: Annotated[Path, typer.Option("-o", "--output", help="A .jsonl file.")],
    recipe: Annotated[str | None, typer.Argument(help="Only the answers of this recipe, row by row.")] = None,
    key: Annotated[
        str | None, typer.Option(help="With a recipe: the column that tells rows apart; without it, their text.")
    ] = None,
) -> None:
    """Write answers to a file: all, or a recipe's in the form from which `client: recorded` repeats its run.

    Example: hf-synthlabels cache export recipe.yaml --key id -o answers.jsonl
    """
    from hf_synthlabels.annotation import export_answers, read_recipe, store_path
    from hf_synthlabels.clients.store.export_import import export_store

    if recipe is not None:
        wanted = read_recipe(recipe)
        _existing()
        made = export_answers(wanted, output, key)
        lacking = f", {made.incomplete:,} rows lack an answer" if made.incomplete else ""
        print(f"written: {output}, the answers of {made.rows:,} rows{lacking}")
        print(f"To repeat the run: annotator: {made.annotator()}")
        return
    if key is not None:
        raise ConfigError("`--key` is a column of a recipe's rows. Name the recipe, or leave it out.")
    saved = export_store(store_path(), output)
    print(f"written: {output}, {saved.answers:,} answers, {saved.ledger:,} entries of the ledger")
    if saved.damaged:
        print(f"left out: {saved.damaged:,} damaged answers")
    _list("the file is torn, so answers may be missing:", saved.faults)
    if any(fault.startswith("table runs") for fault in saved.faults):
        print("The ledger can not be read in full: what was spent so far may be missing from budgets.")


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="A file that `cache export` wrote.")],
    keep: Annotated[
        bool, typer.Option("--keep", help="Where the store has another answer, keep it; otherwise nothing is imported.")
    ] = False,
) -> None:
    """Put exported answers into the store; a second time does nothing.

    Example: hf-synthlabels cache import answers.jsonl
    """
    from hf_synthlabels.annotation import store_path
    from hf_synthlabels.clients import ResponseStore
    from hf_synthlabels.clients.store.export_import import import_answers

    with ResponseStore(store_path()) as store:
        done = import_answers(store, file, keep=keep)
    kept = f", {done.kept:,} others were kept" if done.kept else ""
    print(f"{done.new:,} answers are new, {done.known:,} were there already{kept}")
    if done.ledger:
        print(f"{done.ledger:,} entries of the ledger are new")


@app.command()
def prune(
    recipe: Annotated[str | None, typer.Argument(help="Only answers that this recipe's rows use.")] = None,
    older_than: Annotated[str | None, typer.Option(help="Only what is older: 12h, 30d, 8w, 1y.")] = None,
    model: Annotated[str | None, typer.Option(help="Only of this model, as the server calls it.")] = None,
    damaged: Annotated[bool, typer.Option("--damaged", help="Only answers whose checksum does not hold.")] = False,
    scope: Annotated[
        str | None, typer.Option(help="No answers, but the runs of this recipe's name: its budget begins anew.")
    ] = None,
    unsettled: Annotated[
        bool, typer.Option("--unsettled", help="No answers, but what killed runs had reserved goes back.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this it is only counted.")] = False,
) -> None:
    """Take answers out of the store, or runs out of its ledger. Without --yes nothing is changed.

    Example: hf-synthlabels cache prune --older-than 1y --yes
    """
    older_than_s = None if older_than is None else _seconds(older_than)
    if scope is not None and unsettled:
        raise ConfigError("`--scope` and `--unsettled` are two things to do. Say one of them.")
    if (scope is not None or unsettled) and (recipe is not None or damaged):
        raise ConfigError("`--scope` and `--unsettled` are about runs, the recipe and `--damaged` about answers.")
    if unsettled and model is not None:
        raise ConfigError("`--unsettled` is about the runs of all models. Leave `--model` out.")
    if unsettled:
        _settle(older_than_s, yes=yes)
    elif scope is not None:
        _forget(scope, older_than_s, model, yes=yes)
    else:
        _remove(recipe, older_than_s, model, damaged=damaged, yes=yes)


@app.command()
def probes(
    forget: Annotated[bool, typer.Option("--forget", help="Forget them, so that they are made anew.")] = False,
    base_url: Annotated[str | None, typer.Option(help="Only of this endpoint.")] = None,
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None,
) -> None:
    """Show which form of answers each endpoint was found to know, or forget it.

    Example: hf-synthlabels cache probes --forget --base-url http://127.0.0.1:8000/v1
    """
    conditions, values = [], []
    for column, value in (("base_url", base_url and base_url.rstrip("/")), ("model", model)):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    with _store() as store:
        found = store.select(f"SELECT base_url, model, response_format, note FROM probes{where}", values)
        if forget:
            store.execute(f"DELETE FROM probes{where}", values)
    for address, name, form, note in found:
        print(f"{'forgotten: ' if forget else ''}{address} {name}: {form} ({note})")
    if not found:
        print("no probes are recorded")


def _existing() -> Path:
    from hf_synthlabels.annotation import store_path

    path = store_path()
    if not path.is_file():
        raise StoreError(
            f"The response store `{path}` is not there: nothing has been asked yet, or HF_SYNTHLABELS_HOME is another "
            "folder than it was."
        )
    return path


def _store() -> ResponseStore:
    """The response store, which is not made where there is none."""
    from hf_synthlabels.clients import ResponseStore

    return ResponseStore(_existing())


def _told(line: LedgerLine) -> list[str]:
    """A line of the ledger, with what is not certain below it."""
    money = "price unknown" if line.usd is None else f"{line.usd:,.4f} USD"
    if line.usd is not None and line.unpriced_requests:
        money += f" and {line.unpriced_requests:,} requests of unknown price"
    cached = f" ({line.cached_tokens:,} cached)" if line.cached_tokens else ""
    day = "" if line.day is None else f"{line.day} "
    told = [
        f"{day}{line.scope}, {line.model}: {line.runs:,} runs, {line.requests:,} requests, "
        f"{line.prompt_tokens:,} tokens in{cached}, {line.completion_tokens:,} out, {money}"
    ]
    if line.uncertain_requests:
        told.append(
            f"  sent and never answered: {line.uncertain_requests:,} requests, perhaps billed, "
            f"{_most(line.uncertain_usd)}"
        )
    if line.killed_runs:
        told.append(
            f"  {_runs(line.killed_runs)} killed: of {line.unsettled_requests:,} requests that had been reserved some "
            f"may have been billed and lost, {_most(line.unsettled_usd)}"
        )
    if line.running_runs:
        told.append(f"  {line.running_runs:,} not ended: they go on, wait for a batch, or belong to another machine")
    return told


def _runs(count: int) -> str:
    return "1 run was" if count == 1 else f"{count:,} runs were"


def _most(usd: float) -> str:
    """The most that something can have cost; nothing is reserved in money where there is no price."""
    return f"{usd:,.4f} USD at most" if usd else "at a price that is not known"


def _list(words: str, items: list[str] | tuple[str, ...]) -> None:
    for item in items[:SHOWN]:
        print(f"  {words} {item}")
    if len(items) > SHOWN:
        print(f"  and {len(items) - SHOWN:,} more")


def _seconds(age: str) -> float:
    match = AGE.fullmatch(age.strip())
    if match is None:
        raise ConfigError(f"`--older-than` is {age!r}. Say a number of hours, days, weeks or years: 12h, 30d, 8w, 1y.")
    return float(match[1]) * HOURS[match[2]] * 3600


def _remove(recipe: str | None, older_than_s: float | None, model: str | None, *, damaged: bool, yes: bool) -> None:
    from hf_synthlabels.annotation import read_recipe, stored_keys
    from hf_synthlabels.clients.store.administration import answer_keys, compact, remove_answers

    with _store() as store:
        keys = None
        if older_than_s is not None or model is not None or damaged:
            keys = answer_keys(store, older_than_s=older_than_s, model=model, damaged=damaged)
        if recipe is not None:
            used = stored_keys(read_recipe(recipe), store)
            keys = used if keys is None else sorted(set(keys) & set(used))
        if keys is None:
            raise DataError(
                "`prune` has nothing to go by. Say which answers: a recipe, `--older-than`, `--model` or `--damaged`."
            )
        if yes:
            remove_answers(store, keys)
        path = store.path
    print(f"{len(keys):,} answers {_done(yes)}")
    if yes and keys and not compact(path):
        print("Another process has the store open; the room is used again for new answers.")


def _forget(scope: str, older_than_s: float | None, model: str | None, *, yes: bool) -> None:
    from hf_synthlabels.clients.store.administration import reset_budget

    with _store() as store:
        runs = reset_budget(store, scope, older_than_s=older_than_s, model=model, dry_run=not yes)
    print(f"{runs:,} runs of {scope} {_done(yes)} from the ledger")


def _settle(older_than_s: float | None, *, yes: bool) -> None:
    from hf_synthlabels.clients.store.administration import release_reservations

    with _store() as store:
        lines = release_reservations(store, older_than_s=older_than_s, dry_run=not yes)
    for line in lines:
        print(
            f"{line.scope}, {line.model}: {line.killed_runs:,} killed runs had reserved {line.unsettled_requests:,} "
            f"requests and {line.unsettled_usd:,.4f} USD more than they settled"
        )
    verb = "given back" if yes else "to be given back (say --yes, once the bill shows that it was not spent)"
    print(verb if lines else "nothing is reserved by killed runs")


def _done(yes: bool) -> str:
    return "removed" if yes else "would be removed (say --yes)"
