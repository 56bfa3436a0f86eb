"""Labeled tables, samples for human annotation, reports, and the Hub."""

from hf_synthlabels.publishing.hub.annotated_data import AnnotatedData
from hf_synthlabels.publishing.hub.commit import PushResult, push
from hf_synthlabels.publishing.hub.dataset import dataset_upload
from hf_synthlabels.publishing.hub.model import model_upload, push_student
from hf_synthlabels.publishing.hub.pull import PullResult, pull
from hf_synthlabels.publishing.hub.space import metric_upload, report_upload
from hf_synthlabels.publishing.hub.student_push import StudentPublisher
from hf_synthlabels.publishing.hub.upload import HubUpload
from hf_synthlabels.publishing.label_import import import_labels
from hf_synthlabels.publishing.labeled_data import LabeledData, open_labeled
from hf_synthlabels.publishing.report import Page, Report, read_report, render_page, write_page, write_report
from hf_synthlabels.publishing.sampled_data import annotation_sheet, sample_rows, write_sampled

__all__ = [
    "AnnotatedData",
    "HubUpload",
    "LabeledData",
    "Page",
    "PullResult",
    "PushResult",
    "Report",
    "StudentPublisher",
    "annotation_sheet",
    "dataset_upload",
    "import_labels",
    "metric_upload",
    "model_upload",
    "open_labeled",
    "pull",
    "push",
    "push_student",
    "read_report",
    "render_page",
    "report_upload",
    "sample_rows",
    "write_page",
    "write_report",
    "write_sampled",
]
