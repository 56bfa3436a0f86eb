"""Client of provider batch APIs, with a journal that survives crashes."""
