"""A visit: every click asks, the next click of its session answers, and any cutting gives the same."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtml.core.operator import Leak
from rtml.core.state import dumps, loads
from rtml.usecases.sessions.events import CART, clicks
from rtml.usecases.sessions.operator import Visits

S = 10**9
MINUTE = 60 * S


@st.composite
def streams(draw):
    """Clicks of a few visitors and sessions, some late, some long after, some at the same moment."""
    n = draw(st.integers(1, 60))
    steps = draw(
        st.lists(
            st.sampled_from([-40 * MINUTE, -S, 0, 0, S, MINUTE, 31 * MINUTE, 130 * MINUTE]), min_size=n, max_size=n
        )
    )
    time = 10**18 + np.cumsum(steps)
    visitor = draw(st.lists(st.integers(-1, 3), min_size=n, max_size=n))
    session = [draw(st.integers(0, 2)) if who < 0 else -1 for who in visitor]
    item = draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))
    action = draw(st.lists(st.sampled_from([0, 0, 0, CART]), min_size=n, max_size=n))
    return clicks(time, visitor=visitor, session=session, item=item, action=action)


def joined(parts):
    return [
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("id", "moment", "X", "answered", "y", "known")
    ]


@settings(max_examples=150, deadline=None)
@given(events=streams(), cuts=st.lists(st.integers(0, 60), max_size=5), most=st.sampled_from([2, 4, 500]))
def test_any_cutting_gives_the_same_questions_answers_and_state(events, cuts, most):
    whole, cut = Visits(last=3, most=most), Visits(last=3, most=most)
    once = whole.push(events)
    places = [0, *sorted(min(c, len(events)) for c in cuts), len(events)]
    parts = []
    for a, b in pairwise(places):
        parts.append(cut.push(events[a:b]))
        resumed = Visits(last=3, most=most)
        resumed.load(loads(dumps(cut.state)))
        cut = resumed
    for one, other in zip(joined([once]), joined(parts), strict=True):
        assert one.tobytes() == other.tobytes()
    assert dumps(whole.state) == dumps(cut.state)
    assert (np.diff(once.known) >= 0).all() and (np.diff(once.moment) >= 0).all()
    whole.check(once)


@settings(max_examples=100, deadline=None)
@given(events=streams())
def test_answers_are_those_of_a_loop_by_hand(events):
    """The oracle keeps every session whole and looks for the next click afterwards."""
    visits = Visits()
    asked = visits.push(events)
    end = visits.push(clicks([int(events["time"].max()) + 400 * MINUTE], visitor=99, item=1))
    got = {
        id: (y, known)
        for part in (asked, end)
        for id, y, known in zip(part.answered.tolist(), part.y.tolist(), part.known.tolist(), strict=True)
    }
    now, last, want = 0, {}, {}
    for id, event in enumerate(events[events["action"] == 0]):
        now = max(now, int(event["time"]))
        own = int(event["session"]) >= 0
        who, gap = (own, int(event["session"]) if own else int(event["visitor"])), (120 if own else 30) * MINUTE
        if who in last:
            before, at = last[who]
            goes_on = now - at <= gap
            want[before] = (float(event["item"]), max(now, at + 1)) if goes_on else (np.nan, at + gap)
        last[who] = (id, now)
    for who, (before, at) in last.items():
        want[before] = (np.nan, at + (120 if who[0] else 30) * MINUTE)
    assert got.keys() == want.keys()
    for id, (y, known) in want.items():
        assert got[id][1] == known and (got[id][0] == y or (y != y and got[id][0] != got[id][0])), id


def test_a_question_shows_the_session_so_far_newest_first():
    asked = Visits(last=2).push(clicks([0, 10 * S, 20 * S], visitor=5, item=[7, 8, 9]))
    assert asked.X.tolist() == [[0, 1, 0, 0, 5, -1, 7, -1], [0, 2, 10, 0, 5, -1, 8, 7], [0, 3, 10, 0, 5, -1, 9, 8]]


def test_a_visitor_who_comes_again_has_a_new_session_and_is_known():
    asked = Visits(last=1).push(clicks([0, 31 * MINUTE, 62 * MINUTE], visitor=5, item=[7, 8, 9]))
    assert asked.X[:, 0].tolist() == [0, 1, 2] and asked.X[:, 3].tolist() == [0, 1, 2]
    assert np.isnan(asked.y).all() and len(asked.y) == 2


def test_an_answer_leaves_only_once_time_has_passed():
    visits = Visits()
    assert len(visits.push(clicks([10, 20], visitor=1, item=[7, 8])).answered) == 0
    assert len(visits.push(clicks([20], visitor=2, item=[9])).answered) == 0
    assert visits.push(clicks([21], visitor=2, item=[9])).answered.tolist() == [0]


def test_a_robot_is_bounded_and_counted():
    visits = Visits(last=20, most=500)
    n = 100_000
    asked = visits.push(clicks(10**18 + np.arange(n) * S, visitor=1, item=np.arange(n)))
    visits.push(clicks([10**18 + n * S], visitor=2, item=1))
    counts = visits.counts()
    assert len(asked.id) == 500 and counts["robot_clicks"] == n - 500 and counts["robots"] == 1
    assert len(dumps(visits.state)) < 2_000 and np.isnan(asked.y[-1])
    again = visits.push(clicks([10**18 + (n + 3600) * S], visitor=1, item=3))
    assert len(again.id) == 1 and again.X[0, 1] == 1


def test_time_that_runs_backwards_is_taken_when_it_comes_and_counted():
    visits = Visits()
    asked = visits.push(clicks([100 * S, 50 * S, 101 * S], visitor=[1, 1, 2], item=[7, 8, 9]))
    assert asked.moment.tolist() == [100 * S, 100 * S, 101 * S] and visits.counts()["late"] == 1
    assert asked.known.tolist() == [100 * S + 1] and asked.y.tolist() == [8.0]


def test_visitors_known_are_bounded_and_those_forgotten_counted():
    visits = Visits(visitors=10)
    visits.push(clicks(10**18 + np.arange(100) * S, visitor=np.arange(100), item=1))
    assert visits.counts()["forgotten"] == 90 and len(visits.state["seen"]) == 10


def test_a_wrong_answer_is_caught():
    visits = Visits()
    asked = visits.push(clicks([10, 20, 30], visitor=1, item=[7, 8, 9]))
    with pytest.raises(Leak, match="but the session went on with 8"):
        visits.check(asked._replace(y=asked.y + 1))
    with pytest.raises(Leak, match="is known at"):
        visits.check(asked._replace(known=asked.known - 15))
