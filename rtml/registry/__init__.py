"""Versions of models: what serves, since when, why, made of what."""
