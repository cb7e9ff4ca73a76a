"""Sums that do not depend on order, against sums of integers that have no end."""

from fractions import Fraction

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rtml.usecases.crypto import exact

SMALLEST = Fraction(1, 2**192)
LARGEST = 2.0**128


@pytest.fixture(scope="module")
def summed():
    @numba.njit
    def summed(terms):
        digits = np.zeros(exact.DIGITS, np.int64)
        for term in terms:
            exact.add(digits, term)
        return exact.total(digits), digits

    return summed


terms = st.lists(st.one_of(st.floats(allow_nan=False), st.floats(-1e4, 1e4), st.floats(-1e-50, 1e-50)), max_size=8)


@settings(max_examples=40, deadline=None)
@given(terms, st.randoms())
@example([0.1, -0.1, -5e-324, 0.0, -0.0], None)
@example([2.0**128, -(2.0**-192), 1e300], None)
def test_a_sum_is_that_of_its_terms_to_the_last_place_but_one_in_any_order(summed, given_terms, random):
    found, digits = summed(np.array(given_terms, float))
    exactly = sum(Fraction(max(min(x, LARGEST), -LARGEST)) // SMALLEST for x in given_terms)  # less is cut off
    assert abs(Fraction(found) - exactly * SMALLEST) <= Fraction(float(np.spacing(abs(found))))
    if abs(exactly).bit_length() <= 53:
        assert Fraction(found) == exactly * SMALLEST
    assert not digits.any()
    if random:
        random.shuffle(given_terms)
        assert np.float64(summed(np.array(given_terms, float))[0]).tobytes() == np.float64(found).tobytes()
