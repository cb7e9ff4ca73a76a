"""Bars: an independent oracle, every cutting, late and repeated trades, gaps and ticks."""

import math
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtml.core.state import dumps, loads
from rtml.usecases.crypto.bars import BAR, Bars
from rtml.usecases.crypto.trades import GAP, QUOTE, TICK, events

S = 10**9


def tape(n=3000, seed=0, symbols=2, mean_gap_ns=int(1.5e9)):
    """Trades in order of time with ties, sparse enough for empty bars."""
    r = np.random.default_rng(seed)
    time = 1_700_000_003 * S + np.cumsum(r.integers(0, 2 * mean_gap_ns, n) * (r.random(n) > 0.2))
    price = 100 + np.cumsum(r.integers(-3, 4, n)) / 100
    size = r.integers(1, 50, n) / 10
    return events(
        time, key=r.integers(0, symbols, n), id=np.arange(n), price=price, size=size, side=r.choice([-1, 1], n)
    )


def polars_bars(trades):
    """The same bars by another program, from trades in (time, id) order."""
    frame = pl.DataFrame({name: trades[name] for name in ("time", "key", "id", "price", "size", "side")})
    frame = frame.sort("time", "id").with_columns(
        at=pl.from_epoch("time", time_unit="ns"), flow=pl.col("size") * pl.col("side")
    )
    price = pl.col("price")
    grouped = frame.group_by_dynamic("at", every="10s", closed="left", label="right", group_by="key").agg(
        open=price.first(), high=price.max(), low=price.min(), close=price.last(), volume=pl.col("size").sum(),
        value=(price * pl.col("size")).sum(), flow=pl.col("flow").sum(), n=pl.len(), last_time=pl.col("time").last(),
    )  # fmt: skip
    return {(r["key"], int(r["at"].timestamp()) * S): r for r in grouped.iter_rows(named=True)}


def in_pieces(bars, rows, cuts):
    edges = [0, *sorted(c % (len(rows) + 1) for c in cuts), len(rows)]
    return np.concatenate([bars.push(rows[a:b]) for a, b in pairwise(edges)])


def test_bars_equal_those_of_polars():
    trades = tape()
    closed, want = Bars(symbols=2).push(trades), polars_bars(trades)
    assert np.array_equal(np.diff(closed["end"][:, 0]), np.full(len(closed) - 1, 10 * S)), "the grid has holes"
    assert closed["empty"].any() and not closed["empty"].all()
    for bar in closed.ravel():
        same = want.get((int(bar["key"]), int(bar["end"])))
        assert (same is None) == bool(bar["empty"])
        if same is not None:
            for name in ("open", "high", "low", "close", "n", "last_time"):
                assert bar[name] == same[name], name
            for name in ("volume", "value", "flow"):
                assert bar[name] == pytest.approx(same[name], rel=1e-12), name


def test_an_empty_bar_carries_the_close_and_no_volume():
    closed = Bars(lateness="1s").push(events(np.array([1, 12, 35]) * S, id=[1, 2, 3], price=[5.0, 6.0, 7.0], size=1.0))
    assert closed["close"][:, 0].tolist() == [6.0, 6.0]
    assert closed["open"][1, 0] == closed["high"][1, 0] == closed["low"][1, 0] == 6.0
    assert closed["empty"][:, 0].tolist() == [False, True] and closed["volume"][1, 0] == 0 and closed["n"][1, 0] == 0


def test_the_boundary_belongs_to_the_next_interval():
    closed = Bars(lateness="1ns").push(
        events([1, 10 * S - 1, 10 * S, 20 * S, 31 * S], id=range(5), price=[1.0, 2, 3, 4, 5])
    )
    assert closed["end"][:, 0].tolist() == [20 * S, 30 * S]
    assert closed["close"][:, 0].tolist() == [3.0, 4.0]


@given(cuts=st.lists(st.integers(0, 10**6), max_size=30), seed=st.integers(0, 30))
def test_any_cutting_gives_the_same_bars_and_state(cuts, seed):
    r = np.random.default_rng(seed)
    rows = tape(400, seed)
    rows["time"] -= r.integers(0, 3, 400) * S // 2  # out of order, some beyond the lateness
    rows["side"] *= r.random(400) < 0.5
    rows = rows[np.sort(r.integers(0, 400, 500))]  # and repeated
    kinds = r.random(500)
    rows["kind"][kinds > 0.9] = QUOTE
    rows["bid"], rows["ask"] = rows["price"] - 0.01, rows["price"] + 0.01
    rows["kind"][kinds > 0.98] = TICK
    gap = kinds < 0.01
    rows["id"][gap] = rows["time"][gap] - 25 * S
    rows["kind"][gap] = GAP
    whole, cut = Bars(symbols=2), Bars(symbols=2)
    assert in_pieces(cut, rows, cuts).tobytes() == whole.push(rows).tobytes()
    assert dumps(cut.state) == dumps(whole.state)


