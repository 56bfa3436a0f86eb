"""Annotation of data sets with an LLM: recipes, prompts, the annotator and the `datasets` builder."""

from hf_synthlabels.annotation.api import annotate, load
from hf_synthlabels.annotation.codebook.codebook import Codebook
from hf_synthlabels.annotation.compiled import AnnotationJob
from hf_synthlabels.annotation.compiler import compile_recipe, compile_variable, read_codebook, read_recipe, recipe_path
from hf_synthlabels.annotation.output import annotate_to_files
from hf_synthlabels.annotation.planning.plan import plan
from hf_synthlabels.annotation.planning.plan_report import Plan
from hf_synthlabels.annotation.prompting.examples import ExampleSelection
from hf_synthlabels.annotation.prompting.prompt import Prompt
from hf_synthlabels.annotation.prompting.strategies import Strategy
from hf_synthlabels.annotation.provenance import provenance
from hf_synthlabels.annotation.recipe.annotator_config import AnnotatorConfig
from hf_synthlabels.annotation.recipe.example import Example
from hf_synthlabels.annotation.recipe.recipe import Recipe
from hf_synthlabels.annotation.recipe.source import load_source
from hf_synthlabels.annotation.recipe.source_config import Source
from hf_synthlabels.annotation.recipe.task import Task
from hf_synthlabels.annotation.replay import export_answers
from hf_synthlabels.annotation.run.annotator import Annotator
from hf_synthlabels.annotation.run.run_stats import RunStats

__all__ = [
    "AnnotationJob",
    "Annotator",
    "AnnotatorConfig",
    "Codebook",
    "Example",
    "ExampleSelection",
    "Plan",
    "Prompt",
    "Recipe",
    "RunStats",
    "Source",
    "Strategy",
    "Task",
    "annotate",
    "annotate_to_files",
    "compile_recipe",
    "compile_variable",
    "export_answers",
    "load",
    "load_source",
    "plan",
    "provenance",
    "read_codebook",
    "read_recipe",
    "recipe_path",
]
