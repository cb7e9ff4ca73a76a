"""Sliding windows against a frozen reference: PSI, Jensen-Shannon and Kolmogorov-Smirnov, column by column.

``head`` holds the rows seen and the alarms not yet taken; a ring is overwritten at the row's place modulo its length.
A score is taken every so many rows; a column that raised an alarm is armed again below half its limit.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from rtml.kernels.cache import njit

PSI, JENSEN_SHANNON = 0, 1

_table = types.Array(types.float64, 2, "C", readonly=True)
_matrix = types.Array(types.float64, 2, "C")
_vector = types.Array(types.float64, 1, "C")
_codes = types.Array(types.uint8, 2, "C")
_whole = types.Array(types.int64, 1, "C")
_wholes = types.Array(types.int64, 2, "C")
_flags = types.Array(types.boolean, 1, "C")
_options = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(types.void(_table, _table, _codes), **_options)
def encode(X, edges, codes):
    """Number of the bin of every value: how many of its column's edges are not above it."""
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            code = 0
            while code < edges.shape[1] and edges[j, code] <= X[i, j]:
                code += 1
            codes[i, j] = code


@njit(types.float64(_vector, _vector, types.int64), **_options)
def apart(p, q, measure):
    """How far two rows of shares, none of them zero, are apart."""
    total = 0.0
    for b in range(len(p)):
        if q[b] == 0.0:  # a bin that this column does not have
            continue
        if measure == PSI:
            total += (p[b] - q[b]) * math.log(p[b] / q[b])
        else:
            m = 0.5 * (p[b] + q[b])
            total += 0.5 * (p[b] * math.log2(p[b] / m) + q[b] * math.log2(q[b] / m))
    return total if measure == PSI else math.sqrt(max(total, 0.0))


@njit(types.void(_wholes, _vector, types.int64, types.int64, _vector), **_options)
def _shares(counts, q, j, n, p):
    """Shares of a window's bins, half a value added to each that the column has."""
    bins = 0
    for b in range(len(q)):
        bins += q[b] > 0.0
    for b in range(len(q)):
        p[b] = (counts[j, b] + 0.5) / (n + 0.5 * bins) if q[b] > 0.0 else 0.0


@njit(
    types.int64(
        _codes, _matrix, _codes, _wholes, _whole, types.int64, types.int64, _vector, _flags, _vector, _wholes, _vector
    ),
    **_options,
)
def slide_bins(codes, reference, ring, counts, head, every, measure, limits, armed, score, found, far):
    """Push bins of rows through the ring; write row, column and distance of every alarm; return how many."""
    n, d = ring.shape
    p, raised = np.empty(reference.shape[1]), 0
    for i in range(codes.shape[0]):
        place = head[0] % n
        for j in range(d):
            if head[0] >= n:
                counts[j, ring[place, j]] -= 1
            ring[place, j] = codes[i, j]
            counts[j, codes[i, j]] += 1
        head[0] += 1
        if head[0] < n or head[0] % every != 0:
            continue
        for j in range(d):
            _shares(counts, reference[j], j, n, p)
            score[j] = apart(p, reference[j], measure)
            if armed[j] and score[j] > limits[j]:
                found[raised, 0] = i
                found[raised, 1] = j
                far[raised] = score[j]
                raised += 1
                armed[j] = False
            elif score[j] < 0.5 * limits[j]:
                armed[j] = True
    return raised


@njit(types.float64(_vector, _vector), **_options)
def kolmogorov_smirnov(a, b):
    """Largest distance of the distribution functions of two sorted samples."""
    i = 0
    j = 0
    most = 0.0
    while i < len(a) and j < len(b):
        value = min(a[i], b[j])
        while i < len(a) and a[i] == value:
            i += 1
        while j < len(b) and b[j] == value:
            j += 1
        most = max(most, abs(i / len(a) - j / len(b)))
    return most


@njit(
    types.int64(_table, _matrix, _matrix, _whole, types.int64, _vector, _flags, _vector, _wholes, _vector), **_options
)
def slide_values(X, reference, ring, head, every, limits, armed, score, found, far):
    """The same of the values themselves; ``reference`` and ``ring`` have one row per column, the reference sorted."""
    d, n = ring.shape
    raised = 0
    for i in range(X.shape[0]):
        for j in range(d):
            ring[j, head[0] % n] = X[i, j]
        head[0] += 1
        if head[0] < n or head[0] % every != 0:
            continue
        for j in range(d):
            score[j] = kolmogorov_smirnov(np.sort(ring[j]), reference[j])
            if armed[j] and score[j] > limits[j]:
                found[raised, 0] = i
                found[raised, 1] = j
                far[raised] = score[j]
                raised += 1
                armed[j] = False
            elif score[j] < 0.5 * limits[j]:
                armed[j] = True
    return raised


@njit(types.void(_codes, _matrix, _matrix), **_options)
def correlations(codes, scores, out):
    """Correlation of every two columns (below the diagonal), each taken as ``scores[column, bin]``; 0 of a constant."""
    n, d = codes.shape
    z, mean = np.empty((n, d)), np.zeros(d)
    for i in range(n):
        for j in range(d):
            z[i, j] = scores[j, codes[i, j]]
            mean[j] += z[i, j]
    out[:] = 0.0
    for i in range(n):
        for j in range(d):
            z[i, j] -= mean[j] / n
            for k in range(j + 1):
                out[j, k] += z[i, j] * z[i, k]
    for j in range(d):
        for k in range(j):
            spread = math.sqrt(out[j, j] * out[k, k])
            out[j, k] = out[j, k] / spread if spread > 0.0 else 0.0
    for j in range(d):
        out[j, j] = 0.0
