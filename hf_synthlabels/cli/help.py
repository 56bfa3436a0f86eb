"""The verbs of the command line in the order of the work, as `hf-synthlabels --help` shows them."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

GROUPS = {
    "Label": ("plan", "annotate", "batches", "cache"),
    "Prove and estimate": ("validate", "sample", "merge", "review", "estimate"),
    "Judge answers": ("judge",),
    "Train and compare": ("train", "predict", "export", "study", "report"),
    "Publish": ("push", "pull"),
    "First steps": ("demo", "version"),
}
"""By purpose the verbs; one that stands nowhere here is shown under `More`."""

MORE = "More"
LONGEST = 400
"""Characters of a verb's first sentence; lines are wrapped."""


class VerbsByPurpose(TyperGroup):
    """A group whose help has a heading for each purpose."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the headings with their verbs."""
        known = {verb for verbs in GROUPS.values() for verb in verbs}
        rest = tuple(verb for verb in self.list_commands(ctx) if verb not in known)
        for heading, verbs in {**GROUPS, MORE: rest}.items():
            found = [(verb, self.get_command(ctx, verb)) for verb in verbs]
            lines = [(verb, command.get_short_help_str(LONGEST)) for verb, command in found if command is not None]
            if lines:
                with formatter.section(heading):
                    formatter.write_dl(lines)
