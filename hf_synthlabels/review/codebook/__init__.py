"""Review of a codebook: several variables per row."""
