"""The schema: every row becomes an event or is rejected with its reason, and nothing raises."""

import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtml.usecases.crypto.schema import COLUMNS, TRADES
from rtml.usecases.crypto.trades import EVENT, GAP, QUOTE, TICK, TRADE

GOOD = {"symbol": "ETH-USD", "kind": "trade", "time": 10**18, "price": 2500.0, "size": 0.5, "side": "buy", "id": 7}
QUOTED = {"symbol": "ETH-USD", "kind": "quote", "time": 10**18, "id": -1, "bid": 2499.0, "ask": 2501.0}
SYMBOLS = ("ETH-USD", "BTC-USD")


def judge(*rows):
    return TRADES.accept(pd.DataFrame(list(rows)), SYMBOLS)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (GOOD | {"symbol": "DOGE-USD"}, "symbol is not one of this run"),
        (GOOD | {"symbol": None}, "symbol is not one of this run"),
        (GOOD | {"kind": "rumour"}, "kind is not trade, quote, gap or tick"),
        (GOOD | {"time": None}, "time is missing or not a moment"),
        (GOOD | {"time": "yesterday"}, "time is missing or not a moment"),
        (GOOD | {"time": "2024-01-01T00:00:00"}, "time is missing or not a moment"),
        (GOOD | {"time": 1.7e18}, "time is missing or not a moment"),
        (GOOD | {"time": 1700000000.0}, "time is missing or not a moment"),
        (GOOD | {"time": -5}, "time is out of range"),
        (GOOD | {"price": "n/a"}, "price is not a positive number"),
        (GOOD | {"price": np.nan}, "price is not a positive number"),
        (GOOD | {"price": np.inf}, "price is not a positive number"),
        (GOOD | {"price": 0.0}, "price is not a positive number"),
        (GOOD | {"price": True}, "price is not a positive number"),
        (GOOD | {"size": -0.1}, "size is not a number of zero or more"),
        (GOOD | {"size": None}, "size is not a number of zero or more"),
        (GOOD | {"side": "hold"}, "side is neither buy nor sell"),
        (GOOD | {"id": "b2e362c8"}, "id is not an integer"),
        (GOOD | {"id": "--7"}, "id is not an integer"),
        (QUOTED | {"bid": None}, "quote lacks a positive bid and ask"),
        (QUOTED | {"bid": 2502.0}, "quote is crossed: bid above ask"),
        (GOOD | {"kind": "gap", "id": 10**18}, "gap does not end after its start"),
    ],
)
def test_a_row_that_breaks_a_rule_is_rejected_with_its_reason(row, reason):
    accepted, rejected = judge(row)
    assert len(accepted) == 0
    assert rejected["reason"].tolist() == [reason]


def test_the_rejected_row_is_kept_as_json():
    _, rejected = judge(GOOD, GOOD | {"price": -1.0, "size": np.inf})
    assert rejected.index.tolist() == [1]
    assert json.loads(rejected["row"].iloc[0]) == GOOD | {"price": -1.0, "size": "inf"}


def test_order_of_arrival_is_kept_around_broken_rows():
    accepted, rejected = judge(*[GOOD | {"id": k, "price": 1.0 if k % 3 else "?"} for k in range(9)])
    assert accepted["id"].tolist() == [1, 2, 4, 5, 7, 8]
    assert rejected.index.tolist() == [0, 3, 6]


def test_each_kind_carries_what_applies_to_it_and_nothing_else():
    gap = GOOD | {"kind": "gap", "id": 10**18 - 5}
    accepted, rejected = judge(GOOD, QUOTED | {"price": 3.0}, gap, GOOD | {"kind": "tick", "symbol": "BTC-USD"})
    assert len(rejected) == 0
    trade, quote, hole, tick = accepted
    assert accepted["kind"].tolist() == [TRADE, QUOTE, GAP, TICK]
    assert accepted["key"].tolist() == [0, 0, 0, 1]
    assert (trade["price"], trade["size"], trade["side"], trade["id"]) == (2500.0, 0.5, 1, 7)
    assert (quote["bid"], quote["ask"], quote["id"], quote["side"]) == (2499.0, 2501.0, -1, 0)
    assert np.isnan(quote["price"]) and np.isnan(trade["bid"]) and np.isnan(tick["price"])
    assert (hole["id"], hole["time"]) == (10**18 - 5, 10**18)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (1700000000000000001, 1700000000000000001),
        ("2023-11-14T22:13:20.5Z", 1700000000500000000),
        (datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), 1700000000000000000),
        (pd.Timestamp("2023-11-14T22:13:20.000000007Z"), 1700000000000000007),
    ],
)
def test_a_moment_is_read_exactly_whatever_stands_beside_it(time, expected):
    alone, _ = judge(GOOD | {"time": time})
    mixed, rejected = judge(GOOD | {"time": None}, GOOD | {"time": "?"}, GOOD | {"time": time})
    assert alone["time"].tolist() == mixed["time"].tolist() == [expected]
    assert len(rejected) == 2


