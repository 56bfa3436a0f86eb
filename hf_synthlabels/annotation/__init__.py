"""A task and a client become label columns: recipe, prompt, annotator, and the `datasets` builder."""

from hf_synthlabels.annotation.annotate import annotate, load, read_recipe, recipe_path
from hf_synthlabels.annotation.annotator import Annotator
from hf_synthlabels.annotation.engine import Engine
from hf_synthlabels.annotation.output import Written, annotate_to_files
from hf_synthlabels.annotation.places import home, store_path
from hf_synthlabels.annotation.plan import Plan, plan
from hf_synthlabels.annotation.prompt import Prompt
from hf_synthlabels.annotation.provenance import provenance
from hf_synthlabels.annotation.recipe import DATA_VARIABLE, Output, Recipe, Source
from hf_synthlabels.annotation.registration import register_builder
from hf_synthlabels.annotation.replay import Replay, export_answers, stored_keys
from hf_synthlabels.annotation.selection import ExampleSelection
from hf_synthlabels.annotation.source import load_source
from hf_synthlabels.annotation.strategy import Strategy
from hf_synthlabels.annotation.strict_yaml import StrictModel, read_yaml, validated
from hf_synthlabels.annotation.tally import Tally
from hf_synthlabels.annotation.task import Example, Task
from hf_synthlabels.annotation.teacher import Price, Teacher

__all__ = [
    "DATA_VARIABLE",
    "Annotator",
    "Engine",
    "Example",
    "ExampleSelection",
    "Output",
    "Plan",
    "Price",
    "Prompt",
    "Recipe",
    "Replay",
    "Source",
    "Strategy",
    "StrictModel",
    "Tally",
    "Task",
    "Teacher",
    "Written",
    "annotate",
    "annotate_to_files",
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
