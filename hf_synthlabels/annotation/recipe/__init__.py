"""The recipe file: its keys, its source of rows, and how it is read."""
