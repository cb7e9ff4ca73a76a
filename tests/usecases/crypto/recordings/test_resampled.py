"""Resampled history is a live stream that one can have again: the same for the same seed, joined in time and price."""

import numpy as np
import pandas as pd
import pytest

from rtml.core.clock import span
from rtml.sources.ingest import ingest
from rtml.sources.protocol import Source
from rtml.store.event_log import EventLog
from rtml.usecases.crypto.recordings.resampled import Resampled
from rtml.usecases.crypto.synthetic.market import Synthetic

HISTORY = Synthetic(hours=0.2)
SECOND = span("1s")


def rows(source):
    return pd.concat([*source.chunks(700)], ignore_index=True)


def numbers(frame, symbol):
    """Trades of a symbol whose price is a number."""
    frame = frame.assign(price=pd.to_numeric(frame["price"], errors="coerce"))
    return frame[(frame["symbol"] == symbol) & frame["price"].notna()]


def test_the_same_seed_gives_the_same_rows_whatever_the_chunks_and_another_seed_others():
    one, two = (Resampled(HISTORY, block="1m", jitter="3s", seed=5) for _ in range(2))
    assert rows(one).equals(pd.concat([*two.chunks(13)], ignore_index=True)) and one.name == two.name
    assert isinstance(one, Source) and one.rows == len(rows(one)) and one.symbols == HISTORY.symbols
    other = Resampled(HISTORY, block="1m", jitter="3s", seed=6)
    assert not rows(one).equals(rows(other)) and other.name != one.name


def test_jitter_changes_the_order_of_arrival_within_its_span_and_nothing_else():
    given, made = rows(Resampled(HISTORY)), rows(Resampled(HISTORY, jitter="2s"))
    behind = np.maximum.accumulate(made["time"]) - made["time"]
    assert 0 < behind.max() < 2 * SECOND and (np.diff(given["time"]) >= 0).all()
    names = list(given.columns)
    assert sorted(map(repr, made[names].values.tolist())) == sorted(map(repr, given[names].values.tolist()))


def test_blocks_are_pieces_of_history_that_follow_each_other_in_time_and_go_on_in_price():
    history, made = rows(Resampled(HISTORY)), rows(Resampled(HISTORY, block="1m", length="30m", seed=2))
    start, minute = int(history["time"].iloc[0]), span("1m")
    assert (np.diff(made["time"]) >= 0).all() and made["time"].max() < start + 30 * minute
    assert set((made["time"] - start) // minute) == set(range(30)), "longer than the history, without a hole"
    symbol = HISTORY.symbols[0]
    past, trades = (numbers(frame, symbol) for frame in (history, made))
    within = np.abs(np.diff(np.log(past["price"].to_numpy()))).max()
    assert np.abs(np.diff(np.log(trades["price"].to_numpy()))).max() <= within * 1.0001, "no jump where blocks meet"
    inside = trades[(trades["time"] - start) // minute == 7]
    gaps, moves = np.diff(inside["time"]), np.diff(np.log(inside["price"].to_numpy()))
    found = [
        i
        for i in np.flatnonzero(past["time"].diff().iloc[1:].to_numpy() == gaps[0])
        if np.array_equal(np.diff(past["time"].iloc[i : i + len(inside)]), gaps)
    ]
    assert found and np.allclose(np.diff(np.log(past["price"].iloc[found[0] : found[0] + len(inside)])), moves)


def test_what_is_made_is_taken_like_any_source(tmp_path):
    made = Resampled(HISTORY, block="2m", jitter="1s", seed=9)
    with EventLog(tmp_path / "events.db") as log:
        ingest(made, log, "events")
        assert log.refused("events") < 0.01 * made.rows and log.last("events") > 0.9 * made.rows


def test_a_block_longer_than_the_history_is_refused():
    with pytest.raises(ValueError, match="a block of 7200 s is longer than the history of"):
        Resampled(HISTORY, block="2h")
