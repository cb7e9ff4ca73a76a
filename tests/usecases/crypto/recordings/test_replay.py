"""Replay: a recording comes back in its order, at its times, as what it was, and nothing is known early."""

from pathlib import Path

import handed
import numpy as np
import pandas as pd
import pytest

from rtml.usecases.crypto.recordings.recording import since_last
from rtml.usecases.crypto.recordings.replay import Replay, places
from rtml.usecases.crypto.schema import TRADES
from rtml.usecases.crypto.trades import GAP, QUOTE, TICK, TRADE

ROOT = Path(__file__).parents[4]
SHARED = handed.DATA / "crypto"
S = 10**9
T0 = 1_700_000_000 * S


def recorded(name):
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"the recording {path} is not on this machine")
    return str(path)


def received(source, n=50_000):
    judged = [TRADES.accept(chunk, source.symbols) for chunk in source.chunks(n)]
    return np.concatenate([events for events, _ in judged]), pd.concat([rejected for _, rejected in judged])


@pytest.fixture
def write(tmp_path):
    """Write a table to a file and give its path."""

    def write(name, table=None, **columns):
        table = pd.DataFrame(columns) if table is None else table
        path = tmp_path / name
        table.to_parquet(path) if name.endswith("parquet") else table.to_csv(path, index=False)
        return str(path)

    return write


# -- every file of the recorded data ---------------------------------------------------------------------------------

CRYPTO = {
    "binance_coinm_ethusd_perp_bbo_2024-08-08": ("ETH-USD", {QUOTE: 35_563, TRADE: 4_014}),
    "binance_coinm_ethusd_perp_trades_2024-08-08": ("ETH-USD", {TRADE: 3_595}),
    "binance_spot_btcusdt_bbo_2024-08-08": ("BTC-USDT", {QUOTE: 73_174, TRADE: 6_601}),
    "binance_spot_btcusdt_trades_2024-08-08": ("BTC-USDT", {TRADE: 19_904}),
    "binance_spot_ethusdt_bbo_2024-08-08": ("ETH-USDT", {QUOTE: 58_758, TRADE: 6_089}),
    "binance_spot_ethusdt_trades_2024-08-08": ("ETH-USDT", {TRADE: 14_515}),
    "binance_usdm_btcusdt_bbo_2024-08-08": ("BTC-USDT", {QUOTE: 66_089, TRADE: 2_027}),
    "binance_usdm_btcusdt_trades_2024-08-08": ("BTC-USDT", {TRADE: 21_313}),
    "binance_usdm_ethusdt_bbo_2024-08-08": ("ETH-USDT", {QUOTE: 53_992, TRADE: 2_381}),
    "binance_usdm_ethusdt_trades_2024-08-08": ("ETH-USDT", {TRADE: 14_076}),
    "binance_xrpeth_aggtrades_2019-10": ("XRP-ETH", {TRADE: 12_477}),
    "bybit_btcusd_trades_2019-10-01_h00-12": ("BTC-USD", {TRADE: 41_454}),
    "coinbase_btcusd_trades_2023-09-05_h16": ("BTC-USD", {TRADE: 5_882}),
    "huobi_btcusdt_push_2018-04-16": ("BTC-USDT", {TRADE: 34_728, TICK: 9_541}),
    "huobi_ethusdt_push_2018-04-16": ("ETH-USDT", {TRADE: 24_369, TICK: 9_478}),
    "kraken_aaveusd_trades_2021q4": ("AAVE-USD", {TRADE: 209_067}),
    "kraken_axsusd_trades_2021q4": ("AXS-USD", {TRADE: 36_618}),
    "kraken_btcusd_1m_2023-04-03": ("BTC-USD", {TRADE: 23_681, TICK: 55}),
    "kraken_ethusd_1m_2023-04-03": ("ETH-USD", {TRADE: 20_782, TICK: 2_954}),
    "kraken_xrpeur_trades_2022-05": ("XRP-EUR", {TRADE: 99_903}),
    "oracle_btcusd_1hz_2026-07-24_h00-12": ("BTC-USD", {TRADE: 38_628}),
}


