"""Exchange of labels with Argilla, Label Studio and files."""
