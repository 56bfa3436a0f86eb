"""Parsers from model answers to labels."""
