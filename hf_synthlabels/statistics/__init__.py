"""Agreement of labels with human ones, and how sure it is: pure functions of arrays, on numpy and scipy only."""

from hf_synthlabels.statistics.agreement.answers import answer_agreement, normalise_answer, text_agreement, token_f1
from hf_synthlabels.statistics.agreement.breakdown import Breakdown, KindAgreement
from hf_synthlabels.statistics.agreement.classification import Agreement, ClassAgreement, agreement
from hf_synthlabels.statistics.agreement.confusion import ConfusionMatrix, confusion_counts
from hf_synthlabels.statistics.agreement.entities import entity_agreement
from hf_synthlabels.statistics.agreement.multilabel import multilabel_agreement
from hf_synthlabels.statistics.agreement.scale import scale_agreement
from hf_synthlabels.statistics.agreement.scores import (
    METRICS,
    Metric,
    accuracy,
    accuracy_answered,
    coverage,
    f1,
    kappa,
    macro_f1,
    precision,
    recall,
    score,
    support,
    weighted_f1,
)
from hf_synthlabels.statistics.clustered_bootstrap import cluster_bootstrap, cluster_draws
from hf_synthlabels.statistics.comparison.change_points import (
    PhaseTest,
    change_point_brackets,
    change_points,
    gain_p_value,
    phase_test,
)
from hf_synthlabels.statistics.comparison.condition_bootstrap import (
    ConditionBootstrap,
    ConditionScore,
    PairedScore,
    RowFeatures,
    ScoreDraws,
)
from hf_synthlabels.statistics.comparison.conditions import (
    ConditionComparison,
    ConditionMetric,
    compare_conditions,
    seed_scores,
)
from hf_synthlabels.statistics.comparison.noninferiority import (
    NonInferiority,
    Resolution,
    non_inferiority,
    resolution,
    rows_to_resolve,
)
from hf_synthlabels.statistics.comparison.paired import McNemar, mcnemar, mean_difference
from hf_synthlabels.statistics.comparison.pooling import (
    MIN_TASKS,
    PooledTasks,
    drawn_p_value,
    holm,
    normal_p_value,
    pool_tasks,
)
from hf_synthlabels.statistics.comparison.power_law import LabelWorth, PowerLaw, fit_power_law, label_worth
from hf_synthlabels.statistics.correction.calibration import (
    Affine,
    Calibration,
    CalibrationKind,
    CrossFit,
    Isotonic,
    cross_fit,
    fit_affine,
    fit_isotonic,
)
from hf_synthlabels.statistics.correction.ppi import FEW_LABELS, PPIMethod, ppi_difference, ppi_mean
from hf_synthlabels.statistics.correction.ppi_estimate import PPIEstimate
from hf_synthlabels.statistics.correction.rogan_gladen import RoganGladen, rogan_gladen
from hf_synthlabels.statistics.design.human_sample import DESIGNS, Allocation, Design, HumanSample, draw_sample
from hf_synthlabels.statistics.design.power import rows_to_fail, rows_to_pass, scaled_rows_to_fail, scaled_rows_to_pass
from hf_synthlabels.statistics.design.precision_power import LabelPlan, labels_for_mean, labels_for_share, plan_labels
from hf_synthlabels.statistics.design.sample_plan import PlannedDesign, SamplePlan, plan_gate, plan_sample
from hf_synthlabels.statistics.design.sampled_rows import PROBABILITY
from hf_synthlabels.statistics.design.score_plan import plan_score
from hf_synthlabels.statistics.design.small_samples import bounded_mean
from hf_synthlabels.statistics.estimation.estimate import estimate
from hf_synthlabels.statistics.estimation.estimates import EstimateReport, QuantityEstimate
from hf_synthlabels.statistics.estimation.inference import Inference
from hf_synthlabels.statistics.estimation.questions import (
    valid_difference,
    valid_f1,
    valid_mean,
    valid_prevalence,
    valid_regression,
)
from hf_synthlabels.statistics.intervals import Interval, bootstrap, wilson, wilson_f1
from hf_synthlabels.statistics.label_ids import MISSING, encode
from hf_synthlabels.statistics.raters.alt_test import AltTest, AnnotatorTest, alternative_annotator_test
from hf_synthlabels.statistics.raters.chance_corrected import (
    KappaWeights,
    Scale,
    cohen_kappa,
    gwet_ac1,
    gwet_ac2,
    krippendorff_alpha,
    scott_pi,
)
from hf_synthlabels.statistics.raters.icc import (
    ICCKind,
    VarianceComponents,
    icc,
    icc_bootstrap,
    icc_interval,
    variance_components,
)
from hf_synthlabels.statistics.raters.judge_agreement import judge_agreement
from hf_synthlabels.statistics.row_bootstrap import BootstrapConfig
from hf_synthlabels.statistics.validation.gate import Gate, GateVerdict, Verdict
from hf_synthlabels.statistics.validation.measures import ERRORS, MEASURES
from hf_synthlabels.statistics.validation.report import ValidationReport
from hf_synthlabels.statistics.validation.row_scores import CREDITS, row_credits
from hf_synthlabels.statistics.validation.validate import validate

