"""Keys: any ids get rows in order of appearance; freed rows come back; nothing depends on the cutting."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtml.core.state import dumps, loads
from rtml.features.keys import Keys

numbers = st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5), max_size=200)
texts = st.lists(st.text(max_size=3), max_size=60)


def by_dict(ids):
    rows = {}
    return [rows.setdefault(i, len(rows)) for i in ids]


@given(ids=numbers | texts, cuts=st.lists(st.integers(0, 200), max_size=5))
def test_rows_are_those_of_a_dict_for_every_cutting(ids, cuts):
    whole, cut = Keys(), Keys()
    assert whole.rows(np.array(ids, object if ids and isinstance(ids[0], str) else np.int64)).tolist() == by_dict(ids)
    for a, b in pairwise([0, *sorted(cuts), len(ids)]):
        cut.rows(ids[a:b] if ids and isinstance(ids[0], str) else np.array(ids[a:b], np.int64))
    assert dumps(cut.state) == dumps(whole.state)


@given(seed=st.integers(0, 10**6), as_text=st.booleans())
def test_freed_rows_come_back_and_a_state_goes_round(seed, as_text):
    r = np.random.default_rng(seed)
    keys, want = Keys(), {}
    for _ in range(8):
        ids = r.integers(0, 300, 40)
        named = ids.astype(str).astype(object) if as_text else ids
        for i, row in zip(named.tolist(), keys.rows(named).tolist(), strict=True):
            assert want.setdefault(i, row) == row
        assert sorted(want.values()) == keys.in_use().tolist() and len(keys) == len(want)
        gone = [i for i in want if r.random() < 0.4]
        keys.release(np.array([want.pop(i) for i in gone], np.int64))
        assert (keys.find(np.array(gone, object if as_text else np.int64)) == -1).all()
        again = Keys()
        again.load(loads(dumps(keys.state)))
        assert dumps(again.state) == dumps(keys.state)
        keys = again
    assert keys.given <= 300


def test_rows_say_their_ids():
    keys = Keys()
    rows = keys.rows(["visa-1", "visa-2", "visa-1"])
    assert keys.of(rows).tolist() == ["visa-1", "visa-2", "visa-1"]


def test_other_ids_are_refused():
    with pytest.raises(TypeError, match="ids are integers or texts, got float64 such as"):
        Keys().rows([1.5])
    keys = Keys()
    keys.rows([1, 2])
    with pytest.raises(TypeError, match="these keys are integers, got 'a'"):
        keys.rows(["a"])