@given(seed=st.integers(0, 50), at=st.integers(0, 300))
def test_a_state_round_trip_changes_nothing(seed, at):
    rows, first, second = tape(300, seed), Bars(symbols=2), Bars(symbols=2)
    head = first.push(rows[:at])
    second.load(loads(dumps(first.state)))
    assert second.push(rows[at:]).tobytes() == first.push(rows[at:]).tobytes()
    assert head.dtype == BAR


@given(seed=st.integers(0, 50))
def test_disorder_within_the_lateness_changes_no_bar(seed):
    r = np.random.default_rng(seed)
    rows = tape(800, seed, symbols=1)
    arrival = np.argsort(rows["time"] + r.integers(0, S - 1, 800), kind="stable")
    plain, shuffled = Bars(lateness="1s").push(rows), Bars(lateness="1s")
    closed = shuffled.push(rows[arrival])
    assert shuffled.counts()["late"] == 0 or rows["time"][arrival[0]] // (10 * S) != rows["time"][0] // (10 * S)
    both = min(len(plain), len(closed))
    whole = slice(1, both)  # which interval is the first, partial one depends on who comes first
    for name in BAR.names:
        assert plain[name][whole].tobytes() == closed[name][whole].tobytes(), name
    exact = [math.fsum(rows["size"][rows["time"] // (10 * S) == end // (10 * S) - 1]) for end in plain["end"][:, 0]]
    assert np.allclose(plain["volume"][:, 0], exact, rtol=1e-15), "to the last place but one"


def test_every_trade_delivered_twice_counts_once():
    rows = tape(500)
    twice = Bars(symbols=2)
    assert twice.push(np.repeat(rows, 2)).tobytes() == Bars(symbols=2).push(rows).tobytes()
    assert twice.counts()["duplicate"] + twice.counts()["late"] >= 500


def test_an_old_id_that_comes_again_later_in_its_bar_counts_once():
    rows = events(np.array([1, 11, 12, 13, 12, 40]) * S, id=[1, 2, 3, 4, 3, 9], price=[1.0, 2, 3, 4, 3, 5], size=1.0)
    closed = Bars(lateness="5s").push(rows)
    assert closed["n"][0, 0] == 3


def test_a_late_trade_changes_no_closed_bar_and_is_counted():
    on_time = events(np.array([1, 12, 35, 55]) * S, id=[1, 2, 4, 5], price=[1.0, 2, 4, 5], size=1.0)
    late = np.insert(on_time, 3, events([13 * S], id=3, price=99.0, size=1.0))
    bars = Bars()
    assert bars.push(late).tobytes() == Bars().push(on_time).tobytes()
    assert bars.counts() == {"late": 1, "duplicate": 0, "ahead": 0}


@pytest.mark.parametrize("late", [13, 19, 21, 29])
def test_a_trade_for_the_bar_that_closed_last_or_before_changes_nothing(late):
    on_time = events(np.array([1, 12, 22, 35, 55, 75]) * S, id=[1, 2, 3, 4, 5, 6], price=[1.0, 2, 3, 4, 5, 6], size=1.0)
    bars = Bars()
    pushed = bars.push(np.insert(on_time, 4, events([late * S], id=9, price=99.0, size=7.0)))
    assert pushed.tobytes() == Bars().push(on_time).tobytes() and bars.counts()["late"] == 1


def test_a_quiet_market_closes_bars_by_ticks():
    bars = Bars()
    bars.push(events(np.array([1, 12]) * S, id=[1, 2], price=[1.0, 2.0], size=1.0))
    assert len(bars.push(events([20 * S], kind=TICK))) == 0, "the lateness has not passed"
    closed = bars.push(events([41 * S], kind=TICK))
    assert closed["end"][:, 0].tolist() == [20 * S, 30 * S, 40 * S]


def test_bars_over_a_gap_are_incomplete_for_that_symbol_only():
    rows = np.concatenate([
        events(np.array([1, 12, 25]) * S, id=[1, 2, 3], price=[1.0, 2.0, 3.0], size=1.0),
        events([52 * S], kind=GAP, id=[33 * S]),
        events(np.array([53, 64, 85]) * S, id=[4, 5, 6], price=[4.0, 5.0, 6.0], size=1.0),
    ])  # fmt: skip
    closed = Bars(symbols=2).push(rows)
    assert closed["end"][:, 0].tolist() == [20 * S, 30 * S, 40 * S, 50 * S, 60 * S, 70 * S, 80 * S]
    assert closed["complete"][:, 0].tolist() == [True, True, False, False, False, True, True]
    assert closed["complete"][:, 1].all()


def test_the_last_quote_before_the_close_stands_in_the_bar():
    trades = events(np.array([1, 12, 35]) * S, id=[1, 2, 3], price=[1.0, 2, 3], size=1.0)
    quotes = events(np.array([13, 21]) * S, kind=QUOTE, bid=[1.9, 2.9], ask=[2.1, 3.1])
    rows = np.concatenate([trades, quotes])
    closed = Bars().push(rows[np.argsort(rows["time"], kind="stable")])
    assert closed["bid"][:, 0].tolist() == [1.9, 2.9]


def test_an_unknown_side_is_the_sign_of_the_last_price_change():
    rows = events(np.array([1, 11, 12, 13, 14, 40]) * S, id=range(6), price=[5.0, 6, 6, 4, 4, 4], size=1.0)
    assert Bars().push(rows)["flow"][0, 0] == 1 + 1 - 1 - 1


DAY = 86400


@pytest.mark.parametrize("ahead", [90, 3600, 29 * DAY, 365 * DAY, 9 * 10**9])
def test_a_clock_ahead_is_ignored_and_counted(ahead):
    right = events(np.array([1, 12, 31, 45]) * S, id=[1, 2, 4, 5], price=1.0, size=1.0)
    wrong, bars = np.insert(right, 2, events([ahead * S], id=3, price=99.0, size=1.0)), Bars()
    assert bars.push(wrong).tobytes() == Bars().push(right).tobytes() and bars.counts()["ahead"] == 1
    ticked, bars = np.insert(wrong, 3, events(np.arange(13, 20) * S, kind=TICK)), Bars()
    assert bars.push(ticked).tobytes() == Bars().push(right).tobytes() and bars.counts()["ahead"] == 1


@pytest.mark.parametrize("first", [-(10**9), -2 * DAY, 3600, 365 * DAY])
def test_a_first_row_of_a_wrong_clock_begins_nothing(first):
    start = 2 * 10**9
    right = events((np.array([1, 12, 31, 45]) + start) * S, id=[1, 2, 4, 5], price=1.0, size=1.0)
    bars = Bars()
    closed = bars.push(np.insert(right, 0, events([(start + first) * S], id=0, price=99.0, size=1.0)))
    assert closed.tobytes() == Bars().push(right).tobytes() and bars.counts()["ahead"] == 1


@pytest.mark.parametrize("days", [1, 20, 45])
def test_a_pause_of_any_length_is_filled_with_empty_bars_once_three_rows_confirm_it(days):
    times = np.array([1, 12, days * DAY, days * DAY + 1, days * DAY + 2]) * S
    bars = Bars()
    rows = events(times, id=range(5), price=1.0, size=1.0)
    assert len(bars.push(rows[:4])) == 0
    closed = bars.push(rows[4:])
    assert len(closed) == days * 8640 - 1 and closed["empty"][1:].all() and bars.counts()["ahead"] == 0


@pytest.mark.parametrize("trade_first", [True, False])
def test_a_tick_confirms_a_pause_at_once_and_what_waits_at_the_end_of_a_stream_is_counted(trade_first):
    bars, pause = Bars(), 600
    bars.push(events(np.array([1, 12]) * S, id=[1, 2], price=1.0, size=1.0))
    trade, tick = events([pause * S], id=3, price=2.0, size=1.0), events([(pause + 11) * S], kind=TICK)
    if trade_first:
        assert len(bars.push(trade)) == 0 and bars.counts()["ahead"] == 1, "where the stream ends, it says so"
        closed = bars.push(tick)
    else:
        before = bars.push(events([(pause - 1) * S], kind=TICK))
        closed = np.concatenate([before, bars.push(trade), bars.push(tick)])
    assert closed["end"][-1, 0] == (pause + 10) * S and closed["n"][:, 0].tolist() == [1] + [0] * 58 + [1]
    assert bars.counts()["ahead"] == 0


@settings(max_examples=20)
@given(seed=st.integers(0, 50), cuts=st.lists(st.integers(0, 300), max_size=6))
def test_any_cutting_of_a_tape_with_wrong_clocks_and_pauses_gives_the_same_bits(seed, cuts):
    rows, r = tape(300, seed), np.random.default_rng(seed)
    rows["time"] += (np.cumsum(r.random(300) < 0.02) * r.integers(1, 600)) * S
    wrong = r.random(300) < 0.05
    rows["time"][wrong] += r.integers(-100, 10**6, wrong.sum()) * S
    whole, cut = Bars(symbols=2), Bars(symbols=2)
    parts = [cut.push(part) for part in np.split(rows, sorted(cuts))]
    assert np.concatenate(parts).tobytes() == whole.push(rows).tobytes()
    assert dumps(cut.state) == dumps(whole.state)


def test_a_key_out_of_range_is_said():
    with pytest.raises(ValueError, match=r"keys must lie in 0\.\.0, got 1\.\.1"):
        Bars().push(events([1], key=1, price=1.0))