__all__ = [
    "CREDITS",
    "DESIGNS",
    "ERRORS",
    "FEW_LABELS",
    "MEASURES",
    "METRICS",
    "MIN_TASKS",
    "MISSING",
    "PROBABILITY",
    "Affine",
    "Agreement",
    "Allocation",
    "AltTest",
    "AnnotatorTest",
    "BootstrapConfig",
    "Breakdown",
    "Calibration",
    "CalibrationKind",
    "ClassAgreement",
    "ConditionBootstrap",
    "ConditionComparison",
    "ConditionMetric",
    "ConditionScore",
    "ConfusionMatrix",
    "CrossFit",
    "Design",
    "EstimateReport",
    "Gate",
    "GateVerdict",
    "HumanSample",
    "ICCKind",
    "Inference",
    "Interval",
    "Isotonic",
    "KappaWeights",
    "KindAgreement",
    "LabelPlan",
    "LabelWorth",
    "McNemar",
    "Metric",
    "NonInferiority",
    "PPIEstimate",
    "PPIMethod",
    "PairedScore",
    "PhaseTest",
    "PlannedDesign",
    "PooledTasks",
    "PowerLaw",
    "QuantityEstimate",
    "Resolution",
    "RoganGladen",
    "RowFeatures",
    "SamplePlan",
    "Scale",
    "ScoreDraws",
    "ValidationReport",
    "VarianceComponents",
    "Verdict",
    "accuracy",
    "accuracy_answered",
    "agreement",
    "alternative_annotator_test",
    "answer_agreement",
    "bootstrap",
    "bounded_mean",
    "change_point_brackets",
    "change_points",
    "cluster_bootstrap",
    "cluster_draws",
    "cohen_kappa",
    "compare_conditions",
    "confusion_counts",
    "coverage",
    "cross_fit",
    "draw_sample",
    "drawn_p_value",
    "encode",
    "entity_agreement",
    "estimate",
    "f1",
    "fit_affine",
    "fit_isotonic",
    "fit_power_law",
    "gain_p_value",
    "gwet_ac1",
    "gwet_ac2",
    "holm",
    "icc",
    "icc_bootstrap",
    "icc_interval",
    "judge_agreement",
    "kappa",
    "krippendorff_alpha",
    "label_worth",
    "labels_for_mean",
    "labels_for_share",
    "macro_f1",
    "mcnemar",
    "mean_difference",
    "multilabel_agreement",
    "non_inferiority",
    "normal_p_value",
    "normalise_answer",
    "phase_test",
    "plan_gate",
    "plan_labels",
    "plan_sample",
    "plan_score",
    "pool_tasks",
    "ppi_difference",
    "ppi_mean",
    "precision",
    "recall",
    "resolution",
    "rogan_gladen",
    "row_credits",
    "rows_to_fail",
    "rows_to_pass",
    "rows_to_resolve",
    "scale_agreement",
    "scaled_rows_to_fail",
    "scaled_rows_to_pass",
    "score",
    "scott_pi",
    "seed_scores",
    "support",
    "text_agreement",
    "token_f1",
    "valid_difference",
    "valid_f1",
    "valid_mean",
    "valid_prevalence",
    "valid_regression",
    "validate",
    "variance_components",
    "weighted_f1",
    "wilson",
    "wilson_f1",
]
