"""The recommendation of a study: the decision, its evidence, and its caveats."""
