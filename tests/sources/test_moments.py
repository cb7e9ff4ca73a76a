"""Columns that are read at once are read as those that are looked at cell by cell."""

import re

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from rtml.sources.moments import plain_integers, read_moments, texts
from rtml.sources.table import Unreadable

NOW = 1_735_689_600 * 10**9
quick = settings(max_examples=60, deadline=None)
cell = st.one_of(st.none(), st.text("0a'\"\t +é\u00a0~", max_size=3), st.text("0179", min_size=1))
cells = st.lists(cell, min_size=1)


@quick
@given(cells, st.integers(0, 3))
def test_texts_have_nothing_around_them(given_cells, first):
    column = pd.Series(given_cells, dtype="str")
    found = texts(column.iloc[first:]).tolist()
    stripped = [None if cell is None else cell.strip(" \t\u00a0\"'") or None for cell in given_cells[first:]]
    assert [None if cell is np.nan else cell for cell in found] == stripped


@quick
@given(st.lists(st.text("0123456789", min_size=1, max_size=20), min_size=1), st.sampled_from(["", "-1", "+1", "1.0"]))
def test_plain_integers_are_digits_without_a_zero_in_front(written, other):
    written = written + [other] * bool(other)
    for column in (pd.Series(written, dtype="str"), pd.Series(["x", *written], dtype="str").iloc[1:]):
        found = plain_integers(column)
        plain = all(re.fullmatch(r"0|[1-9]\d{0,17}", cell) for cell in written)
        assert (found is not None) == plain
        if plain:
            assert found.tolist() == list(map(int, written))


@quick
@given(st.data())
def test_moments_of_integers_are_those_of_integers_that_may_be_missing(data):
    unit = data.draw(st.sampled_from([1, 10**3, 10**6, 10**9]))
    edges = [946_684_800 * 10**9, NOW + 366 * 86_400 * 10**9]
    near = st.sampled_from(edges).flatmap(lambda edge: st.integers(edge // unit - 2, edge // unit + 2))
    inside = st.integers(edges[0] // unit, edges[1] // unit)
    whole = data.draw(st.lists(st.one_of(inside, inside, near), min_size=1, max_size=6))
    ways = (whole, pd.array(whole, "Int64"), [str(value) for value in whole], [f" {value}" for value in whole])
    said = []
    for way in ways:
        try:
            said.append(read_moments(pd.Series(way), NOW, "time of x").tolist())
        except Unreadable:
            said.append("refused")
    assert said[1:] == said[:1] * 3
