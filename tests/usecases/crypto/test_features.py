"""Features: brute force and pandas as oracles, every cutting, no future, ties by sequence."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtml.core.state import dumps, loads
from rtml.features.feature_set import Feature, FeatureSet, column, constant
from rtml.usecases.crypto import use_case as crypto

HOUR = 3600 * 10**9
AGGREGATES = ("sum", "count", "mean", "std", "min", "max")


def declared():
    x, y = column("x"), column("y")
    features = [Feature(f"{how}_{w}", x.over(w, how), "", "") for how in AGGREGATES for w in ("1h", "5h")]
    features += [
        Feature("lag", x.lag(3), "", "", -1.0),
        Feature("change", (x / x.lag(1)).log().over("5h", "sum"), "", ""),
    ]
    return features + [Feature("mix", ((x + y * 2 - constant(1)) / y).clip(5).sqrt().abs(), "", "", 7.0)]


def stream(seed, n=120, keys=3):
    r = np.random.default_rng(seed)
    time = np.cumsum(r.integers(0, 2, n) * r.integers(0, 3 * HOUR // 2, n))  # half of the rows share a moment
    rows = np.round(r.lognormal(0, 1, (n, 2)), 2)
    rows[r.random((n, 2)) < 0.1] = np.nan
    return time, rows, r.integers(0, keys, n)


def brute_force(time, x, key, i, width, how):
    """An aggregate of row ``i`` from its definition."""
    w = [
        x[j] for j in range(i + 1) if key[j] == key[i] and time[i] - width < time[j] <= time[i] and math.isfinite(x[j])
    ]
    if how in ("sum", "count"):
        return math.fsum(w) if how == "sum" else len(w)
    if not w or (how == "std" and len(w) < 2):
        return 0.0
    return {"mean": np.mean, "std": lambda v: np.std(v, ddof=1), "min": min, "max": max}[how](w)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30)
def test_windows_equal_brute_force(seed):
    time, rows, key = stream(seed)
    features = FeatureSet(declared(), ["x", "y"])
    out = features.push(time, rows, key)
    for how in AGGREGATES:
        for text, width in (("1h", HOUR), ("5h", 5 * HOUR)):
            got = out[:, features.names.index(f"{how}_{text}")]
            want = [brute_force(time, rows[:, 0], key, i, width, how) for i in range(len(time))]
            assert got == pytest.approx(want, rel=1e-12, abs=1e-9), f"{how} {text}"


def test_windows_equal_pandas():
    time, rows, key = stream(1, n=4000, keys=40)
    rows = np.nan_to_num(rows, nan=1.0)
    features = FeatureSet(declared(), ["x", "y"])
    out = features.push(time, rows, key)
    grouped = pd.DataFrame({"t": pd.to_datetime(time), "k": key, "x": rows[:, 0]}).set_index("t").groupby("k")["x"]
    order = np.argsort(key, kind="stable")
    for how in ("sum", "mean", "max", "min"):
        want = np.empty(len(time))
        want[order] = getattr(grouped.rolling("5h"), how)().to_numpy()
        assert out[:, features.names.index(f"{how}_5h")] == pytest.approx(want, rel=1e-9), how


@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 120), max_size=20))
def test_any_cutting_gives_the_same_features_and_state(seed, cuts):
    time, rows, key = stream(seed)
    whole, cut = (FeatureSet(declared(), ["x", "y"]) for _ in range(2))
    want = whole.push(time, rows, key)
    edges = [0, *sorted(cuts), len(time)]
    got = [cut.push(time[a:b], rows[a:b], key[a:b]) for a, b in pairwise(edges)]
    assert np.concatenate(got).tobytes() == want.tobytes()
    assert dumps(cut.state) == dumps(whole.state)


@given(seed=st.integers(0, 10**6), at=st.integers(0, 119))
def test_later_rows_change_nothing(seed, at):
    time, rows, key = stream(seed)
    want = FeatureSet(declared(), ["x", "y"]).push(time[:at], rows[:at], key[:at])
    rows[at:] = 1e6
    assert FeatureSet(declared(), ["x", "y"]).push(time, rows, key)[:at].tobytes() == want.tobytes()


@given(seed=st.integers(0, 10**6), at=st.integers(0, 119))
def test_a_state_round_trip_changes_nothing(seed, at):
    time, rows, key = stream(seed)
    first, second = (FeatureSet(declared(), ["x", "y"]) for _ in range(2))
    first.push(time[:at], rows[:at], key[:at])
    second.load(loads(dumps(first.state)))
    assert second.push(time[at:], rows[at:], key[at:]).tobytes() == first.push(time[at:], rows[at:], key[at:]).tobytes()


def test_a_later_row_of_the_same_moment_is_not_seen():
    total = FeatureSet([Feature("total", column("x").over("1h", "sum"), "", "")], ["x"])
    assert total.push([5, 5, 5], [[1.0], [2.0], [4.0]])[:, 0].tolist() == [1.0, 3.0, 7.0]


def test_a_row_exactly_one_window_old_is_out():
    total = FeatureSet([Feature("total", column("x").over("1h", "sum"), "", "")], ["x"])
    assert total.push([0, HOUR - 1, HOUR], [[1.0], [2.0], [4.0]])[:, 0].tolist() == [1.0, 3.0, 6.0]


def test_money_does_not_drift():
    cents = np.random.default_rng(0).integers(1, 10**7, 300_000) / 100
    total = FeatureSet([Feature("total", column("x").over("1h", "sum"), "", "")], ["x"])
    out = total.push(np.arange(300_000) * (HOUR // 50), cents)
    assert out[-1, 0] == math.fsum(cents[-50:])


def test_a_missing_value_becomes_the_declared_default():
    lag = FeatureSet([Feature("lag", column("x").lag(1), "", "", -1.0)], ["x"])
    assert lag.push([1, 2, 3], [[4.0], [np.nan], [6.0]])[:, 0].tolist() == [-1.0, 4.0, -1.0]


def test_the_definition_changes_with_a_formula_and_not_with_a_meaning():
    feature = Feature("a", column("x").over("1h", "sum"), "EUR", "spent")
    same = Feature("a", column("x").over("60m", "sum"), "EUR", "money spent")
    other = Feature("a", column("x").over("2h", "sum"), "EUR", "spent")
    one, two, three = (FeatureSet([f], ["x"]).definition for f in (feature, same, other))
    assert one == two != three


def test_errors_say_what_exists():
    with pytest.raises(LookupError, match="no column 'z'; the rows have: x, y"):
        FeatureSet([Feature("a", column("z"), "", "")], ["x", "y"])
    with pytest.raises(LookupError, match="no aggregate 'median'; known: sum, count"):
        column("x").over("1h", "median")
    with pytest.raises(ValueError, match="feature names must be unique, repeated: a"):
        FeatureSet([Feature("a", column("x"), "", "")] * 2, ["x"])
    with pytest.raises(ValueError, match="looks back at least one row, got 0"):
        column("x").lag(0)
    old, new = (FeatureSet([Feature("a", column("x").lag(k), "", "")], ["x"]) for k in (1, 2))
    with pytest.raises(ValueError, match="replay the log through the new features"):
        new.load(old.state)


@pytest.mark.parametrize("symbols", [("ETH-USD",), ("ETH-USD", "BTC-USD"), ("ETH-USD", "BTC-USD", "SOL-USD")])
def test_every_feature_of_crypto_says_what_it_is(symbols):
    catalogue = crypto.features(symbols).catalogue()
    assert catalogue["unit"].str.len().min() > 0 and catalogue["meaning"].str.len().min() > 5
    assert catalogue.index.is_unique
