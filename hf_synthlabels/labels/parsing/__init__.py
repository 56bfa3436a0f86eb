"""From an answer to a label of the schema."""
