"""Order of the verbs: their headings in `hf-synthlabels --help`, and the command that follows each."""

from __future__ import annotations

import shlex
import sys
from typing import Any

from typer.core import TyperGroup

GROUPS = {
    "Label": ("plan", "stability", "annotate", "batches", "cache"),
    "Validate and estimate": ("sample-size", "sample", "review", "import-labels", "validate", "route", "estimate"),
    "Judge answers": ("judge",),
    "Train and compare": ("train", "predict", "export", "study", "report"),
    "Publish": ("push", "pull"),
    "First steps": ("demo", "version"),
}
"""Verbs by heading; any other verb is listed under `More`."""

MORE = "More"
MAX_HELP = 400
"""Maximum length of a verb's summary in characters; lines are wrapped."""


class VerbsByPurpose(TyperGroup):
    """Group whose help lists verbs under headings."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each heading with its verbs."""
        known = {verb for verbs in GROUPS.values() for verb in verbs}
        rest = tuple(verb for verb in self.list_commands(ctx) if verb not in known)
        for heading, verbs in {**GROUPS, MORE: rest}.items():
            commands = [(verb, self.get_command(ctx, verb)) for verb in verbs]
            lines = [(verb, command.get_short_help_str(MAX_HELP)) for verb, command in commands if command is not None]
            if lines:
                with formatter.section(heading):
                    formatter.write_dl(lines)


SAMPLE_ROWS = 250
"""Rows for human annotation that the next command draws."""

NEXT = {
    "demo": "plan {recipe}",
    "plan": "annotate {recipe} -o {output}",
    "stability --plan": "stability {recipe}",
    "annotate": "sample {data} -n {rows} -o {output}",
    "annotate with human labels": "validate {data}",
    "sample-size": "sample {data} -n {rows} --design {design} -o {output}",
    "sample": "review {data}",
    "review": "review export {data} -o {output}",
    "review export": "validate {data}",
    "review export --as sheet": "import-labels {data} {sheet} -o {output}",
    "review export --as argilla": "review import {data} {answers} --from argilla",
    "review export --as label-studio": "review import {data} {answers} --from label-studio",
    "import-labels": "validate {data}",
    "validate": "estimate {data}",
    "validate continue": "review {data}",
    "route": "route {data} --rest {rest}",
    "route --rest": "review {rest} --all",
    "route nothing": "sample {data} -n {rows} -o {output}",
    "estimate": "train minilm --data {data} --label {label}",
    "estimate --variants": "estimate {data}",
    "train": "push model {student} {repo} --license unknown --llm-terms unknown --dry-run",
    "train --grid": "train minilm --data {data}",
    "predict": "sample {data} -n {rows} -o {output}",
    "export": "push model {student} {repo} --license unknown --llm-terms unknown --dry-run",
    "judge": "sample {data} -n {rows} -o {output}",
    "judge --plan": "judge {file} -o {output}",
    "study": "push report {results} {repo} --license unknown --dry-run",
    "study --plan": "study {file} -o {output}",
    "report": "push report {results} {repo} --license unknown --dry-run",
    "push": "pull {repo}",
    "push --dry-run": "",
    "pull dataset": "validate {data}",
    "pull model": "predict {student} texts.csv -o predicted.csv",
    "version": "demo",
}
"""The command that follows each verb, without the name of the program; options of the columns are added to it."""


def show_next(verb: str, *options: str, **values: object) -> None:
    """Print the command that follows a verb, as one line on standard error.

    Args:
        verb: key of `NEXT`.
        *options: further options of the command.
        **values: paths and numbers of this run for the names in braces.
    """
    words = [word.format(**values) for word in NEXT[verb].split()]
    print(f"Next: hf-synthlabels {shlex.join([*words, *options])}", file=sys.stderr)
