"""The look-ahead operator: every row asks, its key answers a horizon later, whatever the cutting."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtml.core.operator import Leak
from rtml.core.state import dumps, loads
from rtml.features.feature_set import Feature, column
from rtml.usecases.lookahead import Lookahead

MINUTE = 60 * 10**9
EVENT = np.dtype([("time", "<i8"), ("key", "<i4"), ("x", "<f8")])


def operator(change=False, keys=3):
    x = column("x")
    features = [Feature("now", x, "", "now"), Feature("mean", x.over("30m", "mean"), "", "mean")]
    return Lookahead(features, ["x"], "x", "10m", keys, change)


def rows(seed=0, n=200, keys=3):
    """Rows of several keys, many at the same moment, some late."""
    r = np.random.default_rng(seed)
    found = np.zeros(n, EVENT)
    found["time"] = 1_700_000_000 * 10**9 + np.cumsum(r.integers(0, 4, n)) * MINUTE
    found["time"][::17] -= 2 * MINUTE
    found["key"] = r.integers(0, keys, n)
    found["x"] = r.normal(size=n)
    return found


@settings(max_examples=20)
@given(seed=st.integers(0, 999), cuts=st.lists(st.integers(0, 200), max_size=10))
def test_any_cutting_gives_the_same(seed, cuts):
    events, one, many, parts = rows(seed), operator(), operator(), []
    whole = one.push(events)
    for a, b in pairwise([0, *sorted(cuts), 200]):
        parts.append(many.push(events[a:b]))
        again = operator()
        again.load(loads(dumps(many.state)))
        many = again
    for name in ("id", "moment", "X", "answered", "y", "known", "key"):
        assert np.concatenate([getattr(p, name) for p in parts]).tobytes() == getattr(whole, name).tobytes(), name
    assert dumps(one.state) == dumps(many.state)


@pytest.mark.parametrize("change", [False, True])
def test_an_answer_is_the_first_row_of_the_key_behind_the_horizon(change):
    events = rows(3)
    asked = operator(change).push(events)
    time = np.maximum.accumulate(events["time"])
    want = {}
    for i in range(len(events)):
        later = np.flatnonzero((events["key"] == events["key"][i]) & (time >= time[i] + 10 * MINUTE))
        if len(later) and time[later[0]] < time[-1]:
            value = events["x"][later[0]] - change * events["x"][i]
            want[i] = (pytest.approx(value), int(time[later[0]]))
    got = dict(zip(asked.answered.tolist(), zip(asked.y.tolist(), asked.known.tolist(), strict=True), strict=True))
    assert got == want
    assert asked.X[:, -1].tolist() == events["key"].tolist(), "the key is the last feature"


def test_a_leak_is_found():
    operator_ = operator()
    asked = operator_.push(rows())
    assert operator_.check(asked).endswith("answers")
    with pytest.raises(Leak, match="its row comes at"):
        operator_.check(asked._replace(known=asked.known - MINUTE))


def test_one_key_needs_no_column_of_its_own():
    asked = operator(keys=1).push(rows(keys=1))
    assert asked.X.shape[1] == 2 and set(asked.keys()) == {0}