@pytest.mark.parametrize("name", CRYPTO)
def test_every_recording_runs_as_it_is(name):
    symbol, counts = CRYPTO[name]
    source = Replay(recorded(name + ".parquet"))
    events, rejected = received(source)
    assert source.symbols == (symbol,)
    assert len(rejected) == 0
    assert dict(zip(*np.unique(events["kind"], return_counts=True), strict=True)) == counts
    trades = events[events["kind"] == TRADE]
    assert len(np.unique(trades["id"])) == len(trades), "no trade is taken for a repeated one"
    assert (np.diff(events["time"]) >= 0).mean() > 0.999


def test_no_recording_is_forgotten():
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not on this machine")
    assert {path.stem for path in SHARED.glob("*.parquet")} == set(CRYPTO)


def test_the_volume_of_huobi_is_the_sum_of_its_minutes():
    path = recorded("huobi_ethusdt_push_2018-04-16.parquet")
    events, _ = received(Replay(path))
    traded = (events["size"] * np.nan_to_num(events["price"])).sum()
    table = pd.read_parquet(path)
    by_minute = table.groupby(table["ts"].dt.floor("min"))["minute_quote_volume"].last().sum()
    assert traded == pytest.approx(by_minute, rel=0.02)
    assert (events["size"] >= 0).all()


def test_two_markets_are_merged_by_time_and_holes_are_said():
    eth, btc = (recorded(f"huobi_{c}usdt_push_2018-04-16.parquet") for c in ("eth", "btc"))
    source = Replay(f"{eth},{btc}", gap="2m")
    events, _ = received(source)
    assert source.symbols == ("ETH-USDT", "BTC-USDT")
    assert np.minimum.reduce(np.diff(events["time"])) > -S
    holes = events[events["kind"] == GAP]
    silent_s = np.sort(np.round((holes["time"] - holes["id"]) / S))
    assert silent_s.tolist() == [184, 185, 1487, 1532]


def test_the_raw_messages_hold_the_trades_and_quotes_of_the_tables():
    source = Replay(recorded("raw/binance_spot_ethusdt_2024-08-08.log.gz"))
    events, rejected = received(source)
    assert source.symbols == ("ETH-USDT",) and len(rejected) == 0
    for kind, name, fields in ((TRADE, "trades", ["price", "size"]), (QUOTE, "bbo", ["bid", "ask"])):
        table = pd.read_parquet(recorded(f"binance_spot_ethusdt_{name}_2024-08-08.parquet"))
        own = events[events["kind"] == kind]
        assert len(own) > 6_000
        for field in fields:
            assert (own[field] == table[field].iloc[: len(own)].to_numpy()).all()
        assert (own["time"] == table["recv_ts"].astype("int64").iloc[: len(own)].to_numpy()).all()


# -- shapes ----------------------------------------------------------------------------------------------------------


def test_best_bid_and_ask_give_a_price_where_the_middle_moves(write):
    path = write("ethusd.csv", ts=[T0, T0 + S, T0 + 2 * S], bid=[99.0, 99.0, 100.0], ask=[101.0, 101.0, 101.0])
    events, _ = received(Replay(path))
    assert events["kind"].tolist() == [QUOTE, TRADE, QUOTE, QUOTE, TRADE]
    assert events["price"][[1, 4]].tolist() == [100.0, 100.5]
    assert events["size"].tolist() == [0.0] * 5


def test_quotes_beside_trades_add_no_prices(write):
    quotes = write("eth_usd_bbo.csv", ts=[T0], bid=[99.0], ask=[101.0])
    trades = write("ethusd_trades.csv", ts=[T0 + 1, T0 + 2], price=[101.0, 99.0], id=[5, 6])
    source = Replay(f"{trades},ETH-USD={quotes}")
    events, _ = received(source)
    assert source.symbols == ("ETH-USD",)
    assert events["kind"].tolist() == [QUOTE, TRADE, TRADE]
    assert events["id"].tolist() == [-1, 5, 6]


def test_quotes_stamped_by_the_recorder_are_not_merged_with_the_exchanges_clock(write):
    """The recorder runs 2 s behind: by mixed clocks the quote would come before the trade that moved it."""
    trades = write("ethusd_t.csv", ts=[T0], recv_ts=[T0 - 2 * S], price=[100.0])
    quotes = write("ethusd_q.csv", recv_ts=[T0 - 2 * S + 5], bid=[99.0], ask=[101.0])
    events, _ = received(Replay(f"{quotes},{trades}"))
    assert events["kind"].tolist() == [TRADE, QUOTE]


