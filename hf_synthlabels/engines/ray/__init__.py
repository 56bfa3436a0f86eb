"""Annotation, studies and grids on a Ray cluster."""
