"""Web server of the review page."""
