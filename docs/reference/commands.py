"""A hook of the site: what every verb says of itself stands on the page of the command line."""

from __future__ import annotations

import sys
from typing import Any

import typer

from hf_synthlabels.cli.help import GROUPS
from hf_synthlabels.cli.main import app

MARK = "<!-- verbs -->"
PAGE = "reference/command_line.md"


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Put the verbs where the page has the mark."""
    return markdown.replace(MARK, verbs()) if page.file.src_uri == PAGE else markdown


def verbs() -> str:
    """The help of every verb, by purpose, as Markdown."""
    command: Any = typer.main.get_command(app)
    top = command.make_context("hf-synthlabels", [], resilient_parsing=True)
    parts = []
    for heading, names in GROUPS.items():
        parts.append(f"## {heading}\n")
        for name in names:
            verb = command.get_command(top, name)
            if verb is not None:
                parts += sections(verb, f"hf-synthlabels {name}")
    return "\n".join(parts)


def sections(verb: Any, path: str) -> list[str]:
    """A heading and the help of a verb, then those of the verbs below it."""
    # Without a parent its usage would not name the program; the width is that of a page.
    context = verb.make_context(path, [], resilient_parsing=True, max_content_width=96, terminal_width=96)
    found = [f"### {path.removeprefix('hf-synthlabels ')}\n", "```text", verb.get_help(context).rstrip(), "```\n"]
    for name, below in sorted(getattr(verb, "commands", {}).items()):
        found += sections(below, f"{path} {name}")
    return found


if __name__ == "__main__":
    sys.stdout.write(verbs())
