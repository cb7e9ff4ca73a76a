"""Plots by subject, drawn in one style: what :mod:`rtml.figures` gives on."""
