"""A task and a client become label columns: recipe, prompt, annotator, and the `datasets` builder."""

from hf_synthlabels.annotation.api import annotate, load
from hf_synthlabels.annotation.job import AnnotationJob, compile_recipe, read_recipe, recipe_path
from hf_synthlabels.annotation.output import Written, annotate_to_files
from hf_synthlabels.annotation.planning.plan import Plan, plan
from hf_synthlabels.annotation.planning.replay import Replay, export_answers, stored_keys
from hf_synthlabels.annotation.prompting.examples import ExampleSelection
from hf_synthlabels.annotation.prompting.prompt import Prompt
from hf_synthlabels.annotation.prompting.strategies import Strategy
from hf_synthlabels.annotation.provenance import provenance
from hf_synthlabels.annotation.recipe.annotator_config import AnnotatorConfig
from hf_synthlabels.annotation.recipe.engine_config import Engine
from hf_synthlabels.annotation.recipe.recipe import DATA_VARIABLE, Output, Recipe, Source
from hf_synthlabels.annotation.recipe.source import load_source
from hf_synthlabels.annotation.recipe.strict_yaml import read_yaml, validated
from hf_synthlabels.annotation.recipe.task import Example, Task
from hf_synthlabels.annotation.registration import register_builder
from hf_synthlabels.annotation.run.annotator import Annotator
from hf_synthlabels.annotation.run.run_stats import RunStats
from hf_synthlabels.clients.config import Price, StrictModel
from hf_synthlabels.resources import home, store_path

__all__ = [
    "DATA_VARIABLE",
    "AnnotationJob",
    "Annotator",
    "AnnotatorConfig",
    "Engine",
    "Example",
    "ExampleSelection",
    "Output",
    "Plan",
    "Price",
    "Prompt",
    "Recipe",
    "Replay",
    "RunStats",
    "Source",
    "Strategy",
    "StrictModel",
    "Task",
    "Written",
    "annotate",
    "annotate_to_files",
    "compile_recipe",
    "export_answers",
    "home",
    "load",
    "load_source",
    "plan",
    "provenance",
    "read_recipe",
    "read_yaml",
    "recipe_path",
    "register_builder",
    "store_path",
    "stored_keys",
    "validated",
]
