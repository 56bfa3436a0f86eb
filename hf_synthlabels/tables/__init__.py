"""Tables as files: one reader for every verb, writers that never leave half a file."""

from hf_synthlabels.tables.atomic import atomic_path, write_text
from hf_synthlabels.tables.beside import provenance_path, read_records, write_records
from hf_synthlabels.tables.formats import READABLE, WRITABLE, ReadOptions, is_table, table_format
from hf_synthlabels.tables.loading import RowSource, load_rows, local_files, source_state
from hf_synthlabels.tables.reading import read_table
from hf_synthlabels.tables.records import embed_records, extract_records
from hf_synthlabels.tables.replacing import NewTable, check_overwrite, label_text
from hf_synthlabels.tables.sheets import (
    DIGEST_COLUMN,
    SHEET_SUFFIXES,
    read_sheet,
    row_digest,
    same_texts,
    text_columns,
    write_sheet,
)
from hf_synthlabels.tables.writing import (
    TableWriter,
    check_output,
    open_writer,
    write_table,
)

__all__ = [
    "DIGEST_COLUMN",
    "READABLE",
    "SHEET_SUFFIXES",
    "WRITABLE",
    "NewTable",
    "ReadOptions",
    "RowSource",
    "TableWriter",
    "atomic_path",
    "check_output",
    "check_overwrite",
    "embed_records",
    "extract_records",
    "is_table",
    "label_text",
    "load_rows",
    "local_files",
    "open_writer",
    "provenance_path",
    "read_records",
    "read_sheet",
    "read_table",
    "row_digest",
    "same_texts",
    "source_state",
    "table_format",
    "text_columns",
    "write_records",
    "write_sheet",
    "write_table",
    "write_text",
]
