"""Agreement, validation, estimation and sampling: arrays in, estimates with intervals out."""

from hf_synthlabels.statistics.agreement.alt_test import AltTest, alternative_annotator_test
from hf_synthlabels.statistics.agreement.chance_corrected import cohen_kappa, gwet_ac1, krippendorff_alpha
from hf_synthlabels.statistics.agreement.judge_agreement import judge_agreement
from hf_synthlabels.statistics.bootstrap import BootstrapConfig
from hf_synthlabels.statistics.design.human_sample import HumanSample, draw_sample
from hf_synthlabels.statistics.design.sample_plan import SamplePlan, plan_gate, plan_sample, plan_score
from hf_synthlabels.statistics.estimation.estimate import estimate
from hf_synthlabels.statistics.estimation.estimates import EstimateReport
from hf_synthlabels.statistics.estimation.label_rows import Inference
from hf_synthlabels.statistics.estimation.ppi import PPIEstimate, ppi_difference, ppi_mean
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.validation.gate import Gate, GateVerdict
from hf_synthlabels.statistics.validation.measures import MEASURES
from hf_synthlabels.statistics.validation.report import ValidationReport
from hf_synthlabels.statistics.validation.validate import validate

__all__ = [
    "MEASURES",
    "AltTest",
    "BootstrapConfig",
    "EstimateReport",
    "Gate",
    "GateVerdict",
    "HumanSample",
    "Inference",
    "Interval",
    "PPIEstimate",
    "SamplePlan",
    "ValidationReport",
    "alternative_annotator_test",
    "cohen_kappa",
    "draw_sample",
    "estimate",
    "gwet_ac1",
    "judge_agreement",
    "krippendorff_alpha",
    "plan_gate",
    "plan_sample",
    "plan_score",
    "ppi_difference",
    "ppi_mean",
    "validate",
]
