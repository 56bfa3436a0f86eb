"""Few-shot examples in a JSON Lines file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hf_synthlabels.annotation.recipe.task import Example, Task
from hf_synthlabels.errors import RecipeError


def examples_in_file(path: Path, task: Task) -> list[Example]:
    """The examples in a file: `{"text": ..., "label": ...}` per line, or rows of the data with their human labels.

    Raises:
        RecipeError: the file cannot be read, or a line is not an example.
    """
    try:
        # Not splitlines(): a JSON text may hold line separators such as U+2028 as they are.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise RecipeError(f"`annotator.examples` {str(path)!r} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise RecipeError(f"`annotator.examples` {str(path)!r} is not UTF-8 text. Give a JSON Lines file.") from None
    examples = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            examples.append(Example.model_validate(_example_of_row(json.loads(line), task)))
        except ValueError:
            raise RecipeError(
                f"`annotator.examples` {path.name!r}, line {number}: expected "
                f'{{"text": ..., "label": ...}}, got {line[:60]!r}.'
            ) from None
    return examples


def _example_of_row(content: Any, task: Task) -> Any:
    """A line that is a row of the data as an example with its human label; other lines are returned unchanged."""
    is_row = isinstance(content, dict) and "row" not in content and all(column in content for column in task.columns)
    if not is_row:
        return content
    human = content.get(task.human) if task.human else None
    if human is None and task.columns == ["text"]:
        return content
    # A row may have a column `label` with something else.
    label = content.get("label") if human is None else human
    further = {key: content[key] for key in ("reasoning", "answers") if key in content}
    return {"row": {column: content[column] for column in task.columns}, "label": label, **further}
