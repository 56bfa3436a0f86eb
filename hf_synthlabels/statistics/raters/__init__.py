"""Several human labels per row: reliability, rater models, and the LLM against the raters."""
