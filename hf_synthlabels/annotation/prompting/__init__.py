"""From a row to messages, and the examples and strategies that shape them."""
