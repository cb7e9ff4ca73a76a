"""The synthetic market: its declared law can be found in what it sends, and its feed is as rough as a real one."""

import time

import numpy as np
import pandas as pd
import pytest

from rtml.usecases.crypto.bars import Bars
from rtml.usecases.crypto.schema import TRADES
from rtml.usecases.crypto.synthetic.market import Synthetic
from rtml.usecases.crypto.synthetic.price_process import DRIFTS, drift
from rtml.usecases.crypto.trades import QUOTE, TRADE


def received(source):
    return np.concatenate([TRADES.accept(chunk, source.symbols)[0] for chunk in source.chunks()])


def least_squares(truth, columns=("z", "lead_bp", "bounce_bp")):
    """Coefficients, their standard errors and R2 against zero."""
    x, y = truth[list(columns)].to_numpy(), truth["return_bp"].to_numpy()
    weights, *_ = np.linalg.lstsq(x, y, rcond=None)
    rest = y - x @ weights
    return weights, np.sqrt(rest.var() * np.diag(np.linalg.inv(x.T @ x))), 1 - (rest**2).sum() / (y**2).sum()


def bar_truth(source, bars):
    """The truth beside what bars of the received events show: imbalance, return of the next bar."""
    eth, btc = bars[:, 0], bars[:, 1]
    seen = pd.DataFrame({"end": eth["end"], "seen": eth["flow"] / np.where(eth["volume"] > 0, eth["volume"], 1.0)})
    seen["next_bp"] = np.r_[1e4 * np.diff(np.log(eth["close"])), np.nan]
    seen["btc_bp"] = np.r_[np.nan, 1e4 * np.diff(np.log(btc["close"]))]
    return source.truth().merge(seen, on="end", validate="1:1").iloc[1:-1]


@pytest.fixture(scope="module")
def day():
    return Synthetic(seed=7, hours=24.0, drift="sudden")


@pytest.fixture(scope="module")
def day_events(day):
    return received(day)


@pytest.fixture(scope="module")
def day_bars(day, day_events):
    return bar_truth(day, Bars("10s", "1s", symbols=2).push(day_events))


def test_a_day_is_made_in_two_seconds():
    began = time.process_time()
    assert Synthetic(seed=3).rows > 200_000
    assert time.process_time() - began < 2.0


def test_the_same_seed_gives_the_same_rows_and_another_gives_others():
    first, again, other = (next(Synthetic(seed=seed, hours=0.5).chunks()) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first["time"].equals(other["time"])


def test_chunks_are_pieces_of_the_whole():
    source = Synthetic(hours=0.5)
    events = received(source)
    pieces = [TRADES.accept(chunk, source.symbols)[0] for chunk in source.chunks(777)]
    assert np.concatenate(pieces).tobytes() == events.tobytes()
    assert sum(map(len, source.chunks(777))) == source.rows


def test_bars_of_the_received_events_show_the_declared_flow_and_returns(day_bars):
    assert np.corrcoef(day_bars["seen"], day_bars["imbalance"])[0, 1] > 0.995
    assert (day_bars["next_bp"] - day_bars["return_bp"]).abs().max() < 1e-6
    assert (0.15 * day_bars["btc_bp"] - day_bars["lead_bp"]).abs().max() < 1e-6


@pytest.mark.parametrize(("half", "beta"), [("first", 1.3), ("second", -0.9)])
def test_the_declared_strength_is_recovered_from_bars_by_least_squares(day_bars, half, beta):
    middle = len(day_bars) // 2
    part = day_bars.iloc[:middle] if half == "first" else day_bars.iloc[middle:]
    seen = pd.DataFrame({"z": part["seen"] / part["imbalance"].std(), "return_bp": part["next_bp"]})
    (weight,), (error,), _ = least_squares(seen, ["z"])
    assert abs(weight - beta) < 3 * error + 0.03, (weight, error)


def test_over_many_seeds_every_part_of_the_law_has_the_weight_declared():
    truths = [Synthetic(seed=s, drift="none").truth() for s in range(12)]
    weights = np.array([least_squares(truth)[0] for truth in truths])
    spread = weights.std(axis=0) / np.sqrt(len(weights))
    assert (np.abs(weights.mean(axis=0) - [1.3, 1.0, 1.0]) < 4 * spread + 0.02).all(), (weights.mean(axis=0), spread)
    alone = np.mean([least_squares(truth, ["z"])[0] for truth in truths])
    assert abs(alone - 1.3) < 0.06, "flow alone shows it too: the bounce of the close is a coin apart from it"


def test_no_model_beats_the_one_that_knows_the_law(day):
    truth = day.truth()
    assert 0.05 < day.best_r2 < 0.14
    for part in (truth.iloc[:4320], truth.iloc[4320:]):
        _, _, fitted = least_squares(part)
        rest = part["return_bp"] - part["signal_bp"]
        known = 1 - (rest**2).sum() / (part["return_bp"] ** 2).sum()
        assert abs(fitted - known) < 0.005, "fitting in hindsight gains no more than chance"
    assert truth["best_r2"].between(0, 1).all()


@pytest.mark.parametrize("kind", DRIFTS)
def test_the_best_r2_looks_like_a_market_under_every_drift(kind):
    assert 0.04 < Synthetic(seed=11, drift=kind).best_r2 < 0.15


def fitted_in(kind, start, stop, seeds=4):
    """Strength found by least squares in a part of the run, mean of several seeds."""
    found = []
    for seed in range(seeds):
        truth = Synthetic(seed=seed, drift=kind).truth()
        part = truth.iloc[int(start * len(truth)) : int(stop * len(truth))]
        found.append(least_squares(part)[0][0])
    return float(np.mean(found))


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("none", {(0.0, 0.5): 1.3, (0.5, 1.0): 1.3}),
        ("sudden", {(0.4, 0.5): 1.3, (0.5, 0.6): -0.9}),
        ("gradual", {(0.0, 0.25): 1.3, (0.4, 0.6): 0.2, (0.75, 1.0): -0.9}),
        ("incremental", {(0.0, 0.25): 1.3, (0.4, 0.6): 0.2, (0.75, 1.0): -0.9}),
        ("recurring", {(0.0, 0.25): 1.3, (0.25, 0.5): -0.9, (0.5, 0.75): 1.3, (0.75, 1.0): -0.9}),
    ],
)
def test_each_drift_has_its_shape_in_the_returns(kind, shape):
    for (start, stop), beta in shape.items():
        found = fitted_in(kind, start, stop)
        assert abs(found - beta) < 0.3, (kind, start, stop, found)


