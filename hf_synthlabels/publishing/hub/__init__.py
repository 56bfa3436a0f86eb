"""Data sets, models and Spaces on the Hugging Face Hub."""
