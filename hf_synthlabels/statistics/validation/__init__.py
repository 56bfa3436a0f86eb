"""Validation of label columns against human labels, and gates."""
