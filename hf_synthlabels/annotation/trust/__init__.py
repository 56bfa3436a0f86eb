"""Which downloaded recipes may send keys and files, and to which servers."""
