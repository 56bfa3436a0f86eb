"""Scores of students during and after training."""
