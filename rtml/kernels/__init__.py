"""Compiled transition functions: arrays in, arrays out."""

from rtml.kernels import cache

cache.install()
