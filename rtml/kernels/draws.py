"""Draws that need no state but their number: SplitMix64 (Steele, Lea and Flood, 2014)."""

from __future__ import annotations

import numpy as np

from rtml.kernels.declared import part

GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


@part
def mixed(z):
    """A whole number whose bits all depend on all those of ``z``."""
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))
