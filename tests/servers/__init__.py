"""Loopback servers for tests: chat completions, batches, and the base that the Hub and others share."""
