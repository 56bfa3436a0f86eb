"""Where labels come from: transition matrices, soft labels, human rows among LLM ones, rows to label again.

The files are imported by their own names, because the configuration reads one of them before the others can be.
"""
