"""The same annotation, the same grids and the same studies on many machines."""

from hf_synthlabels.engines.ray.engine import annotate_with_ray
from hf_synthlabels.engines.ray.job_result import Sharded
from hf_synthlabels.engines.ray.study_jobs import jobs_on
from hf_synthlabels.engines.ray.tuner import tuner_on

__all__ = ["Sharded", "annotate_with_ray", "jobs_on", "tuner_on"]
