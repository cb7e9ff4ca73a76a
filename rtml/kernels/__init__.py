"""Compiled transition functions: arrays in, arrays out."""
