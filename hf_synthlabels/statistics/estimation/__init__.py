"""Estimates from LLM labels, corrected with human labels (PPI++ and DSL)."""
