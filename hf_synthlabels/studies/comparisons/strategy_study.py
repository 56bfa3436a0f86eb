"""StrategyStudy: a file that says on which rows to compare strategies, and what carries it out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator

from hf_synthlabels.annotation import Recipe, load
from hf_synthlabels.annotation.recipe.strict_yaml import read_yaml
from hf_synthlabels.errors import DataError, StudyError
from hf_synthlabels.studies.comparisons.strategy_comparison import Progress, StrategyRows, compare_strategies
from hf_synthlabels.studies.comparisons.strategy_report import StrategyReport
from hf_synthlabels.studies.config import Study
from hf_synthlabels.studies.config_sections import DEFAULT_STUDENT, RowSelection, StudyFile
from hf_synthlabels.studies.strategies import BASELINES, STRATEGIES
from hf_synthlabels.studies.tasks.recipes import recipe_file
from hf_synthlabels.studies.tasks.rows import select_rows


class StrategyStudy(StudyFile):
    """What to do with the LLM labels of a recipe and a few human ones. A YAML file with the key `strategies`."""

    KEYS: ClassVar[str] = "`name`, `recipe`, `strategies`, `train` and `test`"

    name: str
    recipe: str
    """A recipe file, relative to the study's, or a packaged recipe's name."""
    strategies: list[str]
    """Names among `STRATEGIES`, held to the three baselines, which are always trained."""
    train: RowSelection
    test: RowSelection
    drop_shared: bool = True
    """Whether to leave out training rows whose text is also among the test rows; the report counts them."""
    human_rows: int = Field(default=250, ge=2)
    """Human labels that a student sees, sampled for each seed."""
    student: dict[str, Any] = Field(default_factory=lambda: dict(DEFAULT_STUDENT))
    """The keys of StudentConfig."""
    seeds: list[int] = Field(default=[0, 1, 2, 3, 4], min_length=2)

    @field_validator("strategies")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        known = [strategy.name for strategy in STRATEGIES]
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"names {unknown[0]!r}. There are: {', '.join(known)}.")
        return names


def run_strategies(
    study: StrategyStudy, folder: Path | None = None, *, progress: Progress | None = None
) -> StrategyReport:
    """Annotate by the recipe where that is not done yet, and compare the strategies on its rows.

    Args:
        study: what to compare.
        folder: where the journal of trained students is kept; without one an interrupted study starts over.
        progress: told each step in a line.

    Raises:
        SynthLabelsError: as its subclasses say; finished students stay in the journal.
    """
    file = recipe_file(study.recipe, study.folder)
    recipe = Recipe.from_yaml(file)
    human, llm = recipe.task.human, recipe.output.column
    if human is None:
        raise DataError("`task.human` is missing in the recipe. Name the column with the human labels.")
    splits = load(file)
    train, test = (select_rows(splits, part, name) for part, name in ((study.train, "train"), (study.test, "test")))
    asked = {*study.strategies, *(baseline.name for baseline in BASELINES)}
    chosen = [strategy for strategy in STRATEGIES if strategy.name in asked]
    extra = {
        kind: f"{llm}_{kind}" if f"{llm}_{kind}" in train.column_names else None for kind in ("probs", "confidence")
    }
    for strategy in chosen:
        if strategy.needs is not None and extra[strategy.needs] is None:
            raise DataError(
                f"`strategies` names {strategy.name!r}, which needs the column '{llm}_{strategy.needs}'. Annotate with "
                "several draws, or leave the strategy out."
            )
    rows = StrategyRows(
        names=recipe.schema_of_labels().names,
        human=human,
        llm=llm,
        text=tuple(recipe.task.columns),
        n_human=study.human_rows,
        **extra,
    )
    return compare_strategies(
        rows, train, test, student=study.student, seeds=study.seeds, strategies=chosen,
        drop_shared=study.drop_shared, folder=folder, progress=progress,
    )  # fmt: skip


def read_study(path: str | Path) -> StrategyStudy | Study:
    """Read a study file of any kind.

    One with `strategies` and no `tasks` compares ways to learn from LLM and human labels, and any other trains every
    cell of a product.

    Raises:
        StudyError: the file is not there, is not YAML, or a key is missing, unknown or wrong.
    """
    content = read_yaml(Path(path), "study", StudyError)
    keys = content if isinstance(content, dict) else {}
    if "strategies" in keys and "tasks" not in keys:
        return StrategyStudy.from_yaml(path)
    return Study.from_yaml(path)
