"""The same annotation and the same grids on many machines."""

from hf_synthlabels.engines.ray_engine import annotate_with_ray
from hf_synthlabels.engines.result import Sharded
from hf_synthlabels.engines.sharing import share
from hf_synthlabels.engines.tuner import tuner_on

__all__ = ["Sharded", "annotate_with_ray", "share", "tuner_on"]
