"""Segments: what a comparison is cut by, and what may be said of all of them at once."""

import math

import pytest

from rtml.core.segments import Segment, checked, sentence, settled


def test_a_segment_is_of_a_feature_and_has_a_name_of_its_own():
    with pytest.raises(ValueError, match="segment 'none' needs low < high, got 3 and 3"):
        Segment("none", "x", 3, 3)
    with pytest.raises(LookupError, match="segment 'new' is of no feature 'payments'; there are: amount"):
        checked([Segment("new", "payments")], ("amount",))
    with pytest.raises(ValueError, match="two segments are called 'new'"):
        checked([Segment("new", "x"), Segment("new", "x", 1)], ("x",))
    assert not Segment("all", "x").holds(("x",), [math.nan]) and Segment("all", "x").holds(("x",), [-1e300])


def test_each_side_of_each_segment_is_held_to_its_part_of_the_errors():
    one = math.log(2 / 0.05)
    assert settled({"a": (one, 0.0)}) == {"a": "worse"} and settled({"a": (one, 0.0), "b": (0.0, 0.0)}) == {}
    assert settled({"a": (0.0, math.log(80)), "b": (0.0, 0.0)}) == {"a": "better"} and settled({}) == {}


def test_what_contradicts_the_whole_is_said_first():
    assert sentence("better", {"a": "better", "b": "worse"}) == "better overall, worse for b, better for a"
