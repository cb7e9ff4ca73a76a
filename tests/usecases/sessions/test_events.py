"""A click of any id becomes an event, and every other row says why not."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtml.usecases.sessions.events import CLICKS, number_of


@given(st.one_of(st.text(min_size=1), st.integers(), st.floats(allow_nan=False), st.none()))
def test_an_id_of_any_text_is_a_number_that_a_float_holds_exactly(id):
    number = number_of(id)
    assert -1 <= number < 2**53 and int(float(number)) == number


@given(st.lists(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=8), unique=True))
def test_different_texts_have_different_numbers(texts):
    assert len({number_of(text) for text in texts}) == len(texts)


def test_a_number_is_itself_whatever_it_came_as():
    assert number_of(17) == number_of("17") == number_of(17.0) == number_of(np.int32(17)) == 17
    assert number_of("017") != 17 and number_of(-3) >= 2**52 and number_of(2**60) >= 2**52


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"time": "yesterday"}, "time is missing or not a moment"),
        ({"time": -5}, "time is out of range"),
        ({"item": None}, "item is missing"),
        ({"item": "  "}, "item is missing"),
        ({"visitor": None}, "neither a session nor a visitor is given"),
        ({"price": -1.0}, "price is negative or infinite"),
        ({"action": "refund"}, "action is not view, cart or purchase"),
    ],
)
def test_a_broken_click_is_refused_with_its_reason(change, reason):
    good = {"time": 10, "visitor": "ann", "item": "shoe", "price": None, "action": "view"}
    accepted, rejected = CLICKS.accept(pd.DataFrame([good, good | change], dtype=object))
    assert len(accepted) == 1 and rejected["reason"].tolist() == [reason] and rejected.index.tolist() == [1]


def test_only_time_item_and_a_session_are_needed():
    accepted, rejected = CLICKS.accept(pd.DataFrame({"time": [10], "session": ["a"], "item": ["x"]}))
    assert len(accepted) == 1 and not len(rejected) and accepted["visitor"][0] == -1 and np.isnan(accepted["price"][0])


def test_a_list_where_an_id_belongs_stops_nothing():
    frame = pd.DataFrame({"time": [10, 20], "visitor": [[1], {"a": 2}], "item": [{"x": 1}, [3]]})
    assert len(CLICKS.accept(frame)[0]) == 2
