"""Rubrics with several criteria: their definition, overall score and columns."""
