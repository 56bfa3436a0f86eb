"""Comparisons on one task, each with its own report."""
