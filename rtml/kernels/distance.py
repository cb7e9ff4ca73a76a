"""Sliding windows against a frozen reference: PSI, Jensen-Shannon and Kolmogorov-Smirnov, column by column.

``head`` holds the rows seen and the alarms not yet taken; a ring is overwritten at the row's place modulo its length.
A score is taken every so many rows; a column that raised an alarm is armed again below half its limit.
"""

from __future__ import annotations

import math

import numpy as np
from numba import boolean, float64, int64, uint8, void

from rtml.kernels.declared import MATRIX, PLACES, TABLE, VECTOR, kernel, part

PSI, JENSEN_SHANNON = 0, 1

_codes = uint8[:, ::1]
_wholes = int64[:, ::1]
_flags = boolean[::1]


@kernel(void, TABLE, TABLE, _codes)
def encode(X, edges, codes):
    """Number of the bin of every value: how many of its column's edges are not above it."""
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            code = 0
            while code < edges.shape[1] and edges[j, code] <= X[i, j]:
                code += 1
            codes[i, j] = code


@kernel(float64, VECTOR, VECTOR, int64)
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


@kernel(void, _wholes, VECTOR, int64, int64, VECTOR)
def _shares(counts, q, j, n, p):
    """Shares of a window's bins, half a value added to each that the column has."""
    bins = 0
    for b in range(len(q)):
        bins += q[b] > 0.0
    for b in range(len(q)):
        p[b] = (counts[j, b] + 0.5) / (n + 0.5 * bins) if q[b] > 0.0 else 0.0


@part
def _judged(i, j, score, limits, armed, found, far, raised):
    """Raise an alarm of row i and column j where its score is above the limit; return how many there are."""
    if armed[j] and score > limits[j]:
        found[raised, 0] = i
        found[raised, 1] = j
        far[raised] = score
        armed[j] = False
        return raised + 1
    if score < 0.5 * limits[j]:
        armed[j] = True
    return raised


@kernel(int64, _codes, MATRIX, _codes, _wholes, PLACES, int64, int64, VECTOR, _flags, VECTOR, _wholes, VECTOR)
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
            raised = _judged(i, j, score[j], limits, armed, found, far, raised)
    return raised


@kernel(float64, VECTOR, VECTOR)
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


@kernel(int64, TABLE, MATRIX, MATRIX, PLACES, int64, VECTOR, _flags, VECTOR, _wholes, VECTOR)
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
            raised = _judged(i, j, score[j], limits, armed, found, far, raised)
    return raised


@kernel(void, _codes, MATRIX, MATRIX)
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
