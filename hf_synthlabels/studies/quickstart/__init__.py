"""A study from a table alone, and what to do after it."""
