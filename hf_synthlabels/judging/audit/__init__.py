"""Audit of a metric: CAT, CIT and TFA, with baselines and biases."""