def test_a_candle_is_known_at_its_end(write):
    path = write(
        "ETH-USD.csv", ts=[T0, T0 + 60 * S, T0 + 120 * S], close=[1.0, 2.0, 2.0], open=1, volume=[3.0, 4.0, 0.0]
    )
    events, _ = received(Replay(path))
    assert (events["time"] - T0).tolist() == [60 * S - 1, 120 * S - 1, 180 * S - 1]
    assert events["kind"].tolist() == [TRADE, TRADE, TICK]
    assert events["size"].tolist() == [3.0, 4.0, 0.0]


def test_a_price_alone_has_size_zero(write):
    events, _ = received(Replay(write("btcusd.csv", time=[T0], price=[5.0])))
    assert (events["size"][0], events["side"][0], events["id"][0]) == (0.0, 0, 1)


def test_running_totals_start_again_when_they_fall_or_a_minute_passed():
    time, total = np.array([0, 10, 20, 30, 31, 300]) * S, np.array([9.0, 10.0, 10.0, 4.0, 5.0, 50.0])
    assert since_last(time, total).tolist() == [0.0, 1.0, 0.0, 4.0, 1.0, 50.0]
    swapped = np.array([0, 2, 1, 3, 4, 5])
    assert since_last(time[swapped], total[swapped]).tolist() == [0.0, 0.0, 1.0, 4.0, 1.0, 50.0]


# -- columns ---------------------------------------------------------------------------------------------------------


STAMPS = [1_700_000_000, 1_700_000_000_000, 1_700_000_000_000_000, T0, 1_700_000_000.0]
STAMPS += ["2023-11-14T22:13:20Z", "2023-11-15T00:13:20+02:00", "2023-11-14 22:13:20"]


@pytest.mark.parametrize("stamp", STAMPS)
def test_time_is_read_in_any_usual_form(write, stamp):
    events, _ = received(Replay(write("ethusd.csv", timestamp=[stamp], price=[1.0])))
    assert events["time"].tolist() == [T0]


def test_columns_are_named_by_parameter(write):
    path = write("ethusd.parquet", when=[T0], px_last=[7.0], price=[1.0], n=[0.5])
    events, _ = received(Replay(path, columns={"time": "when", "price": "px_last", "size": "n"}))
    assert (events["price"][0], events["size"][0]) == (7.0, 0.5)


def test_a_column_that_is_not_there_is_said_with_those_that_are(write):
    path = write("ethusd.csv", ts=[T0], price=[1.0])
    with pytest.raises(ValueError, match=r"size is 'lots', but there is no such column; found ethusd\.csv: ts, price"):
        Replay(path, columns={"size": "lots"})
    with pytest.raises(ValueError, match="COLUMNS names colour, which is not one of time, price"):
        Replay(path, columns={"colour": "price"})


def test_a_file_without_a_market_lists_its_columns(write):
    with pytest.raises(ValueError, match=r"found a, b: name them, such as COLUMNS="):
        Replay(write("ethusd.csv", a=[1], b=[2]))


def test_missing_empty_and_foreign_files_are_said(write, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no recording 'nowhere\.csv'.*or to synthetic"):
        Replay("nowhere.csv")
    with pytest.raises(ValueError, match="has no rows, only the columns ts, price"):
        Replay(write("ethusd.csv", ts=[], price=[]))
    (tmp_path / "empty.csv").touch()
    with pytest.raises(ValueError, match=r"empty\.csv cannot be read as csv"):
        Replay(str(tmp_path / "empty.csv"))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ValueError, match=r"broken\.parquet cannot be read as parquet"):
        Replay(str(tmp_path / "broken.parquet"))
    (tmp_path / "book.xlsx").touch()
    with pytest.raises(ValueError, match="neither Parquet nor CSV nor a message log"):
        Replay(str(tmp_path / "book.xlsx"))
    with pytest.raises(ValueError, match="no recording given"):
        Replay(" , ")


