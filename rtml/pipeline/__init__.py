"""The pipeline: the notebooks of a run in sequence, each in a kernel of its own, and their report."""
