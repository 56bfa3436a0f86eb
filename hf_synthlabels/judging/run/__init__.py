"""Judging data sets from a judge file."""
