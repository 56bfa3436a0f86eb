"""Workflows run with few rights, and no action can change under them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_only_publishing_has_rights(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    workflow: dict[str, Any] = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    rights = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    assert rights == ({"publish": {"id-token": "write"}} if path.stem == "release" else {})
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())
    uses = re.findall(r"uses: *(.*)", text)
    assert uses
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in uses)


def test_hooks_of_other_repositories_are_pinned() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    revisions = [entry["rev"] for entry in config["repos"] if entry["repo"] != "local"]
    assert revisions
    assert all(re.fullmatch(r"[0-9a-f]{40}", revision) for revision in revisions)


def test_the_workflows_name_files_that_exist() -> None:
    files = [ROOT / "Makefile", ROOT / ".ci" / "run", *WORKFLOWS]
    named = {path for file in files for path in re.findall(r"(?<![\w/])(?:tests|benchmarks)/[\w/.]+", file.read_text())}
    assert named
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
