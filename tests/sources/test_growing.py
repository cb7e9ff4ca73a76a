"""Positions kept beside the rows they led to: what was begun and never came counts for nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtml.core.use_case import load_use_case
from rtml.sources.growing import _PLACE, open_growing, posted_schema, reached

ATTEMPT = st.tuples(
    st.integers(1, 4), st.dictionaries(st.sampled_from("abc"), st.integers(1, 9), min_size=1), st.booleans()
)


@given(st.lists(ATTEMPT, max_size=20))
def test_the_position_is_that_of_the_rows_that_came_whatever_was_begun_between(attempts):
    kept, seen, truth = [], 0, {}
    for n, moves, came in attempts:
        position = {of: truth.get(of, 0) + by for of, by in moves.items()}
        group = len(kept)
        kept += [(group, seen, seen + n, upto, of) for of, upto in position.items()]
        if came:
            seen, truth = seen + n, truth | position
        assert reached(np.array(kept, _PLACE), seen) == truth


def test_rows_of_another_origin_are_said():
    with pytest.raises(ValueError, match="holds 3 rows that did not come from x: name another RUN"):
        reached(np.array([], _PLACE), 3, "x")


def test_only_its_schemes_are_sources_that_grow():
    schema = posted_schema(load_use_case("fraud"))
    assert "amount" in schema.columns
    assert [open_growing(name, schema, ["card"]) for name in ("kraken", "synthetic:sudden", "a/b.csv")] == [None] * 3
