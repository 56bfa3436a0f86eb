"""What leaves the machine: tables, reports with figures, and all of it to the Hub and back."""

from hf_synthlabels.publishing.hub.commit import HubFile, HubUpload, PushResult, push
from hf_synthlabels.publishing.hub.dataset import DatasetCardFields, dataset_upload
from hf_synthlabels.publishing.hub.model import ModelCardFields, model_upload, push_student, save_student_facts
from hf_synthlabels.publishing.hub.pull import PullResult, pull
from hf_synthlabels.publishing.hub.space import metric_upload, report_upload
from hf_synthlabels.publishing.hub.student_push import StudentPublisher
from hf_synthlabels.publishing.label_import import ImportedLabels, check_sheet, import_labels
from hf_synthlabels.publishing.labeled_data import (
    LabeledData,
    annotation_summary,
    has_labels,
    label_options,
    missing_reasons,
    open_labeled,
    record_summary,
    scale_schema,
)
from hf_synthlabels.publishing.report import (
    Page,
    Report,
    page_of,
    read_report,
    render_markdown,
    render_page,
    write_page,
    write_report,
)
from hf_synthlabels.publishing.sampled_data import (
    EXISTING_LABELS,
    ExistingLabels,
    annotation_sheet,
    sample_rows,
    spelling_warning,
    write_sampled,
)

__all__ = [
    "EXISTING_LABELS",
    "DatasetCardFields",
    "ExistingLabels",
    "HubFile",
    "HubUpload",
    "ImportedLabels",
    "LabeledData",
    "ModelCardFields",
    "Page",
    "PullResult",
    "PushResult",
    "Report",
    "StudentPublisher",
    "annotation_sheet",
    "annotation_summary",
    "check_sheet",
    "dataset_upload",
    "has_labels",
    "import_labels",
    "label_options",
    "metric_upload",
    "missing_reasons",
    "model_upload",
    "open_labeled",
    "page_of",
    "pull",
    "push",
    "push_student",
    "read_report",
    "record_summary",
    "render_markdown",
    "render_page",
    "report_upload",
    "sample_rows",
    "save_student_facts",
    "scale_schema",
    "spelling_warning",
    "write_page",
    "write_report",
    "write_sampled",
]
