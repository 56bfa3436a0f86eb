"""Label with an LLM, validate the labels, train a small model on them; for the Hugging Face ecosystem.

Importing this package registers the builder `load_dataset("hf_synthlabels", data_files="recipe.yaml")`.
"""

from hf_synthlabels.annotation import annotate, load, plan, provenance, recipe_path, register_builder
from hf_synthlabels.errors import SynthLabelsError
from hf_synthlabels.resources import metric_path
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


register_builder()
