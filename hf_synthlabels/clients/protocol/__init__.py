"""The chat completions protocol: request bodies, replies, errors and headers."""
