"""Label with an LLM, validate the labels, train a small model on them; for the Hugging Face ecosystem.

Importing this package registers the builder `load_dataset("hf_synthlabels", data_files="recipe.yaml")`. Everything else
is loaded on first use, so that the import costs little more than that of `datasets`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hf_synthlabels.errors import SynthLabelsError
from hf_synthlabels.registration import register_builder
from hf_synthlabels.resources import metric_path
from hf_synthlabels.verbosity import get_verbosity, set_verbosity

if TYPE_CHECKING:
    from hf_synthlabels.annotation import annotate, load, plan, provenance, recipe_path
    from hf_synthlabels.statistics import EstimateReport, Gate, ValidationReport, estimate, validate

__all__ = [
    "EstimateReport",
    "Gate",
    "SynthLabelsError",
    "ValidationReport",
    "__version__",
    "annotate",
    "estimate",
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

_SUBPACKAGES = (
    "annotation",
    "cards",
    "clients",
    "engines",
    "judging",
    "labels",
    "publishing",
    "review",
    "statistics",
    "studies",
    "tables",
    "training",
)
_MODULES = dict.fromkeys(("annotate", "load", "plan", "provenance", "recipe_path"), "annotation") | dict.fromkeys(
    ("EstimateReport", "Gate", "ValidationReport", "estimate", "validate"), "statistics"
)


def __getattr__(name: str) -> Any:
    """Load an exported name or a subpackage on first use."""
    if name in _SUBPACKAGES:
        return import_module(f"{__name__}.{name}")
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBPACKAGES})


register_builder()
