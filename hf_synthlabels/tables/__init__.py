"""Tables as files: one reader, atomic writers, annotation sheets and provenance."""

from hf_synthlabels.tables.atomic import atomic_path, write_text
from hf_synthlabels.tables.formats import READABLE, WRITABLE, ReadOptions, table_format
from hf_synthlabels.tables.loading import RowSource, load_rows
from hf_synthlabels.tables.overwrite import NewTable, check_overwrite, label_text
from hf_synthlabels.tables.provenance import (
    embed_records,
    extract_records,
    provenance_path,
    read_records,
    write_records,
)
from hf_synthlabels.tables.reading import read_table
from hf_synthlabels.tables.sheets import SHEET_SUFFIXES, read_sheet, write_sheet
from hf_synthlabels.tables.writing import check_output, open_writer, write_table

__all__ = [
    "READABLE",
    "SHEET_SUFFIXES",
    "WRITABLE",
    "NewTable",
    "ReadOptions",
    "RowSource",
    "atomic_path",
    "check_output",
    "check_overwrite",
    "embed_records",
    "extract_records",
    "label_text",
    "load_rows",
    "open_writer",
    "provenance_path",
    "read_records",
    "read_sheet",
    "read_table",
    "table_format",
    "write_records",
    "write_sheet",
    "write_table",
    "write_text",
]
