"""Agreement of predicted labels with human labels, for each kind of label."""