def test_gradual_has_two_levels_and_incremental_all_between():
    rng = np.random.default_rng(7)
    gradual, incremental = drift("gradual", 8640, rng), drift("incremental", 8640, rng)
    assert set(gradual) == {1.3, -0.9}
    assert (np.diff(gradual) != 0).sum() > 20, "it goes back and forth"
    assert (np.diff(incremental) <= 0).all() and len(set(incremental)) > 4000


def test_the_feed_is_rough(day, day_events):
    events, rejected = day_events, sum(len(TRADES.accept(c, day.symbols)[1]) for c in day.chunks())
    trades = events[events["kind"] == TRADE]
    behind = np.maximum.accumulate(trades["time"]) - trades["time"]
    assert 20 < rejected < 200
    assert 20 < (behind > 2 * 10**9).sum() < 800, "late"
    assert ((behind > 0) & (behind < 10**9)).mean() > 0.01, "out of order"
    seen = pd.DataFrame({"key": trades["key"], "id": trades["id"]}).duplicated().sum()
    assert 100 < seen < 1000, "duplicates"
    assert (np.diff(np.sort(trades["time"])) == 0).mean() > 0.1, "ties"
    assert (events["kind"] == QUOTE).mean() > 0.1


def test_every_kind_of_fault_reaches_the_quarantine(day):
    reasons = pd.concat([TRADES.accept(c, day.symbols)[1] for c in day.chunks()])["reason"]
    assert set(reasons) == {
        "price is not a positive number",
        "size is not a number of zero or more",
        "side is neither buy nor sell",
        "symbol is not one of this run",
        "time is missing or not a moment",
    }


def test_a_bar_ignores_late_and_double_trades(day_events):
    bars = Bars("10s", "1s", symbols=2)
    bars.push(day_events)
    counts = bars.counts()
    assert counts["duplicate"] > 50 and counts["late"] > 50 and counts["ahead"] == 0


def test_prices_sizes_and_ids_are_on_their_grids(day_events):
    events = day_events
    trades, quotes = events[events["kind"] == TRADE], events[events["kind"] == QUOTE]
    for values, step in ((trades["price"], 0.01), (trades["size"], 1e-4), (quotes["bid"], 0.01), (quotes["ask"], 0.01)):
        assert (values == np.round(values, 4)).all()
        assert np.abs(values / step - np.round(values / step)).max() < 1e-5
    assert (quotes["bid"] < quotes["ask"]).all()
    for key in (0, 1):
        own = np.sort(trades[trades["key"] == key], order=["id"])
        assert (np.diff(own["time"]) >= 0).all(), "ids ascend with time"


def test_it_looks_like_a_market(day_events, day_bars):
    events = day_events
    rate = np.bincount(events["key"][events["kind"] == TRADE]) / 86400
    assert ((rate > 0.8) & (rate < 2.5)).all(), rate
    size = day_bars["return_bp"].abs()
    assert size.autocorr(1) > 0.1, "volatility is predictable"
    assert size.autocorr(30) > 0.05, "volatility clusters"
    assert 2.5 < day_bars["return_bp"].std() < 7.0
    assert 0 < (day_bars["return_bp"] == 0).mean() < 0.05
    hours = day_bars.groupby((day_bars["end"] // (3600 * 10**9)) % 24)["return_bp"].std()
    assert hours.loc[12:18].mean() > 1.2 * hours.loc[0:6].mean(), "the day has a rhythm"


def test_a_quiet_period_has_empty_bars(day_events):
    bars = Bars("10s", "1s", symbols=2).push(day_events)[:, 0]
    quiet = bars[int(0.361 * 8640) : int(0.371 * 8640)]
    assert quiet["empty"].mean() > 0.5 and bars["empty"].mean() < 0.05


@pytest.mark.parametrize(
    ("given", "said"), [({"drift": "slow"}, "known: none, sudden"), ({"hours": 0.0}, "between 0.1")]
)
def test_wrong_parameters_are_said(given, said):
    with pytest.raises((LookupError, ValueError), match=said):
        Synthetic(**given)
