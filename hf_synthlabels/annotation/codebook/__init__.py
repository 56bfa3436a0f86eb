"""Codebooks: several variables of a row, coded in one request or in several."""
