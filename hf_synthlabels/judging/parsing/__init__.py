"""From a judge's reply to a score."""
