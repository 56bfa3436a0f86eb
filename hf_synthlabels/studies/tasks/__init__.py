"""Tasks of a study: rows, recipes and label sources."""
