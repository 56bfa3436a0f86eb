"""Smoke test of an installed package: import it, show the help, and plan a packaged recipe, without a network."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Run the commands in an empty folder, so that no checkout is imported by accident."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data" / "conference_titles" / "conference_titles.jsonl"
        data.parent.mkdir(parents=True)
        row = {"text": "Query processing in streams", "label": "VLDB", "raw:gpt-3.5-turbo": "VLDB"}
        data.write_text(json.dumps(row) + "\n", encoding="utf-8")
        environment = os.environ | {"HF_SYNTHLABELS_DATA": str(Path(folder) / "data"), "HF_HUB_OFFLINE": "1"}
        for command in (
            [sys.executable, "-c", "import hf_synthlabels; print(hf_synthlabels.__file__)"],
            ["hf-synthlabels", "--help"],
            ["hf-synthlabels", "plan", "conference_titles"],
        ):
            print("$", *command, flush=True)
            subprocess.run(command, cwd=folder, env=environment, check=True, timeout=300)


if __name__ == "__main__":
    main()
