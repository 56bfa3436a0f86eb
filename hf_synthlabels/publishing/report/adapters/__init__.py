"""Pages of the reports that the package computes."""
