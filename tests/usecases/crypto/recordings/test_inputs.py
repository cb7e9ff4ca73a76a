"""Files as people have them: read right, or refused with a sentence; never wrong in silence, never a trace."""

import gzip
import json
import zipfile

import handed
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtml.core.clock import ManualClock, span
from rtml.sources.catalogue import open_source
from rtml.sources.ingest import ingest
from rtml.sources.pacing import moments
from rtml.sources.report import IngestReport
from rtml.sources.tables import Unreadable
from rtml.store.event_log import EventLog
from rtml.usecases.crypto.bars import Bars
from rtml.usecases.crypto.recordings.in_bars import check_in_bars, share_in_bars
from rtml.usecases.crypto.recordings.order import arrival
from rtml.usecases.crypto.recordings.recording import AHEAD, NO_MOMENT, OLDER
from rtml.usecases.crypto.recordings.replay import Replay
from rtml.usecases.crypto.schema import TRADES
from rtml.usecases.crypto.trades import GAP, TICK, TRADE

HANDED = handed.DATA / "inputs"
S = 10**9
T0 = 1_735_689_600  # 2025-01-01
CLOCK = ManualClock(start=(T0 + 86_400 * 100) * S)


def received(source):
    judged = [TRADES.accept(chunk, source.symbols) for chunk in source.chunks()]
    return np.concatenate([events for events, _ in judged]), pd.concat([rejected for _, rejected in judged])


