"""Trainer callbacks: cost, progress, interruption and losses that are not finite."""
