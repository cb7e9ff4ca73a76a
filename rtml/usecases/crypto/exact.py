"""Sums that do not depend on order: fixed point over many digits, so that addition never rounds."""

from __future__ import annotations

import numba
import numpy as np

DIGITS = 12  # of 32 bits each
_LOWEST = -192  # power of two of the lowest digit; less is cut off, of each term alike
_BITS = 32
_MASK = (1 << _BITS) - 1
_SCALE = 2.0 ** (_LOWEST + _BITS * np.arange(DIGITS + 1.0))  # of each digit, and of what is carried beyond them
_LARGEST = 2.0 ** (_BITS * (DIGITS - 2) + _LOWEST)  # 2**128; the digits above it take up 2**31 carries


@numba.njit(inline="always")
def add(digits, x):
    """Add a number to a sum of shape ``(DIGITS,)``, int64, zeros at first; one beyond 2**128 counts as 2**128.

    Examples
    --------
    >>> import numpy as np
    >>> digits = np.zeros(DIGITS, np.int64)
    >>> for x in (1e16, 1.0, -1e16):
    ...     add(digits, x)
    >>> total(digits), 1e16 + 1.0 - 1e16
    (1.0, 0.0)
    """
    bits = np.float64(min(max(x, -_LARGEST), _LARGEST)).view(np.int64)
    power = (bits >> 52) & 0x7FF
    mantissa = (bits & 0xFFFFFFFFFFFFF) | (np.int64(power != 0) << 52)
    mantissa, place = -mantissa if bits < 0 else mantissa, max(power, 1) - 1075 - _LOWEST
    if place < 0:
        mantissa, place = mantissa >> min(-place, 63), 0
    j, shift = place >> 5, place & 31
    low, high = (mantissa & _MASK) << shift, (mantissa >> _BITS) << shift
    digits[j] += low & _MASK
    digits[j + 1] += (low >> _BITS) + (high & _MASK)
    digits[j + 2] += high >> _BITS


@numba.njit(inline="always")
def total(digits):
    """The sum as a float, to its last place but one, and the same for the same terms in any order.

    Examples
    --------
    >>> import numpy as np
    >>> digits = np.zeros(DIGITS, np.int64)
    >>> for x in (0.3, 0.2, 0.1):
    ...     add(digits, x)
    >>> total(digits), 0.1 + 0.2 + 0.3
    (0.6, 0.6000000000000001)
    """
    carry = 0
    for j in range(DIGITS):
        whole = digits[j] + carry
        digits[j] = whole & _MASK
        carry = whole >> _BITS
    sign = 1.0
    if carry < 0:  # digits of the complement: those of its negative
        sign, borrow = -1.0, 1
        carry = -carry - 1
        for j in range(DIGITS):
            whole = _MASK - digits[j] + borrow
            digits[j] = whole & _MASK
            borrow = whole >> _BITS
        carry += borrow
    low, high, value = 0, DIGITS - 1, float(carry)
    while low < DIGITS and digits[low] == 0:
        low += 1
    while carry == 0 and high > low and digits[high] == 0:
        high -= 1
    for j in range(high, low - 1, -1):
        value = value * 4294967296.0 + digits[j]
    digits[:] = 0
    return sign * (value * _SCALE[low])
