"""A joint run that is killed: at most the requests in flight are sent twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from tests.servers.chat import ChatServer

pytestmark = pytest.mark.slow

ROWS, IN_FLIGHT, VARIABLES = 600, 16, 6

PROGRAM = """
import json, sys
from datasets import Dataset
from hf_synthlabels import annotate
table = Dataset.from_list([{"text": f"text {n}"} for n in range(int(sys.argv[2]))])
annotate(table, json.loads(sys.argv[1])).to_json(sys.argv[3])
"""


def answer(body: dict[str, Any]) -> str:
    """Labels that depend on the text, so that a mix-up shows."""
    time.sleep(0.01)
    number = int(body["messages"][-1]["content"].split()[2])
    return json.dumps({f"v{place}": "ab"[(number >> place) % 2] for place in range(VARIABLES)})


def test_a_killed_joint_run_buys_at_most_what_was_in_flight(tmp_path: Path) -> None:
    environment = {**os.environ, "HF_SYNTHLABELS_HOME": str(tmp_path / "home")}
    variable = {"kind": "text-classification", "labels": ["a", "b"]}
    with ChatServer(answer) as server:
        recipe = {
            "name": "crash",
            "source": {"path": "json"},
            "task": {"variables": {f"v{place}": variable for place in range(VARIABLES)}},
            "annotator": {
                "client": "openai",
                "model": "tiny",
                "base_url": f"{server.url}/v1",
                "api_key_env": None,
                "response_format": "json_schema",
                "max_in_flight": IN_FLIGHT,
            },
        }
        output = tmp_path / "labels.jsonl"
        command = [sys.executable, "-c", PROGRAM, json.dumps(recipe), str(ROWS), str(output)]
        for kill_at in (100, 300):
            process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
            while len(server.bodies) < kill_at and process.poll() is None:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        subprocess.run(command, env=environment, check=True, capture_output=True)
        assert len(server.bodies) <= ROWS + 2 * IN_FLIGHT
    rows = load_dataset("json", data_files=str(output), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == ROWS
    for number, row in enumerate(rows):
        assert [row[f"v{place}"] for place in range(VARIABLES)] == [(number >> place) % 2 for place in range(VARIABLES)]
