"""The operator for answers by id: what asks, what answers, when it is known, whatever the cutting."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtml.core.operator import Leak
from rtml.core.state import dumps, loads
from rtml.features.feature_set import Feature, column
from rtml.usecases.by_id import ById

MINUTE = 60 * 10**9
EVENT = np.dtype([("time", "<i8"), ("key", "<i4"), ("id", "<i8"), ("x", "<f8"), ("y", "<f8")])


def operator(timeout="30m", keys=2):
    features = [Feature("mean", column("x").over("30m", "mean"), "", "mean of the questions")]
    return ById(features, ["x"], "y", timeout, keys)


def rows(seed=0, n=200):
    """Questions and answers of few ids, many at one moment, some late, some of ids that never asked."""
    r = np.random.default_rng(seed)
    found = np.zeros(n, EVENT)
    found["time"] = 1_700_000_000 * 10**9 + np.cumsum(r.integers(0, 4, n)) * MINUTE
    found["time"][::17] -= 2 * MINUTE
    found["key"], found["id"], found["x"] = r.integers(0, 2, n), r.integers(0, 40, n), r.normal(size=n)
    found["y"] = np.where(r.random(n) < 0.5, np.nan, r.normal(size=n))
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


@pytest.mark.parametrize("seed", range(5))
def test_answers_are_those_of_a_table_of_who_waits(seed):
    events = rows(seed)
    asked = operator().push(events)
    waiting, want, number = {}, {}, 0
    for at, row in zip(np.maximum.accumulate(events["time"]).tolist(), events, strict=True):
        waiting = {id: rows for id, rows in waiting.items() if rows[0][0] + 30 * MINUTE >= at}  # else given up
        if np.isnan(row["y"]):
            waiting.setdefault(int(row["id"]), []).append((at, number))
            number += 1
            continue
        found = waiting.pop(int(row["id"]), [])
        want |= {question: (row["y"], max(at, then + 1)) for then, question in found}
    last = int(np.maximum.accumulate(events["time"])[-1])
    got = dict(zip(asked.answered.tolist(), zip(asked.y.tolist(), asked.known.tolist(), strict=True), strict=True))
    assert len(asked.id) == number and len(got) > 10
    assert got == {question: about for question, about in want.items() if about[1] < last}
    assert (np.diff(asked.known) >= 0).all()


def test_what_is_given_up_is_forgotten_and_a_leak_is_found():
    one = operator()
    asked = one.push(rows())
    assert one.check(asked).endswith("answers")
    with pytest.raises(Leak, match="not within 1800 s"):
        one.check(asked._replace(known=asked.known + 40 * MINUTE))
    far = np.array([(2 * 10**18, 0, 99, 0.0, np.nan)], EVENT)
    one.push(far)
    assert len(one.state["open"]) == 1, "all others are given up"
