"""Agreement among raters, and the alternative-annotator test."""
