"""Plots by subject, drawn in one style: what :mod:`rtml.plots.figures` gives on."""
