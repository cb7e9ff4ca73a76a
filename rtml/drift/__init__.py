"""Detectors of drift, how well they detect, and the memory of concepts that come back."""
