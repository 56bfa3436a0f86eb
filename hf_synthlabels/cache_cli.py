"""The command line of the response store: `hf-synthlabels cache ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hf_synthlabels.errors import DataError

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="What was answered and paid for, and how to keep it."
)

SECONDS_PER_DAY = 86_400.0


@app.command()
def stats() -> None:
    """Show what the store holds, and what was spent on which recipe and model.

    Example: hf-synthlabels cache stats
    """
    from hf_synthlabels.annotation import store_path
    from hf_synthlabels.clients import ResponseStore
    from hf_synthlabels.clients.maintenance import ledger, size

    with ResponseStore(store_path()) as store:
        held, lines = size(store), ledger(store)
    each = f", {held.bytes / held.answers:,.0f} bytes each" if held.answers else ""
    print(f"{store.path}: {held.answers:,} answers, {held.bytes / 1e6:,.1f} MB{each}")
    for line in lines:
        money = "price unknown" if line.usd is None else f"{line.usd:,.4f} USD"
        print(
            f"{line.scope}, {line.model}: {line.runs} runs, {line.requests:,} requests, "
            f"{line.prompt_tokens:,} tokens in, {line.completion_tokens:,} out, {money}"
        )
        if line.uncertain_requests:
            print(
                f"  sent and never answered: {line.uncertain_requests:,} requests, billed perhaps, "
                f"{line.uncertain_usd:,.4f} USD at most"
            )
        if line.unsettled_requests:
            print(
                f"  reserved by runs that were killed, or go on: at most {line.unsettled_requests:,} requests may have "
                f"been billed and lost, {line.unsettled_usd:,.4f} USD at most"
            )


@app.command()
def verify() -> None:
    """Check every stored answer and the file itself; changes nothing. Exits with status 1 when something is wrong.

    Example: hf-synthlabels cache verify
    """
    from hf_synthlabels.annotation import store_path
    from hf_synthlabels.clients.maintenance import verify as check

    found = check(store_path())
    print(f"{store_path()}: {found.answers:,} answers read, {len(found.damaged):,} of them damaged")
    for key in found.damaged[:10]:
        print(f"  damaged: request {key[:16]}; it counts as absent and is asked again")
    for fault in found.faults[:10]:
        print(f"  the file: {fault}")
    if found.faults:
        print("Save what reads with `hf-synthlabels cache export -o answers.jsonl`, move the file away, and import it.")
    if not found.is_whole:
        raise typer.Exit(1)


@app.command()
def export(
    output: Annotated[Path, typer.Option("-o", "--output", help="A .jsonl file.")],
    recipe: Annotated[str | None, typer.Argument(help="Only the answers of this recipe, row by row.")] = None,
    key: Annotated[str | None, typer.Option(help="With a recipe: the column that tells rows apart.")] = None,
) -> None:
    """Write answers to a file: all, or a recipe's in the form from which `client: recorded` repeats its run.

    Example: hf-synthlabels cache export recipe.yaml --key id -o answers.jsonl
    """
    from hf_synthlabels.annotation import export_answers, read_recipe, store_path
    from hf_synthlabels.clients.maintenance import dump

    if recipe is None:
        print(f"written: {output}, {dump(store_path(), output):,} answers")
        return
    if key is None:
        raise DataError("`--key` is missing: name the column that tells the recipe's rows apart.")
    written, missing = export_answers(read_recipe(recipe), key, output)
    print(f"written: {output}, {written:,} answers; {missing:,} are not in the store")
    print(f"To repeat the run: `teacher: {{client: recorded, file: {output.name}, key: {key}}}`")


@app.command(name="import")
def import_(file: Annotated[Path, typer.Argument(help="A file that `cache export` wrote.")]) -> None:
    """Put exported answers into the store.

    Example: hf-synthlabels cache import answers.jsonl
    """
    from hf_synthlabels.annotation import store_path
    from hf_synthlabels.clients import ResponseStore
    from hf_synthlabels.clients.maintenance import restore

    with ResponseStore(store_path()) as store:
        new, known = restore(store, file)
    print(f"{new:,} answers are new, {known:,} were there already")


@app.command()
def prune(
    older_than: Annotated[float | None, typer.Option(help="Answers that are older than so many days.")] = None,
    model: Annotated[str | None, typer.Option(help="Answers of this model version only.")] = None,
    unsettled: Annotated[
        bool, typer.Option("--unsettled", help="Give back what killed runs had reserved; only when none goes on.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this it is only counted.")] = False,
) -> None:
    """Take answers out of the store. Without --yes nothing is changed.

    Example: hf-synthlabels cache prune --older-than 365
    """
    from hf_synthlabels.annotation import store_path
    from hf_synthlabels.clients import ResponseStore
    from hf_synthlabels.clients.maintenance import prune as take_out

    older_than_s = None if older_than is None else older_than * SECONDS_PER_DAY
    with ResponseStore(store_path()) as store:
        answers, runs = take_out(store, older_than_s=older_than_s, model=model, unsettled=unsettled, dry_run=not yes)
    verb = "removed" if yes else "would be removed (say --yes)"
    print(f"{answers:,} answers {verb}" + (f", {runs:,} runs settled" if unsettled else ""))


@app.command()
def probes(
    forget: Annotated[
        str | None, typer.Option(help="Forget the probe of this base_url, so that it is made anew.")
    ] = None,
) -> None:
    """Show which form of answers each endpoint was found to know.

    Example: hf-synthlabels cache probes
    """
    from hf_synthlabels.annotation import store_path
    from hf_synthlabels.clients import ResponseStore

    with ResponseStore(store_path()) as store:
        if forget is not None:
            store.execute("DELETE FROM probes WHERE base_url = ?", (forget.rstrip("/"),))
        for base_url, model, form, note in store.select("SELECT base_url, model, response_format, note FROM probes"):
            print(f"{base_url} {model}: {form} ({note})")
