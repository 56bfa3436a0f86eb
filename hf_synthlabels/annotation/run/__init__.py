"""One run over the rows: requests, progress, statistics and early stopping."""
