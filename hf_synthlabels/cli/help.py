"""Order and headings of the verbs in `hf-synthlabels --help`."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

GROUPS = {
    "Label": ("plan", "annotate", "batches", "cache"),
    "Validate and estimate": ("sample-size", "sample", "review", "import-labels", "validate", "estimate"),
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
