"""The contract of every source, and the catalogue that opens them."""

import numpy as np
import pandas as pd
import pytest

from rtml.sources.protocol import Source, pieces
from rtml.usecases.crypto.recordings.replay import Replay
from rtml.usecases.crypto.schema import COLUMNS, RAW, TRADES
from rtml.usecases.crypto.sources import SOURCES, catalogue, open_source
from rtml.usecases.crypto.synthetic.market import Synthetic
from rtml.usecases.crypto.synthetic.price_process import DRIFTS


@pytest.fixture(params=["synthetic", "trades", "quotes", "candles", "pushes"])
def source(request, tmp_path):
    if request.param == "synthetic":
        return open_source("synthetic", hours=0.2, seed=3)
    time = 1_700_000_000_000 + 700 * np.arange(300)
    wave = 100.0 + np.round(np.sin(np.arange(300)), 2)
    tables = {
        "trades": {"price": wave, "amount": 1.0, "side": "buy", "trade_id": np.arange(300)},
        "quotes": {"bid": wave - 0.01, "ask": wave + 0.01},
        "candles": {"open": wave, "close": wave, "volume": 1.0},
        "pushes": {"price": wave, "minute_quote_volume": np.arange(300.0) % 80},
    }
    path = tmp_path / "eth-usd.csv"
    pd.DataFrame({"ts": time} | tables[request.param]).to_csv(path, index=False)
    return open_source(str(path), gap="1h")


def check_source(source):
    """What every source keeps: the columns, the count, the same twice, the same in any chunks, symbols of its own."""
    assert isinstance(source, Source)
    assert source.name and source.symbols and len(set(source.symbols)) == len(source.symbols)
    whole = pd.concat(source.chunks(10**9))
    assert tuple(whole.columns) == RAW == tuple(COLUMNS)
    assert len(whole) == source.rows
    events, rejected = TRADES.accept(whole, source.symbols)
    assert len(events) > 0.99 * len(whole) and set(events["key"]) == set(range(len(source.symbols)))
    for n in (7, 100):
        judged = [TRADES.accept(chunk, source.symbols) for chunk in source.chunks(n)]
        assert all(len(chunk) <= n for chunk in source.chunks(n))
        assert np.concatenate([events for events, _ in judged]).tobytes() == events.tobytes()
        assert pd.concat([out for _, out in judged])["reason"].tolist() == rejected["reason"].tolist()


def test_every_source_keeps_the_contract(source):
    check_source(source)


def test_the_catalogue_opens_what_it_lists(tmp_path):
    assert catalogue()["source"].tolist() == list(SOURCES)
    for kind in DRIFTS:
        by_name, by_parameter = open_source(f"synthetic:{kind}", hours=1), open_source("synthetic", hours=1, drift=kind)
        assert isinstance(by_name, Synthetic) and by_name.name == by_parameter.name
    (tmp_path / "ethusd.csv").write_text("ts,price\n1700000000,5\n")
    assert isinstance(open_source(str(tmp_path / "ethusd.csv")), Replay)


def test_an_exchange_is_opened_by_its_name_and_an_unknown_one_lists_the_known():
    for source in ("kraken", "exchange:kraken", "coinbase", "binance"):
        live = open_source(source, symbols=["ETH/USD"], backfill="10m", seconds=60)
        assert live.name == f"exchange:{source.removeprefix('exchange:')}:ETH/USD" and live.symbols == ("ETH/USD",)
    with pytest.raises(LookupError, match="no exchange 'mtgox'; known: kraken, coinbase, binance"):
        open_source("exchange:mtgox")


def test_a_chunk_holds_at_least_one_row():
    with pytest.raises(ValueError, match="at least one row, got n=0"):
        list(pieces(pd.DataFrame({"a": [1]}), 0))
