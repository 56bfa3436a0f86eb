"""Students and checkpoints on disk."""
