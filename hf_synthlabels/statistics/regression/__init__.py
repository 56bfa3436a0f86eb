"""Regressions by formula, with LLM labels on either side."""
