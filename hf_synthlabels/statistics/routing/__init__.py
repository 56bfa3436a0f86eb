"""Routing: which LLM labels may be kept, so that a target holds with a stated probability."""
