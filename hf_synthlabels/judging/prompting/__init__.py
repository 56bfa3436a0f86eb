"""Prompts of judges: conversations, few-shot examples, and the requests about an item."""
