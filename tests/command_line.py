"""The command line in the process of the tests."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

NEXT = "Next: hf-synthlabels "

Run = Callable[..., tuple[int, str, str]]
"""Runs `hf-synthlabels` with these arguments: exit status, standard output, standard error."""


def command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *verb: str, with_next: bool = False
) -> Run:
    """The command line, or one verb of it; standard error is without the line that names the next command."""
    from hf_synthlabels.cli.main import main

    # Wide enough that no line of a help is broken.
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["hf-synthlabels", *verb, *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        code = end.value.code
        if not with_next:
            err = "".join(line for line in err.splitlines(keepends=True) if not line.startswith(NEXT))
        return (code if isinstance(code, int) else int(code is not None)), out, err

    return run


def output(result: tuple[int, str, str]) -> str:
    """What a successful command printed."""
    assert result[0] == 0, result
    return result[1]


def error_line(result: tuple[int, str, str]) -> str:
    """The one line of a command that was refused with exit status 2."""
    code, _, err = result
    assert (code, err.count("\n"), err.startswith("hf-synthlabels: ")) == (2, 1, True), result
    return err
