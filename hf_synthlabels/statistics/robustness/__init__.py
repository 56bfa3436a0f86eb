"""Robustness: whether labels and conclusions survive another prompt, model, label order or sample."""
