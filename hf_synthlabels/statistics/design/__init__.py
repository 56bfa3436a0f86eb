"""Sampling designs, inclusion probabilities and sample sizes."""
