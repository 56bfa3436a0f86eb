"""Annotation, studies and grids on the machines of a Ray cluster."""

from hf_synthlabels.engines.ray.engine import annotate_with_ray
from hf_synthlabels.engines.ray.job_files import Sharded
from hf_synthlabels.engines.ray.training_jobs import jobs_on, tuner_on

__all__ = ["Sharded", "annotate_with_ray", "jobs_on", "tuner_on"]