def test_a_recording_is_also_found_from_the_checkout_wherever_the_command_is_typed(tmp_path, monkeypatch):
    monkeypatch.delenv("RTML_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert places("pyproject.toml") == [("", ROOT / "pyproject.toml")]


def test_broken_cells_reach_the_quarantine_as_they_were_written(write):
    path = write("ethusd.csv", ts=[T0, "soon", T0 + S, T0 + 2 * S], price=["1.0", "2.0", "cheap", "3.0"])
    events, rejected = received(Replay(path))
    assert events["price"].tolist() == [1.0, 3.0]
    assert ["soon" in rejected["row"].iloc[0], "cheap" in rejected["row"].iloc[1]] == [True, True]


def test_a_row_may_be_a_trade_or_a_quote_or_neither(write):
    table = pd.DataFrame({"ts": [T0, T0 + 1, T0 + 2], "price": [1.0, None, None], "bid": [None, 0.9, None]})
    events, rejected = received(
        Replay(write("ethusd.csv", table.assign(ask=[None, 1.1, None], trade_id=[7, None, None])))
    )
    assert events["kind"].tolist() == [TRADE, QUOTE] and events["id"].tolist() == [7, -1]
    assert rejected["reason"].tolist() == ["price is not a positive number"]


# -- symbols and ids -------------------------------------------------------------------------------------------------


def test_a_symbol_column_goes_before_the_name_of_the_file_and_may_hold_several(write):
    table = pd.DataFrame({"ts": [T0, T0 + 1, T0 + 2], "symbol": ["SOL-USD", "ADA-USD", "SOL-USD"], "price": 1.0})
    path = write("ethusd.csv", table)
    assert Replay(path).symbols == ("SOL-USD", "ADA-USD")
    chosen = Replay(path, symbols=("ADA-USD",))
    assert chosen.symbols == ("ADA-USD",) and chosen.rows == 1
    assert Replay(f"X-Y={path}").symbols == ("X-Y",)
    with pytest.raises(LookupError, match="no symbol DOGE in the recording; it holds SOL-USD, ADA-USD"):
        Replay(path, symbols=("DOGE",))


def test_trades_of_two_days_without_ids_are_not_taken_for_one_another(write):
    days = [write(f"ethusd_{k}.csv", ts=[T0 + k, T0 + k + 5], price=[1.0, 2.0]) for k in (0, 10)]
    events, _ = received(Replay(",".join(days)))
    assert events["id"].tolist() == [1, 2, 3, 4]


def test_large_ids_stay_exact_beside_quotes(write):
    path = write("ethusd.parquet", ts=[T0], price=[1.0], id=[2**60 + 1], bid=[0.9], ask=[1.1])
    events, _ = received(Replay(path))
    assert events["kind"].tolist() == [QUOTE, TRADE] and events["id"].tolist() == [-1, 2**60 + 1]


# -- order and holes -------------------------------------------------------------------------------------------------


def test_order_of_arrival_stays_within_a_file(write):
    first = write("ethusd.csv", ts=[T0, T0 + 9, T0 + 3, T0 + 20], price=[1.0, 2.0, 3.0, 4.0])
    second = write("btcusd.csv", ts=[T0 + 5, T0 + 9], price=[5.0, 6.0])
    events, _ = received(Replay(f"{first},{second}"))
    assert events["price"].tolist() == [1.0, 5.0, 2.0, 3.0, 6.0, 4.0]


def test_a_long_silence_is_a_gap_only_when_asked_for(write):
    path = write("ethusd.csv", ts=[T0, T0 + 30 * S, T0 + 400 * S], price=[1.0, 2.0, 3.0])
    assert (received(Replay(path))[0]["kind"] == TRADE).all()
    events, _ = received(Replay(path, gap="1m"))
    assert events["kind"].tolist() == [TRADE, TRADE, GAP, TRADE]
    assert (events["id"][2], events["time"][2]) == (T0 + 30 * S, T0 + 400 * S - 1)


def test_lineage_names_the_content_and_paths_may_be_relative(write, monkeypatch, tmp_path):
    path = write("ethusd.csv", ts=[T0], price=[1.0])
    monkeypatch.chdir(tmp_path)
    assert Replay("ethusd.csv").name == Replay(path).name
    monkeypatch.chdir("/")
    monkeypatch.setenv("RTML_HOME", str(tmp_path))
    before = Replay("ethusd.csv").name
    assert before.startswith("file:ethusd.csv@") and len(before.rpartition("@")[2]) == 12
    write("ethusd.csv", ts=[T0], price=[1.1])
    assert Replay("ethusd.csv").name != before
