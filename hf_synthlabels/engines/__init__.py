"""The same annotation on many machines."""

from hf_synthlabels.engines.ray_engine import annotate_with_ray
from hf_synthlabels.engines.result import Sharded
from hf_synthlabels.engines.sharing import share

__all__ = ["Sharded", "annotate_with_ray", "share"]
