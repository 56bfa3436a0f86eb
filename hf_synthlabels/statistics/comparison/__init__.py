"""Comparison of conditions on the same rows, and over tasks."""
