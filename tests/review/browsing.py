"""What a person does with the page in a browser, and what is looked for there."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["WAIT_MS", "Server", "faults", "press_and_wait", "row_number", "until", "until_labelled"]

SERIOUS = ("serious", "critical")
WAIT_MS = 30_000


class Server:
    """`hf-synthlabels review` as people start it."""

    def __init__(self, data: Path, *options: str, port: int = 0) -> None:
        command = [str(Path(sys.executable).parent / "hf-synthlabels"), "review", str(data)]
        self.process = subprocess.Popen(
            [*command, "--port", str(port), *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if found := re.search(r"(http://[\d.]+:(\d+)/)", line):
                self.url, self.port = found[1], int(found[2])
                return
        raise AssertionError("".join(lines))

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(timeout=20)


def faults(page: Any) -> list[str]:
    """What axe-core finds that is serious, on the page as it is now."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:160]}" for each in found if each["impact"] in SERIOUS]


def row_number(page: Any) -> int:
    return int(re.sub(r"\D", "", page.locator(".row-head h1").inner_text()))


def until(page: Any, condition: str, given: Any = None) -> None:
    """Wait for a condition; Playwright's own way is against the page's policy for scripts."""
    deadline = time.monotonic() + WAIT_MS / 1000
    while not page.evaluate(condition, given):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(30)


def until_labelled(page: Any, count: int) -> None:
    until(page, "count => document.querySelector('.stat-line b')?.innerText === String(count)", count)


def press_and_wait(page: Any, key: str) -> None:
    """A key, and then the next row."""
    before = page.locator(".row-head h1").inner_text()
    page.keyboard.press(key)
    until(
        page,
        "before => document.querySelector('.empty') || ![before, undefined].includes("
        "document.querySelector('.row-head h1')?.innerText)",
        before,
    )
