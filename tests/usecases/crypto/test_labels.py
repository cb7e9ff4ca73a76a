"""Labels: known one horizon later and not before, silent over gaps."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtml.core.state import dumps
from rtml.usecases.crypto.labels import Labels, targets

S = 10**9


def closes(seed, n=60):
    r = np.random.default_rng(seed)
    close = np.exp(np.cumsum(r.normal(0, 1e-3, n)))
    close[: r.integers(0, 4)] = np.nan
    return (np.arange(n) + 5) * 10 * S, close, r.random(n) > 0.1


@given(seed=st.integers(0, 999), steps=st.integers(1, 5))
def test_an_answer_is_the_return_over_the_horizon(seed, steps):
    end, close, whole = closes(seed)
    asked, y = Labels("10s", f"{10 * steps}s").push(end, close, whole)
    answers = dict(zip(asked.tolist(), y.tolist(), strict=True))
    for i in range(len(end) - steps):
        if np.isfinite(close[i]):
            want = 1e4 * np.log(close[i + steps] / close[i]) if whole[i] and whole[i + steps] else np.nan
            assert answers.pop(int(end[i])) == pytest.approx(want, nan_ok=True)
    assert not answers, "a question was answered that was never asked"


@given(seed=st.integers(0, 999), cuts=st.lists(st.integers(0, 60), max_size=20), steps=st.integers(1, 5))
def test_any_cutting_gives_the_same_answers_each_when_its_bar_closes(seed, cuts, steps):
    end, close, whole = closes(seed)
    one, many = Labels("10s", f"{10 * steps}s"), Labels("10s", f"{10 * steps}s")
    asked, y = one.push(end, close, whole)
    edges, got = [0, *sorted(cuts), 60], []
    for a, b in pairwise(edges):
        part = many.push(end[a:b], close[a:b], whole[a:b])
        assert not len(part[0]) or end[a] <= part[0].min() + many.horizon <= part[0].max() + many.horizon <= end[b - 1]
        got.append(part)
    assert np.concatenate([g[0] for g in got]).tobytes() == asked.tobytes()
    assert np.concatenate([g[1] for g in got]).tobytes() == y.tobytes()
    assert dumps(one.state) == dumps(many.state)


def test_targets_of_a_return():
    y = np.array([-2.0, 0.0, 3.0, np.nan])
    of_return, of_sign, of_size = targets({"horizon": "10s"})
    assert np.array_equal(of_return.learned(y), y, equal_nan=True)
    assert np.array_equal(of_sign.learned(y), [0.0, np.nan, 1.0, np.nan], equal_nan=True)
    assert np.array_equal(of_size.learned(y), [2.0, 0.0, 3.0, np.nan], equal_nan=True)


def test_a_horizon_between_two_bars_is_refused():
    with pytest.raises(ValueError, match="got 15s with bars of 10s: try 10s"):
        Labels("10s", "15s")
