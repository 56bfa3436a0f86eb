"""Students of a study and their training."""
