"""The live loop: one process from the source to the page."""
