"""Which answers come before which question: the one rule of every replay."""

from __future__ import annotations

from numba import int64

from rtml.kernels.declared import WHOLE, kernel


@kernel(int64, int64, WHOLE, int64, WHOLE, WHOLE, int64)
def due(t, moment, until, known, order, told):
    """How many answers of ``order`` come before question ``t``; behind the last question all that are known ``until``.

    The first ``told`` of them are learned already. An answer known at the very moment of a question comes after it.
    """
    limit = moment[t] - 1 if t < len(moment) else until
    while told < len(order) and known[order[told]] <= limit:
        told += 1
    return told
