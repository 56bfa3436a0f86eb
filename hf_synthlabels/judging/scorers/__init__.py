"""Scorers that judges are compared with."""
