"""The same annotation, the same grids and the same studies on many machines."""

from hf_synthlabels.engines.ray_engine import annotate_with_ray
from hf_synthlabels.engines.result import Sharded
from hf_synthlabels.engines.study_jobs import jobs_on
from hf_synthlabels.engines.tuner import tuner_on

__all__ = ["Sharded", "annotate_with_ray", "jobs_on", "tuner_on"]
