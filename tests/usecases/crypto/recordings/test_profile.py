"""The profile of a recording says what will be read before it is read."""

import numpy as np
import pandas as pd
import pytest
from command_line import carry_out, command

from rtml.core.clock import span
from rtml.usecases.crypto.recordings.profile import bar_advice, fitting_bar, profile
from rtml.usecases.crypto.recordings.replay import Replay

T0 = 1_735_689_600


@pytest.fixture
def path(tmp_path):
    """Ninety trades with a hole, a repeated id, one broken price and a column that is not read."""
    time = [(T0 + k + (4000 if k >= 60 else 0)) * 1000 for k in range(90)]
    price = [2000 + k / 10 if k != 50 else -1 for k in range(90)]
    columns = {"Gmt time": time, "px": price, "amount": 0.5, "is_buyer_maker": [k % 3 == 0 for k in range(90)]}
    path = tmp_path / "mine__ETH-USD.csv"
    pd.DataFrame(columns | {"tid": [*range(89), 88], "note": "x"}).to_csv(path, index=False)
    return str(path)


def test_it_says_columns_units_gaps_repetitions_sides_and_what_will_be_put_aside(path):
    seen = profile(Replay(path))
    meant = seen.columns.set_index("column")
    assert meant["read as"].to_dict() == {
        "Gmt time": "time",
        "px": "price",
        "amount": "size",
        "is_buyer_maker": "maker",
        "tid": "id",
        "note": "",
    }
    assert meant.loc["Gmt time", "written as"] == "ms since 1970"
    assert seen.facts["repeated ids"] == "1" and seen.facts["sides"] == "66.3% buy, 33.7% sell, 0.0% unknown"
    assert (seen.facts["first"], seen.facts["last"]) == ("2025-01-01 00:00:00 UTC", "2025-01-01 01:08:09 UTC")
    assert seen.gaps["length"].tolist() == ["4001s"]
    assert seen.quarantine["rows"].to_dict() == {"price is not a positive number": 1}
    assert seen.head["side"].tolist() == ["sell", "buy", "buy", "sell", "buy"]
    assert seen.bar == "10s"


def test_it_prints_on_a_terminal_and_in_a_notebook(path, capsys):
    carry_out("inspect", path)
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("Gmt time", "ms since 1970", "longest silences", "BAR that fits"))
    shown = profile(Replay(path))._repr_html_()
    assert shown.count("<table") == 5 and "Gmt time" in shown


def test_the_command_says_in_one_sentence_why_a_file_cannot_be_read(path, capsys, tmp_path):
    (tmp_path / "bad__ETH-USD.csv").write_text("time,price\n1735689600,1,2\n")
    for arguments, sentence in [
        ([str(tmp_path / "bad__ETH-USD.csv")], "line 2 has 3 fields, but the header names 2"),
        ([path, "--columns", "{"], "--columns must be a JSON object or list"),
        (["nowhere.csv"], "no recording 'nowhere.csv'"),
    ]:
        assert command("inspect", *arguments)
        assert sentence in capsys.readouterr().err


def test_a_bar_far_finer_than_the_data_is_said_with_the_one_that_fits(tmp_path):
    days = pd.date_range("2020-01-01", periods=1500).strftime("%Y%m%d")
    pd.DataFrame({"date": days, "close": 1.0, "volume": 2}).to_csv(tmp_path / "EURUSD.csv", index=False)
    seen = profile(Replay(str(tmp_path / "EURUSD.csv")), bar="10s")
    assert seen.bar == "1d" and seen.notes[-1] == bar_advice(seen.times, "10s")
    assert "1,500 trades in 12,951,361 bars, 99.99% of them empty; BAR=1d fits" in seen.notes[-1]
    assert bar_advice(seen.times, "1d") == bar_advice(seen.times, "7d") == ""


@pytest.mark.parametrize(("apart", "bar"), [("1s", "10s"), ("10s", "10s"), ("1m", "1m"), ("2h", "3h"), ("1d", "1d")])
def test_the_bar_that_fits_is_the_shortest_that_is_mostly_filled(apart, bar):
    times = T0 * 10**9 + np.arange(500) * span(apart)
    assert fitting_bar(times) == bar and bar_advice(times, bar) == ""
    assert fitting_bar(times[:1]) == "10s" and bar_advice(times[:1], "10s") == ""
