"""Groups of options of `StudentConfig`."""
