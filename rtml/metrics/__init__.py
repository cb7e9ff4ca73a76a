"""Metrics: running, windowed and for rare classes, with intervals that hold at any time."""
