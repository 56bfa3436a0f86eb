"""Label with an LLM, prove the labels, train a small model on them; for the Hugging Face ecosystem.

Importing this package registers the builder `load_dataset("hf_synthlabels", data_files="recipe.yaml")`.
"""

from pathlib import Path

from hf_synthlabels.annotation import annotate, load, plan, provenance, recipe_path, register_builder
from hf_synthlabels.errors import ConfigError, SynthLabelsError
from hf_synthlabels.statistics import Gate, ValidationReport, validate
from hf_synthlabels.verbosity import get_verbosity, set_verbosity

__all__ = [
    "Gate",
    "SynthLabelsError",
    "ValidationReport",
    "__version__",
    "annotate",
    "get_verbosity",
    "load",
    "metric_path",
    "plan",
    "provenance",
    "recipe_path",
    "set_verbosity",
    "validate",
]

__version__ = "0.1.0"


def metric_path(name: str) -> str:
    """The folder of a metric that comes with the package, for `evaluate.load`.

    Raises:
        ConfigError: there is no metric of that name.
    """
    package = Path(__file__).resolve().parent
    # In a wheel the metrics are inside the package, in a checkout beside it.
    folders = [package / "metrics", package.parent / "metrics"]
    for folder in folders:
        if (folder / name / f"{name}.py").is_file():
            return str(folder / name)
    known = sorted(
        {file.parent.name for folder in folders for file in folder.glob("*/*.py") if file.stem == file.parent.name}
    )
    raise ConfigError(f"`metric` {name!r} does not come with this package. Choose one of: {', '.join(known)}.")


register_builder()
