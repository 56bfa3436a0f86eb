"""A training that Ctrl-C stopped: the same command goes on from its checkpoint."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset

from hf_synthlabels.training.config import StudentConfig

FILE = "interrupted.json"
VARYING = ("resume_from_checkpoint", "logging_dir", "run_name")


@dataclass(slots=True)
class Interrupted:
    """The note about it in the output folder; a run with other options or rows begins again."""

    folder: Path
    digest: str
    checkpoints: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, config: StudentConfig, rows: Dataset) -> Interrupted:
        """Read the note of an earlier run with these options and rows, if there is one."""
        options = {key: value for key, value in config.to_dict().items() if key not in VARYING}
        digest = hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode())
        columns = [name for name in (config.label_column, *config.text_columns) if name in rows.column_names]
        for column in columns:
            digest.update(json.dumps(rows[column][:], default=str).encode())
        note = cls(Path(config.output_dir or "student"), digest.hexdigest())
        try:
            known: dict[str, Any] = json.loads((note.folder / FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return note
        if known.get("digest") == note.digest:
            note.checkpoints = [name for name in known.get("checkpoints", ()) if (note.folder / name).is_dir()]
        return note

    def keep(self, checkpoint: str) -> None:
        """Note a checkpoint that was written because of Ctrl-C."""
        self.checkpoints = [*self.checkpoints, checkpoint]
        self.folder.mkdir(parents=True, exist_ok=True)
        note = {"digest": self.digest, "checkpoints": self.checkpoints}
        (self.folder / FILE).write_text(json.dumps(note) + "\n", encoding="utf-8")

    def forget(self) -> None:
        """Remove the note and its checkpoints, once the training has come to its end."""
        (self.folder / FILE).unlink(missing_ok=True)
        for name in self.checkpoints:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self.checkpoints = []
