"""What leaves the machine: tables, reports with figures, and all of it to the Hub and back."""

from hf_synthlabels.publishing.hub.commit import HubFile, HubUpload, PushResult, push
from hf_synthlabels.publishing.hub.dataset import DatasetCardFields, dataset_upload
from hf_synthlabels.publishing.hub.model import ModelWords, model_upload, push_student, save_student_facts
from hf_synthlabels.publishing.hub.pull import PullResult, pull
from hf_synthlabels.publishing.hub.space import metric_parcel, report_parcel
from hf_synthlabels.publishing.hub.student_push import StudentPublisher
from hf_synthlabels.publishing.label_import import Merged, check_sheet, merge_labels
from hf_synthlabels.publishing.labeled_data import (
    Labelled,
    annotation_summary,
    has_labels,
    label_options,
    missing_reasons,
    open_labelled,
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
    EARLIER,
    Earlier,
    labelling_sheet,
    sample_rows,
    spelling_warning,
    write_sampled,
)

__all__ = [
    "EARLIER",
    "DatasetCardFields",
    "Earlier",
    "HubFile",
    "HubUpload",
    "Labelled",
    "Merged",
    "ModelWords",
    "Page",
    "PullResult",
    "PushResult",
    "Report",
    "StudentPublisher",
    "annotation_summary",
    "check_sheet",
    "dataset_upload",
    "has_labels",
    "label_options",
    "labelling_sheet",
    "merge_labels",
    "metric_parcel",
    "missing_reasons",
    "model_upload",
    "open_labelled",
    "page_of",
    "pull",
    "push",
    "push_student",
    "read_report",
    "record_summary",
    "render_markdown",
    "render_page",
    "report_parcel",
    "sample_rows",
    "save_student_facts",
    "scale_schema",
    "spelling_warning",
    "write_page",
    "write_report",
    "write_sampled",
]
