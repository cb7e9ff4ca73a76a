"""Drift detectors and the distances they stand on."""