@pytest.fixture
def opened(tmp_path):
    """Write a text or bytes to a file and open it."""

    def opened(content, name="mine__ETH-USD.csv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return Replay(str(path), clock=CLOCK, **options)

    return opened


def lines(header, rows):
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


def trades(n=90, **columns):
    """A tidy table of one trade a second in ms; a column may be a list of its own."""
    table = {"time": [(T0 + k) * 1000 for k in range(n)], "price": [2000 + k / 10 for k in range(n)], "size": [0.5] * n}
    return table | {"side": [("sell", "buy")[k % 2] for k in range(n)], "id": list(range(1, n + 1))} | columns


def table(columns):
    return lines(",".join(columns), zip(*columns.values(), strict=True))


# -- times -----------------------------------------------------------------------------------------------------------

TIMES = {
    "seconds": ("1735689600", "1735689601"),
    "seconds with decimals": ("1735689600.000", "1735689601.000"),
    "ms, then us": ("1735689600000", "1735689601000000"),
    "ns": ("1735689600000000000", "1735689601000000000"),
    "ISO with a zone": ("2025-01-01T01:00:00+01:00", "2025-01-01T00:00:01Z"),
    "ISO without": ("2025-01-01 00:00:00", "2025-01-01 00:00:01"),
    "UTC behind": ("2025-01-01 00:00:00 UTC", "2025-01-01 00:00:01 UTC"),
    "digits": ("20250101000000", "20250101000001"),
    "digits and a space": ("20250101 000000", "20250101 000001"),
    "dots": ("01.01.2025 00:00:00.000", "01.01.2025 00:00:01.000"),
    "dots with a zone": ("01.01.2025 01:00:00.000 GMT+0100", "01.01.2025 01:00:01.000 GMT+0100"),
    "MetaTrader": ("2025.01.01 00:00:00", "2025.01.01 00:00:01"),
    "name of the month": ("01 Jan 2025 00:00:00", "01 Jan 2025 00:00:01"),
    "Excel": ("45658.0", "45658.0000115741"),
}


@pytest.mark.parametrize("form", TIMES)
def test_a_time_is_read_in_every_form(opened, form):
    events, rejected = received(opened(lines("time,price", [(t, 5) for t in TIMES[form]])))
    assert not len(rejected)
    assert np.abs(events["time"] - np.array([T0, T0 + 1]) * S).max() <= 10**6


DAYS = {"YYYYMMDD": "20250131 20250201", "ISO": "2025-01-31 2025-02-01", "US": "01/31/2025 02/01/2025"}
DAYS |= {"British": "31/01/2025 01/02/2025", "German": "31.01.2025 01.02.2025", "Excel": "45688 45689"}


@pytest.mark.parametrize("form", DAYS)
def test_a_date_is_read_in_every_form(opened, form):
    events, _ = received(opened(lines("date,close,volume", [(day, 5, 1) for day in DAYS[form].split()])))
    assert pd.to_datetime(events["time"] + 1).strftime("%Y-%m-%d").tolist() == ["2025-02-01", "2025-02-02"]


def test_month_and_day_are_not_guessed(opened):
    with pytest.raises(
        Unreadable, match=r"column 'date' of .* holds '01/02/2025': month or day first\? no row has a day"
    ):
        opened(lines("date,close", [("01/02/2025", 1), ("01/03/2025", 2)]))
    with pytest.raises(Unreadable, match="some rows can only be one and some only the other"):
        opened(lines("date,close", [("01/13/2025", 1), ("13/01/2025", 2)]))


def test_date_and_time_of_day_may_be_two_columns_or_the_date_be_told(opened):
    wanted = [T0 * S + span("9h") + span("30m"), T0 * S + span("9h") + span("31m")]
    for header, rows in {
        "date,time,price": [("2025-01-01", "09:30:00", 1), ("2025-01-01", "09:31:00", 2)],
        "<DATE>,<TIME>,price": [("20250101", "093000", 1), ("20250101", "093100", 2)],
    }.items():
        assert received(opened(lines(header, rows)))[0]["time"].tolist() == wanted
    seconds = lines("time,price", [(34_200.0, 1), (34_260.0, 2)])
    assert received(opened(seconds, columns={"date": "2025-01-01"}))[0]["time"].tolist() == wanted
    assert received(opened(seconds, name="ETH-USD_2025-01-01.csv"))[0]["time"].tolist() == wanted
    with pytest.raises(
        Unreadable, match=r"'34200.0' in row 1, which is no moment from 2000 .*; the forms: seconds, ms"
    ):
        opened(seconds)
    with pytest.raises(Unreadable, match="seconds of the day, or hours, minutes and seconds"):
        opened(lines("time,price", [(10_000, 1), (20_000, 2)]), columns={"date": "2025-01-01"})
    with pytest.raises(Unreadable, match="goes back by more than half a day in row 2"):
        opened(lines("time,price", [("23:59:59", 1), ("00:00:01", 2)]), columns={"date": "2025-01-01"})


@pytest.mark.parametrize(
    "stray", ["0", "inf", "-1", "9999-12-31T00:00:00Z", "1e30", str(2**63), str(2**64), "soon", "1970-01-01"]
)
def test_a_time_that_is_no_plausible_moment_goes_to_the_quarantine_alone(opened, stray):
    written = [f"2025-01-01 00:00:{k:02d}" for k in range(40)]
    events, rejected = received(opened(lines("time,price", [(t, 2000) for t in [*written[:20], stray, *written[20:]]])))
    assert len(events) == 40 and rejected["reason"].tolist() == [NO_MOMENT]
    assert json.loads(rejected["row"].iloc[0])["time"] == stray


def test_a_time_more_than_a_year_ahead_of_the_clock_is_none(opened):
    late = (T0 + 86_400 * 470) * 1000
    _, rejected = received(opened(table(trades(time=[*trades(89)["time"], late]))))
    assert rejected["reason"].tolist() == [NO_MOMENT]


# -- clocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", ["90s", "1h", "1d", "30d", "200d"])
@pytest.mark.parametrize("places", [[0], [20], [20, 21], [20, 50, 53], [89]])
def test_rows_with_a_clock_ahead_are_put_aside_and_the_bars_are_those_of_the_others(opened, ahead, places):
    columns = trades()
    for place in places:
        columns["time"][place] += span(ahead) // 10**6
    events, rejected = received(opened(table(columns)))
    assert rejected["reason"].tolist() == [AHEAD] * len(places)
    assert events["id"].tolist() == [k for k in range(1, 91) if k - 1 not in places]
    bars = Bars("10s", "1s")
    assert 5 <= len(bars.push(events)) <= 8 and sum(bars.counts().values()) == 0


@pytest.mark.parametrize("days", [1, 28, 31, 62])
def test_a_hole_that_several_rows_confirm_is_a_gap_and_the_run_goes_on_behind_it(opened, days):
    time = [t + (days * 86_400_000 if k >= 45 else 0) for k, t in enumerate(trades()["time"])]
    events, rejected = received(opened(table(trades(time=time))))
    bars = Bars("10s", "1s")
    closed = bars.push(events)[:, 0]
    assert not len(rejected) and bars.counts() == {"late": 0, "duplicate": 0, "ahead": 0}
    assert closed["n"].sum() >= 70 and closed["n"][-1] == 10
    assert (events["kind"] == GAP).sum() == (-(-days // 29) if days > 29 else 0)
    hole = closed[(closed["end"] > (T0 + 50) * S) & (closed["end"] <= (T0 + days * 86_400) * S)]
    assert hole["complete"].any() == (days < 29)


def test_the_newest_row_may_come_first_and_it_is_said(opened):
    columns = {name: cells[::-1] for name, cells in trades().items()}
    source = opened(table(columns))
    events, _ = received(source)
    assert events["id"].tolist() == list(range(1, 91))
    assert source.notes == ("mine__ETH-USD.csv: the newest row comes first: read from the end",)


def test_symbols_one_after_the_other_are_read_in_order_of_time(opened):
    rows = [((T0 + k) * 1000, s, 1 + k) for s in ("A-USD", "B-USD") for k in range(100)]
    source = opened(lines("time,symbol,price", rows))
    events, _ = received(source)
    assert (np.diff(events["time"]) >= 0).all() and source.symbols == ("A-USD", "B-USD")
    assert "sorted" in source.notes[0]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=60))
def test_no_order_of_times_loses_a_row(times):
    order, ahead, _ = arrival(np.array(times, np.int64).clip(-(2**61), 2**61))
    assert sorted(order.tolist()) == list(range(len(times))) and len(ahead) == len(times)


def test_a_replay_keeps_its_pace_behind_a_hole():
    day = 86_400 * S
    rows = pd.DataFrame({"time": [10, 12, 12 + 40 * day, 15 + 40 * day, 18 + 40 * day]})
    assert moments(rows).tolist() == rows["time"].tolist()
    assert moments(rows.assign(fault=["", "", "broken", "", ""])).tolist()[2] == 12


# -- ids and sides ---------------------------------------------------------------------------------------------------


def test_ids_beyond_a_float_stay_exact_beside_a_blank(opened, tmp_path):
    first = 1_565_944_335_967_000_000
    ids = [first + k for k in range(90)]
    events, _ = received(opened(table(trades(id=[*ids[:30], "", *ids[31:]]))))
    assert events["id"].tolist() == [*ids[:30], -1, *ids[31:]]
    nullable = pd.DataFrame(trades()).assign(id=pd.array([*ids[:30], None, *ids[31:]], "Int64"))
    nullable.to_parquet(tmp_path / "ETH-USD.parquet")
    assert received(Replay(str(tmp_path / "ETH-USD.parquet")))[0]["id"].tolist() == events["id"].tolist()


def test_ids_that_are_no_integers_count_once(opened):
    ids = [f"b2e3-{k // 2}" for k in range(90)]
    events, rejected = received(opened(table(trades(id=ids, time=[(T0 + k // 2) * 1000 for k in range(90)]))))
    bars = Bars("10s", "1s")
    bars.push(events)
    assert not len(rejected) and len(np.unique(events["id"])) == 45 and bars.counts()["duplicate"] == 45
    _, rejected = received(opened(table(trades(id=[*range(89), "n-a"]))))
    assert rejected["reason"].tolist() == ["id is not an integer"]


SIDES = {
    "words": "Buy SELL",
    "letters": "b S",
    "FIX": "1 2",
    "signs": "1 -1",
    "quotes": "bid ask",
    "floats": "1.0 -1.0",
}


@pytest.mark.parametrize("form", SIDES)
def test_sides_are_read_whole(opened, form):
    words = SIDES[form].split()
    events, rejected = received(opened(table(trades(side=[words[k % 2] for k in range(90)]))))
    assert not len(rejected) and events["side"].tolist() == [1, -1] * 45


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("0 1", "holds only 0, 1: which one is buy"),
        ("True False", "holds only false, true: which one is buy"),
        ("buy verkauf", "'verkauf' in row 2: sides that are read are buy and sell"),
        ("left right", "'left' in row 1: sides that are read"),
        ("1 3", "'3' in row 2"),
    ],
)
def test_half_a_market_is_refused_whole(opened, words, sentence):
    written = table(trades(side=[words.split()[k % 2] for k in range(90)]))
    with pytest.raises(Unreadable, match=sentence):
        opened(written)
    events, _ = received(opened(written, columns={"side": ""}))
    assert set(events["side"]) == {0}


@pytest.mark.parametrize("words", ["0 1", "False True", "false true", "no yes"])
@pytest.mark.parametrize("name", ["is_buyer_maker", "isBuyerMaker"])
def test_a_maker_flag_says_that_the_buyer_waited(opened, words, name):
    columns = {name: [words.split()[k % 2] for k in range(90)]} | trades()
    del columns["side"]
    assert received(opened(table(columns)))[0]["side"].tolist() == [1, -1] * 45


def test_a_signed_size_is_a_side_and_a_rare_negative_one_is_a_mistake(opened):
    columns = trades(size=[(-1) ** k * 0.5 for k in range(90)])
    del columns["side"]
    events, rejected = received(opened(table(columns)))
    assert not len(rejected) and events["side"].tolist() == [1, -1] * 45 and set(events["size"]) == {0.5}
    events, rejected = received(opened(table(trades(size=[0.5] * 89 + [-0.5]))))
    assert rejected["reason"].tolist() == ["size is not a number of zero or more"] and len(events) == 89
    events, rejected = received(opened(table(trades(size=[0.5] * 80 + [-0.5] * 10))))  # their sides say otherwise
    assert rejected["reason"].tolist() == ["size is not a number of zero or more"] * 10 and len(events) == 80
    with pytest.raises(Unreadable, match=r"holds -0\.5 in row 1: nearly all sizes are negative"):
        opened(table(trades(size=[-0.5] * 90)))


# -- shapes of files -------------------------------------------------------------------------------------------------

MS = T0 * 1000
HEADLESS = {
    "Binance spot aggTrades": [f"{k},2000.5,0.5,{k},{k},{MS + k},{k % 2 == 1},True" for k in range(30)],
    "Binance futures aggTrades": [f"{k},2000.5,0.5,{k},{k},{MS + k},{k % 2 == 1}" for k in range(30)],
    "Binance spot trades": [f"{k},2000.5,0.5,1000.25,{MS * 1000 + k},{k % 2 == 1},True" for k in range(30)],
    "Binance futures trades": [f"{k},2000.5,0.5,1000.25,{MS + k},{str(k % 2 == 1).lower()}" for k in range(30)],
    "Binance klines": [
        f"{MS + 60_000 * k},1,3000,1,2000.5,0.5,{MS + 60_000 * k + 59_999},9,4,1,1,0" for k in range(30)
    ],
    "Kraken trades": [f"{T0 + k},2000.5,0.5" for k in range(30)],
    "Kraken candles": [f"{T0 + 60 * k},1,3000,1,2000.5,0.5,7" for k in range(30)],
    "Kraken candles with vwap": [f"{T0 + 60 * k},1,3000,1,2000.5,2,0.5,7" for k in range(30)],
    "Kraken trades with sides": [f"2000.5,0.5,{T0 + k}.1234,{'bs'[k % 2]},m," for k in range(30)],
    "LOBSTER messages": [f"{34_200 + k}.5,4,77{k},1,20005000,{1 - 2 * ((k + 1) % 2)}" for k in range(30)],
}


@pytest.mark.parametrize("layout", HEADLESS)
def test_an_archive_without_a_header_is_recognised(opened, layout):
    source = opened("\n".join(HEADLESS[layout]), name="ETHUSDT-2025-01-01.csv")
    events, rejected = received(source)
    assert source.notes[0].endswith(f"no header, read as {layout}") and source.symbols == ("ETH-USDT",)
    assert len(events) == 30 and not len(rejected) and set(events["price"]) == {2000.5}
    assert set(events["size"]) == {1.0 if "LOBSTER" in layout else 0.5}
    sided = ("trades" in layout.lower() and layout != "Kraken trades") or "LOBSTER" in layout
    assert events["side"].tolist() == ([1, -1] * 15 if sided else [0] * 30)


def test_an_unknown_file_without_a_header_is_named_by_position(opened):
    written = "5.5,x,1735689600\n5.6,y,1735689601\n"
    with pytest.raises(
        Unreadable, match=r"looks as if it had no header: its first row is '5.5, x, 1735689600'.*COLUMNS="
    ):
        opened(written)
    for columns in ({"price": 0, "time": 2}, {"price": "0", "time": "2"}, ["price", "", "time"]):
        assert received(opened(written, columns=columns))[0]["price"].tolist() == [5.5, 5.6]
    with pytest.raises(Unreadable, match=r"COLUMNS names 4 columns by position, but .* has 3"):
        opened(written, columns=["price", "", "time", "size"])


def test_a_field_more_than_the_header_names_never_shifts_columns(opened):
    rows = [(T0 + k, 2000 + k, 0.5, 7) for k in range(30)]
    with pytest.raises(Unreadable, match=r"line 2 has 4 fields, but the header names 3 \(time, price, size\): .*,7'"):
        opened(lines("time,price,size", rows))
    events, _ = received(opened(lines("time,price,size", [(*row[:3], "") for row in rows])))
    assert events["price"].tolist() == [row[1] for row in rows] and set(events["size"]) == {0.5}


def test_a_ragged_row_is_refused_by_its_number(opened):
    rows = [(T0 + k, 2000) if k != 3 else (T0 + k, 2000, 9) for k in range(30)]
    events, rejected = received(opened(lines("time,price", rows)))
    assert len(events) == 29 and rejected["reason"].tolist() == ["line 5 has 3 fields, the header names 2"]
    assert f"{T0 + 3},2000,9" in rejected["row"].iloc[0]
    many = [(T0 + k, 2000) if k % 3 else (T0 + k, 2000, 9) for k in range(30)]
    with pytest.raises(Unreadable, match=r"line 2 has 3 fields, the header names 2 .* 10 of its rows"):
        opened(lines("time,price", many))


@pytest.mark.parametrize(
    "name", ["Gmt time", "Local time", "timestamp_ms", "Open Time", "TIMESTAMP", " time ", "<DATE>"]
)
def test_names_of_times_are_found_whatever_their_case(opened, name):
    assert len(received(opened(lines(f"{name},Close ", [(MS, 5), (MS + 60_000, 6)])))[0]) == 2


def test_symbols_are_texts_without_spaces_around(opened, tmp_path):
    rows = [(MS + k, 5, "ETH-USD ") for k in range(3)]
    assert opened(lines("time,price,symbol", rows)).symbols == ("ETH-USD",)
    numbered = opened(lines("time,price,symbol", [(MS + k, 5, "000001") for k in range(3)]))
    assert numbered.symbols == ("000001",) and len(received(numbered)[0]) == 3
    pd.DataFrame({"time": [MS], "price": [5.0], "symbol": [600_519]}).to_parquet(tmp_path / "x.parquet")
    assert Replay(str(tmp_path / "x.parquet"), symbols=(600_519,)).symbols == ("600519",)


def test_the_first_file_given_is_the_target_whichever_begins_earlier(opened, tmp_path):
    opened(table(trades()), name="ETH-USD.csv")
    opened(table(trades(time=[t - 1000 for t in trades()["time"]])), name="BTC-USD.csv")
    eth, btc = (str(tmp_path / f"{name}-USD.csv") for name in ("ETH", "BTC"))
    assert Replay(f"{eth},{btc}").symbols == ("ETH-USD", "BTC-USD")
    assert Replay(f"{btc},{eth}").symbols == ("BTC-USD", "ETH-USD")


def test_the_index_of_a_frame_is_a_column_when_it_holds_the_time(tmp_path):
    when = pd.date_range("2025-01-01", periods=3, freq="s", tz="UTC")
    for name in ("timestamp", None):
        path = tmp_path / f"{name}__ETH-USD.parquet"
        pd.DataFrame({"price": [1.0, 2.0, 3.0]}, index=when.rename(name)).to_parquet(path)
        assert received(Replay(str(path)))[0]["time"].tolist() == [(T0 + k) * S for k in range(3)]
        pd.DataFrame({"price": [1.0, 2.0, 3.0]}, index=when.rename(name)).to_csv(path.with_suffix(".csv"))
        assert len(received(Replay(str(path.with_suffix(".csv"))))[0]) == 3


def test_two_header_rows_of_one_instrument_are_one_and_of_several_are_refused(opened, tmp_path):
    when = pd.date_range("2025-01-01", periods=3, name="Date")
    for tickers in (["BTC"], ["BTC", "ETH"]):
        columns = pd.MultiIndex.from_product([["Close", "Volume"], tickers])
        path = tmp_path / f"{len(tickers)}__BTC-USD.parquet"
        pd.DataFrame(1.0, index=when, columns=columns).to_parquet(path)
        if len(tickers) == 1:
            source = Replay(str(path))
            assert source.symbols == ("BTC-USD",) and len(received(source)[0]) == 3
        else:
            with pytest.raises(Unreadable, match="has two header rows"):
                Replay(str(path))
    downloaded = "Price,Close,Volume\nTicker,BTC-USD,BTC-USD\nDate,,\n2025-01-01,1.5,2\n2025-01-02,1.5,2\n"
    assert received(opened(downloaded))[0]["price"].tolist() == [1.5, 1.5]
    with pytest.raises(Unreadable, match=r"two header rows: .* in line 2, \['ms', 'usd'\]"):
        opened("time,price\nms,usd\n1735689600000,5\n")


def test_every_usual_packing_is_opened(opened, tmp_path):
    written = table(trades()).encode()
    frame = pd.DataFrame(trades())
    paths = {name: tmp_path / f"{name}__ETH-USD{end}" for name, end in (("gz", ".csv.gz"), ("zip", ".zip"))}
    paths["gz"].write_bytes(gzip.compress(written))
    with zipfile.ZipFile(paths["zip"], "w") as packed:
        packed.writestr("ETH-USD.csv", written)
    for end in ("feather", "json", "json.gz", "jsonl.gz", "tsv"):
        paths[end] = tmp_path / f"{end.replace('.', '-')}__ETH-USD.{end}"
    frame.to_feather(paths["feather"])
    frame.to_json(paths["json"], orient="records")
    frame.to_json(paths["json.gz"], orient="records")
    frame.to_json(paths["jsonl.gz"], orient="records", lines=True)
    frame.to_csv(paths["tsv"], index=False, sep="\t")
    paths["folder"] = tmp_path / "parts__ETH-USD"
    paths["folder"].mkdir()
    for k in range(3):
        frame.iloc[30 * k : 30 * (k + 1)].to_parquet(paths["folder"] / f"{k}.parquet")
        frame.iloc[30 * k : 30 * (k + 1)].to_csv(tmp_path / f"part-{k}__ETH-USD.csv", index=False)
    paths["glob"] = tmp_path / "part-*__ETH-USD.csv"
    wanted, _ = received(opened(written))
    for name, path in paths.items():
        source = Replay(str(path))
        assert received(source)[0].tobytes() == wanted.tobytes(), name
        assert source.symbols == open_source(str(path)).symbols == ("ETH-USD",), name


def test_an_archive_of_several_files_and_a_workbook_are_said(tmp_path):
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as packed:
        packed.writestr("a.csv", "x")
        packed.writestr("b.csv", "x")
    with pytest.raises(Unreadable, match=r"two.zip holds 2 files \(a.csv, b.csv\): unpack it"):
        Replay(str(tmp_path / "two.zip"))
    (tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(Unreadable, match="save it as one of them"):
        Replay(str(tmp_path / "book.xlsx"))


def test_of_a_candle_that_was_downloaded_twice_the_older_copy_goes(opened, tmp_path):
    rows = [(T0 + 60 * k, 1 + k, 1) for k in range(10)]
    events, rejected = received(opened(lines("time,close,volume", [*rows, (T0 + 60 * 9, 99, 5)])))
    assert events["price"].tolist() == [*range(1, 10), 99] and rejected["reason"].tolist() == [OLDER]
    opened(lines("time,close,volume", rows), name="a__ETH-USD.csv")
    opened(lines("time,close,volume", [(T0 + 60 * 9, 99, 5), (T0 + 600, 11, 1)]), name="b__ETH-USD.csv")
    events, rejected = received(Replay(f"{tmp_path}/?__ETH-USD.csv"))
    assert events["price"].tolist() == [*range(1, 10), 99, 11] and rejected["reason"].tolist() == [OLDER]


def test_candles_without_any_volume_are_prices_and_not_silence(opened):
    events, _ = received(opened(lines("time,close,volume", [(T0 + 60 * k, 1 + k, 0) for k in range(5)])))
    assert set(events["kind"]) == {TRADE}
    events, _ = received(opened(lines("time,close,volume", [(T0 + 60 * k, 1 + k, k % 2) for k in range(5)])))
    assert set(events["kind"]) == {TRADE, TICK}


def test_a_price_beside_open_high_and_low_is_known_when_the_candle_ends(opened):
    written = '"Date","Price","Open","High","Low","Vol."\n"01/13/2025","94,516.5","1","2","1","12"\n'
    events, _ = received(opened(written + '"01/14/2025","94,616.5","1","2","1","13"\n'))
    assert events["price"].tolist() == [94_516.5, 94_616.5]
    assert pd.Timestamp(events["time"][0] + 1) == pd.Timestamp("2025-01-14")


def test_a_decimal_comma_is_read_and_an_ambiguous_one_refused(opened):
    events, _ = received(opened("time;price\n1735689600;2.000,50\n1735689601;2.001,5\n"))
    assert events["price"].tolist() == [2000.5, 2001.5]
    with pytest.raises(Unreadable, match="'2,000': thousands or decimals"):
        opened("time;price\n1735689600;2,000\n1735689601;2,001\n")


# -- what is in bars -------------------------------------------------------------------------------------------------


def logged(rows):
    kinds = pd.DataFrame({"trade": [rows - rows // 2], "quote": [rows // 2], "tick": [10_000]}, index=["ETH-USD"])
    return IngestReport("file:x", rows + 10_000, rows + 10_000, 0, 1, 2, kinds, pd.DataFrame())


def test_a_run_on_a_part_of_its_data_does_not_end_well():
    assert check_in_bars(logged(100), {"late": 5, "duplicate": 0, "ahead": 0}) == 0.95
    with pytest.raises(ValueError, match=r"only 94\.0% of 100 logged .* \(not in bars: 5 late, 1 duplicate, 0 ahead\)"):
        check_in_bars(logged(100), {"late": 5, "duplicate": 1, "ahead": 0})
    assert check_in_bars(logged(100), {"late": 60, "duplicate": 0, "ahead": 0}, least=0.4) == 0.4
    with pytest.raises(ValueError, match=r"only 0\.0% of 0"):
        check_in_bars(logged(0), {"late": 0})


def test_what_was_done_to_read_a_file_is_said_with_what_came_in(opened, tmp_path):
    with EventLog(tmp_path / "events.db") as log:
        source = opened(table({name: cells[::-1] for name, cells in trades().items()}))
        report = ingest(source, log, "events")
    assert str(report).endswith("\nmine__ETH-USD.csv: the newest row comes first: read from the end")
    assert share_in_bars(report, {"late": 9}) == 0.9


# -- fuzzing ---------------------------------------------------------------------------------------------------------

CELL = st.one_of(
    st.sampled_from(
        ["", "0", "inf", "nan", "-1", str(2**63), "9999-12-31", "2025-01-01", "buy", "1", "x", "1,5", '"', "09:30"]
    ),
    st.sampled_from(
        [str(MS), str(MS + 1000), str(T0), "2000.5", "0.5", "01/02/2025", "13.01.2025", "20250101", "1e400"]
    ),
    st.text(max_size=6),
    st.integers().map(str),
    st.floats().map(str),
)
HEADS = st.lists(
    st.sampled_from(["time", "date", "price", "size", "side", "id", "bid", "ask", "symbol", "close", "open", "m", ""]),
    min_size=1,
    max_size=6,
).map(lambda names: ["time", "price", *names])


def check_sane(path):
    """Read, or refused by the readers' own error; every event is possible."""
    try:
        source = Replay(str(path), clock=CLOCK)
    except Unreadable as refused:
        assert len(str(refused)) > 20
        return
    events, rejected = received(source)
    assert len(events) + len(rejected) == source.rows
    traded = events[events["kind"] == TRADE]
    assert ((events["time"] >= 946_684_800 * S) & (events["time"] <= CLOCK.now() + 400 * 86_400 * S)).all()
    assert (np.isfinite(traded["price"]) & (traded["price"] > 0) & (traded["size"] >= 0)).all()
    assert np.isin(events["side"], [-1, 0, 1]).all() and np.isin(events["key"], range(len(source.symbols))).all()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HEADS, st.lists(st.lists(CELL, min_size=2, max_size=9), min_size=1, max_size=12), st.sampled_from(",;\t"))
def test_whatever_cells_a_file_holds_it_is_read_or_refused(tmp_path, head, rows, delimiter):
    path = tmp_path / "fuzz__ETH-USD.csv"
    text = "\n".join(delimiter.join(row) for row in [head, *rows])
    path.write_text(text, encoding="utf-8", errors="replace")
    check_sane(path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=300),
    st.sampled_from(["csv", "parquet", "json", "jsonl", "feather", "zip", "csv.gz", "log", "txt"]),
)
def test_whatever_bytes_a_file_holds_it_is_read_or_refused(tmp_path, content, end):
    path = tmp_path / f"fuzz__ETH-USD.{end}"
    path.write_bytes(content)
    check_sane(path)


ANY_COLUMN = st.one_of(
    st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=3, max_size=3),
    st.lists(st.floats(), min_size=3, max_size=3),
    st.lists(st.text(max_size=5), min_size=3, max_size=3),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.lists(st.datetimes(), min_size=3, max_size=3),
    st.lists(st.lists(st.integers(0, 9), max_size=2), min_size=3, max_size=3),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({"time": ANY_COLUMN, "price": ANY_COLUMN, "side": ANY_COLUMN, "id": ANY_COLUMN}))
def test_whatever_types_a_table_holds_it_is_read_or_refused(tmp_path, columns):
    path = tmp_path / "fuzz__ETH-USD.parquet"
    pd.DataFrame(columns).to_parquet(path)
    check_sane(path)


# -- the inputs that were handed in ----------------------------------------------------------------------------------

RIGHT = {  # file: events and rows in quarantine; None: refused
    "date_YYYYMMDD__EURUSD.csv": (3, 0),
    "extra_field_shifts_columns__ETH-USD.csv": None,
    "hole_of_31_days__ETH-USD.csv": (92, 0),
    "ids_over_2p53_one_missing__ETH-USD.csv": (90, 0),
    "maker_flag_0_1__ETH-USD.csv": (90, 0),
    "ms_then_us__ETH-USD.csv": (90, 0),
    "naive_iso_one_stray_number__ETH-USD.csv": (40, 1),
    "newest_first__ETH-USD.csv": (90, 0),
    "no_header_binance_aggtrades__ETHUSDT.csv": (30, 0),
    "one_row_an_hour_ahead__ETH-USD.csv": (89, 1),
    "sentinel_9999__ETH-USD.csv": (40, 1),
    "symbol_with_a_space_behind.csv": (3, 0),
    "target_swap__BTC-USD.csv": (90, 0),
    "target_swap__ETH-USD.csv": (90, 0),
    "time_inf__ETH-USD.csv": (1, 1),
    "time_is_the_pandas_index__ETH-USD.parquet": (3, 0),
    "two_header_rows_yfinance__BTC-USD.parquet": (3, 0),
}


@pytest.mark.skipif(not HANDED.is_dir(), reason="the handed inputs are not on this machine")
@pytest.mark.parametrize("name", RIGHT)
def test_a_handed_input_is_read_right(name):
    if RIGHT[name] is None:
        with pytest.raises(Unreadable):
            Replay(str(HANDED / name))
        return
    source = Replay(str(HANDED / name))
    events, rejected = received(source)
    assert (len(events), len(rejected)) == RIGHT[name]
    bars = Bars("1d" if "date" in name or "yfinance" in name else "10s", "1s")
    bars.push(events)
    assert check_in_bars(logged(len(events)), bars.counts()) == 1.0


@pytest.mark.skipif(not HANDED.is_dir(), reason="the handed inputs are not on this machine")
def test_every_handed_market_is_listed():
    assert {p.name for p in HANDED.iterdir() if not p.name.startswith(("fraud", "README"))} == set(RIGHT)
