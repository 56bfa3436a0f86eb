"""From rows to batches."""
