"""The join as of a moment: against brute force over every fact, with ties, corrections, deletes and late facts."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtml.store.facts import Facts
from rtml.store.point_in_time import join, standing

FACTS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(0, 6), st.sampled_from([False, False, False, True])),
    max_size=25,
)
QUESTIONS = st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 20)), max_size=12)


def made(rows):
    """Facts of (key, happened, delay, deleted); the value is the row's own number."""
    key, happened, delay, deleted = (np.array(column) for column in zip(*rows, strict=True)) if rows else [[]] * 4
    happened = np.asarray(happened, np.int64)
    values = np.arange(float(len(rows)))[:, None]
    return Facts(key, happened, happened + np.asarray(delay, np.int64), values, ("row",), "v1", deleted)


def brute(facts, key, at, before, within):
    """Look at every fact: which stood?"""
    stands = {}
    for row in sorted(range(len(facts)), key=lambda row: (facts.known[row], row)):
        seen = facts.known[row] < at if before else facts.known[row] <= at
        if facts.key[row] == key and seen:
            stands[facts.happened[row]] = -1 if facts.deleted[row] else row
    alive = [happened for happened, row in stands.items() if row >= 0]
    if not alive or (within is not None and at - max(alive) >= within):
        return -1
    return stands[max(alive)]


@given(FACTS, QUESTIONS, st.booleans(), st.none() | st.integers(1, 9))
def test_what_stood_equals_brute_force(rows, asked, before, within):
    facts, key, at = made(rows), [key for key, _ in asked], [at for _, at in asked]
    found = standing(facts, np.array(key, np.int64), at, before=before, within=within)
    assert found.tolist() == [brute(facts, *question, before, within) for question in asked]


@given(FACTS, QUESTIONS, st.booleans(), st.sampled_from([1, 3, 10**17]), st.sampled_from([0, -(2**62), 5]))
def test_the_same_where_nothing_is_taken_back_whatever_numbers_the_keys_are(rows, asked, before, apart, least):
    facts = made([(least + apart * key, *when, False) for key, *when, _ in rows])
    key, at = [least + apart * key for key, _ in asked], [at for _, at in asked]
    found = standing(facts, np.array(key, np.int64), at, before=before)
    assert found.tolist() == [brute(facts, *question, before, None) for question in zip(key, at, strict=True)]


@given(FACTS, QUESTIONS, st.randoms(use_true_random=False))
def test_the_order_of_facts_of_different_times_and_of_questions_does_not_matter(rows, asked, random):
    facts, shuffled = made(rows), sorted(asked, key=lambda _: random.random())
    times = [(key, known) for key, known in zip(facts.key.tolist(), facts.known.tolist(), strict=True)]
    order = sorted(range(len(rows)), key=lambda row: (random.random() if times.count(times[row]) == 1 else 2.0, row))
    want = dict(zip(asked, standing(facts, *_columns(asked)).tolist(), strict=True))
    got = standing(facts[np.array(order, int)], *_columns(shuffled)).tolist()
    assert [order[row] if row >= 0 else -1 for row in got] == [want[question] for question in shuffled]


def _columns(asked):
    return np.array([key for key, _ in asked], np.int64), [at for _, at in asked]


@given(FACTS, QUESTIONS, FACTS)
def test_what_is_learned_later_changes_nothing_that_was_known(rows, asked, more):
    later = [(key, happened, 21 + delay, deleted) for key, happened, delay, deleted in more]
    key, at = _columns(asked)
    assert np.array_equal(standing(made(rows), key, at), standing(made(rows + later), key, at))


@given(FACTS, st.integers(0, 20))
def test_the_newest_of_what_was_known_is_what_joins_at_that_moment(rows, at):
    facts = made(rows)
    newest = facts.newest(as_of=at)
    for key in range(3):
        own = newest.values[newest.key == key, 0]
        assert join(facts, [key], [at], default=-1.0)[0, 0] == (own[-1] if len(own) else -1.0)


def test_a_stream_without_corrections_joins_as_pandas_does():
    rng = np.random.default_rng(7)
    key, happened = rng.integers(0, 50, 2000), np.sort(rng.choice(10**6, 2000, replace=False))
    asked, at = rng.integers(0, 55, 3000), np.sort(rng.integers(0, 10**6, 3000))
    facts = Facts(key, happened, happened, rng.normal(size=(2000, 2)), ("a", "b"), "v1")
    left = pd.DataFrame({"key": asked, "happened": at})
    want = pd.merge_asof(left, facts.frame()[["key", "happened", "a", "b"]], on="happened", by="key")
    np.testing.assert_array_equal(join(facts, asked, at), want[["a", "b"]].to_numpy())


def test_keys_that_are_texts_join_too_and_other_kinds_are_refused():
    facts = Facts(["a", "b"], [1, 2], [1, 2], [[1.0], [2.0]], ("x",), "v1")
    assert join(facts, ["b", "a", "c"], [9, 9, 9], default=0.0).ravel().tolist() == [2.0, 1.0, 0.0]
    with pytest.raises(ValueError, match="take one kind"):
        standing(facts, [1], [9])
    assert join(facts, [], []).shape == (0, 1) and np.isnan(join(facts[:0], ["a"], [1])).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"key": ["a", ""]}, "row 1 has no key"),
        ({"key": ["a", None]}, "row 1 has no key"),
        ({"key": [1.0, 2.0]}, "keys must be whole numbers or texts"),
        ({"happened": [1.0, np.nan]}, "row 1 has no event time"),
        ({"happened": [None, 2]}, "row 0 has no event time"),
        ({"happened": [1, -(2**63)]}, "row 1 has no event time"),
        ({"happened": [1.5, 2.5]}, "whole ns UTC"),
        ({"known": [1, 1]}, "row 1 .* was known at .* before it happened"),
        ({"definition": ["v1", ""]}, "row 1 has no definition"),
        ({"values": [[1.0]]}, "values must have one row a fact"),
    ],
)
def test_a_row_without_what_it_needs_is_refused_with_its_number(change, said):
    row = {"key": ["a", "b"], "happened": [1, 2], "known": [1, 2], "values": [[1.0], [2.0]], "names": ("x",)}
    with pytest.raises(ValueError, match=said):
        Facts(**{**row, "definition": "v1", **change})
