"""Behavioral checks of a recipe: how an annotator treats the codebook, without human labels."""
