"""Training on LLM labels: an annotator's errors, a few human labels among LLM labels, and label error detection."""
