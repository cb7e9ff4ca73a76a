"""A market of several symbols and horizons: every one is asked and answered, whatever the cutting."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtml.core.state import dumps, loads
from rtml.training.run_config import RunConfig
from rtml.usecases.crypto.trades import events

S = 10**9


def tape(seed=0, n=900, symbols=3):
    r = np.random.default_rng(seed)
    time = 1_700_000_003 * S + np.cumsum(r.integers(0, S, n))
    price = 100 * np.exp(np.cumsum(r.normal(0, 2e-4, n)))
    return events(time, key=r.integers(0, symbols, n), id=np.arange(n), price=price, size=1.0)


def config(horizon="10s,30s", keys=("A", "B", "C"), **how):
    return RunConfig.of("crypto", keys, "a test", horizon=horizon, **how)


@settings(max_examples=8)
@given(seed=st.integers(0, 99), cuts=st.lists(st.integers(0, 900), max_size=12))
def test_any_cutting_gives_the_same(seed, cuts):
    rows, one, many = tape(seed), config().flow(), config().flow()
    whole, parts = one.push(rows), []
    for a, b in pairwise([0, *sorted(cuts), 900]):
        parts.append(many.push(rows[a:b]))
        again = config().flow()
        again.load(loads(dumps(many.state)))
        many = again
    for name in ("closed", "id", "key", "moment", "X", "answered", "y", "known", "label"):
        assert np.concatenate([getattr(p, name) for p in parts]).tobytes() == getattr(whole, name).tobytes(), name
    for target, predictions in whole.predictions.items():
        assert np.concatenate([p.predictions[target] for p in parts]).tobytes() == predictions.tobytes(), target
    assert dumps(many.state) == dumps(one.state)


def test_every_symbol_is_asked_at_every_bar_and_answered_at_every_horizon():
    whole = config().flow().push(tape())
    ends = whole.closed["end"][:, 0]
    assert len(np.unique(whole.id)) == len(whole.id) and set(whole.key) == {0, 1, 2}
    for key in range(3):
        close = whole.closed["close"][:, key]
        own = whole.moment[whole.key == key]
        assert own.tolist() == ends[np.isfinite(close)].tolist()
        for label, steps in ((0, 1), (1, 3)):
            answered, y, known = whole.answers(label)
            mine = np.isin(answered, whole.id[whole.key == key])
            place = np.searchsorted(ends, known[mine])
            want = 1e4 * np.log(close[place] / close[place - steps])
            np.testing.assert_allclose(y[mine], want, rtol=1e-9, atol=1e-9)


def test_one_symbol_of_several_is_asked_with_what_it_would_be_asked_alone():
    """The features of a symbol are those of a run that asks for it alone and reads the others beside it."""
    rows = tape(symbols=2)
    both = config("10s", ("A", "B")).flow(learning=False).push(rows)
    alone = config("10s", ("A",), inputs=("B",)).flow(learning=False).push(rows)
    assert both.X[both.key == 0][:, :-1].tobytes() == alone.X.tobytes()


def test_the_models_of_two_symbols_are_two():
    flow = config("10s", ("A", "B")).flow()
    flow.push(tape(symbols=2))
    assert sorted(flow.learners["return"].model.models) == [0, 1]
    pooled = config("10s", ("A", "B"), models={"return": "pooled rls"}).flow()
    assert pooled.learners["return"].model.describe().startswith("pooled: ")


def test_an_option_that_does_not_exist_is_said():
    with pytest.raises(LookupError, match="crypto has no option bars; there are: bar, lateness, horizon"):
        config(bars="10s")