def test_a_column_of_datetimes_of_any_resolution_is_read_exactly():
    for unit in ("s", "ms", "us", "ns"):
        times = pd.to_datetime(pd.Series([1700000000, None]), unit="s", utc=True).dt.as_unit(unit)
        accepted, rejected = TRADES.accept(
            pd.DataFrame({"time": times}).assign(symbol="ETH-USD", price=1.0, size=0.0), SYMBOLS
        )
        assert accepted["time"].tolist() == [1700000000 * 10**9]
        assert rejected["reason"].tolist() == ["time is missing or not a moment"]


def test_kind_side_and_id_may_be_missing():
    accepted, rejected = TRADES.accept(
        pd.DataFrame({"symbol": ["ETH-USD"], "time": [5], "price": [1.0], "size": [0.0]}), SYMBOLS
    )
    assert len(rejected) == 0
    assert (accepted["kind"][0], accepted["side"][0], accepted["id"][0]) == (TRADE, 0, -1)


def test_sides_are_words_in_any_case_or_signs():
    sides = ["Buy", "SELL", " b ", "s", 1, -1, "", None]
    accepted, rejected = judge(*[GOOD | {"side": side} for side in sides])
    assert len(rejected) == 0
    assert accepted["side"].tolist() == [1, -1, 1, -1, 1, -1, 0, 0]
    numeric, _ = TRADES.accept(pd.DataFrame([GOOD | {"side": s} for s in (1.0, -1.0, np.nan)]), SYMBOLS)
    assert numeric["side"].tolist() == [1, -1, 0]


def test_what_the_reader_of_a_file_found_wrong_is_the_reason():
    frame = pd.DataFrame([GOOD, GOOD | {"price": -1.0}, GOOD, GOOD | {"price": -1.0}])
    accepted, rejected = TRADES.accept(frame.assign(fault=["", "", "line 4 is torn", "line 5 is torn"]), SYMBOLS)
    assert len(accepted) == 1
    assert rejected["reason"].tolist() == ["price is not a positive number", "line 4 is torn", "line 5 is torn"]
    assert [json.loads(row).keys() for row in rejected["row"]] == [GOOD.keys()] * 3


@pytest.mark.parametrize("time", [2**62 * 2 - 1, 7_258_118_400 * 10**9, "9999-12-31T00:00:00+00:00", 2**64, np.inf])
def test_a_time_of_any_size_is_refused_and_nothing_raises(time):
    frame = pd.DataFrame([GOOD, GOOD]).assign(time=pd.Series([10**18, time], dtype=object))
    _, rejected = TRADES.accept(frame, SYMBOLS)
    assert rejected["reason"].str.startswith("time is ").all() and len(rejected) == 1


def test_an_empty_frame_gives_nothing():
    accepted, rejected = TRADES.accept(pd.DataFrame(), SYMBOLS)
    assert accepted.dtype == EVENT and len(accepted) == len(rejected) == 0
    assert list(rejected.columns) == ["reason", "row"]


ANYTHING = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.booleans(),
    st.datetimes(),
    st.binary(max_size=3),
    st.lists(st.integers(), max_size=2),
    st.sampled_from(["trade", "quote", "gap", "ETH-USD", "buy", 10**18, 2500.0]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fixed_dictionaries({name: ANYTHING for name in COLUMNS}), min_size=1, max_size=6))
def test_whatever_a_row_holds_it_is_accepted_or_rejected_once(rows):
    frame = pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in COLUMNS})
    accepted, rejected = TRADES.accept(frame, SYMBOLS)
    assert len(accepted) + len(rejected) == len(rows)
    assert all(json.loads(row) is not None for row in rejected["row"])
    trades = accepted[accepted["kind"] == TRADE]
    assert np.isfinite(trades["price"]).all() and (trades["price"] > 0).all() and (trades["size"] >= 0).all()
    assert (accepted["time"] > 0).all() and np.isin(accepted["key"], [0, 1]).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([GOOD, QUOTED, GOOD | {"price": "?"}, GOOD | {"time": None}]), min_size=1), st.data())
def test_chunks_are_judged_as_the_whole(rows, data):
    cut = data.draw(st.integers(0, len(rows)))
    frame = pd.DataFrame(rows)
    whole, out = TRADES.accept(frame, SYMBOLS)
    parts = [TRADES.accept(frame.iloc[:cut], SYMBOLS), TRADES.accept(frame.iloc[cut:], SYMBOLS)]
    assert np.concatenate([part[0] for part in parts]).tobytes() == whole.tobytes()
    assert pd.concat([part[1] for part in parts])["reason"].tolist() == out["reason"].tolist()


def test_the_table_names_every_column_and_its_rule():
    assert TRADES.table()["column"].tolist() == list(COLUMNS)
