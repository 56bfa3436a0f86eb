"""Worst-case and best-case bounds of estimates when labels are missing."""
