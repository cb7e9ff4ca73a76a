"""The shop is what it says it is, and recordings are read whatever their columns are called."""

import numpy as np
import pandas as pd
import pytest

from rtml.core.use_case import load_use_case
from rtml.sources.tables import Unreadable
from rtml.usecases.sessions.events import CLICKS, texts_of
from rtml.usecases.sessions.operator import Visits
from rtml.usecases.sessions.shop import TOPICS, TURNS, Shop
from rtml.usecases.sessions.sources import Recorded, open_clicks


@pytest.fixture(scope="module")
def shop():
    return Shop(seed=3, days=2, visits=300)


def test_asked_twice_it_sends_the_same_and_another_seed_another(shop):
    first, again = (pd.concat(shop.chunks(n)).reset_index(drop=True) for n in (700, 10_000))
    pd.testing.assert_frame_equal(first.astype(str), again.astype(str))
    assert shop.rows == len(first) and Shop(seed=4, days=2, visits=300).rows != shop.rows


def test_every_good_row_becomes_an_event_and_the_broken_ones_say_why(shop):
    accepted, rejected = CLICKS.accept(next(shop.chunks()))
    assert len(accepted) == len(shop.truth()) and len(rejected) >= 4
    assert set(rejected["reason"]) == {
        "item is missing",
        "time is missing or not a moment",
        "neither a session nor a visitor is given",
        "price is negative or infinite",
    }


def test_items_are_clicked_only_while_they_are_there_and_most_clicks_keep_to_the_topic(shop):
    items, truth = shop.items().set_index("item"), shop.truth()
    own = items.loc[truth["item"]]
    here = (truth["time"].to_numpy() >= own["born"].to_numpy()) & (truth["time"].to_numpy() < own["dies"].to_numpy())
    assert here.mean() > 0.98 and (items["born"] > items["born"].min()).mean() > 0.15
    main = truth.groupby("visit")["topic"].agg(lambda topic: topic.mode().iloc[0])
    assert (main.loc[truth["visit"]].to_numpy() == truth["topic"].to_numpy()).mean() > 0.85
    assert truth["topic"].nunique() == TOPICS


def test_the_taste_turns(shop):
    """What followed an item most often before the turn seldom follows it afterwards."""
    truth = Shop(seed=3, days=4, visits=1000).truth().sort_values(["visit", "time"], kind="stable")
    turn = truth["time"].min() + TURNS * (truth["time"].max() - truth["time"].min())
    pairs = pd.DataFrame({"a": truth["item"], "b": truth["item"].shift(-1), "time": truth["time"]})
    pairs = pairs[(truth["visit"] == truth["visit"].shift(-1)).to_numpy() & (pairs["a"] != pairs["b"]).to_numpy()]
    before, after = pairs[pairs["time"] < turn], pairs[pairs["time"] >= turn]
    best = before.groupby("a")["b"].agg(lambda b: b.mode().iloc[0])
    hit = {name: (part["a"].map(best) == part["b"]).mean() for name, part in (("before", before), ("after", after))}
    assert hit["before"] > 2 * hit["after"]


FILES = {
    "yoochoose": {"ts": pd.to_datetime([10, 20], unit="s", utc=True), "session_id": [1, 1], "item_id": [7, 8]},
    "diginetica": {
        "date": pd.to_datetime(["2016-01-03"] * 2, utc=True),
        "session_id": [1, 1],
        "item_id": [7, 8],
        "ms_since_session_start": [0, 900],
    },
    "nowplaying": {"session": [0, 0], "position": [0, 1], "item_id": [7, 8]},
    "movielens": {
        "ts": pd.to_datetime([10, 20], unit="s", utc=True),
        "user_id": [1, 1],
        "item_id": [7, 8],
        "rating": [4, 5],
    },
    "of_texts": {
        "Timestamp": [1_700_000_000, 1_700_000_060],
        "Visitor": ["ann", "ann"],
        "Product": ["red shoe", "Grüße"],
    },
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_recording_is_read_whatever_its_columns_are_called(name, suffix, tmp_path):
    path, frame = tmp_path / f"{name}.{suffix}", pd.DataFrame(FILES[name])
    frame.to_parquet(path) if suffix == "parquet" else frame.to_csv(path, index=False)
    source = Recorded(path)
    accepted, rejected = source.schema.accept(next(source.chunks()))
    assert not len(rejected) and source.rows == 2
    visits = Visits()
    asked = visits.push(accepted)
    end = visits.push(accepted[-1:].copy())
    assert asked.X[:, 1].tolist() == [1, 2] and len(end.id) == 1
    if name == "of_texts":
        assert [texts_of(next(source.chunks()))[int(item)] for item in accepted["item"]] == ["red shoe", "Grüße"]
    if name == "diginetica":
        assert np.diff(accepted["time"]).tolist() == [900 * 10**6]


def test_a_recording_out_of_order_is_put_in_order(tmp_path):
    pd.DataFrame({"time": [1_700_000_060, 1_700_000_000], "session": [1, 1], "item": [8, 7]}).to_csv(tmp_path / "a.csv")
    assert next(Recorded(tmp_path / "a.csv").chunks())["item"].tolist() == [7, 8]


SHOPS = {  # what is written: item, price and action of each event that it makes, and how many rows are put aside
    "timestamp,visitorid,event,itemid\n1433221332117,7,view,5\n1433221332118,7,addtocart,5\n"
    "1433221332119,7,transaction,5": (
        [(5, None, 0), (5, None, 1), (5, None, 2)],
        0,
    ),
    "event_time,event_type,product_id,price,user_session\n2019-10-01 00:00:00 UTC,view,5,35.79,7-a\n"
    "2019-10-01 00:00:01 UTC,remove_from_cart,5,35.79,7-a": ([(5, 35.79, 0)], 1),
    'Session ID;Item ID;Time;Price\n7;5;01.02.2024 10:00:00;"1.234,50"\n7;6;31.12.9999 10:00:00;2,5': (
        [(5, 1234.5, 0)],
        1,
    ),
    "userId,movieId,rating,timestamp\n7,5,2.5,874724710\n7,6,3.0,874724711": ([(5, None, 0), (6, None, 0)], 0),
    "session,item,ts\n7.0,5.0,1704067200\n,6.0,1704067201": ([(5, None, 0)], 1),
}


@pytest.mark.parametrize("written", SHOPS)
def test_logs_of_shops_are_read_right_and_odd_rows_put_aside(tmp_path, written):
    (tmp_path / "log.csv").write_text(written + "\n")
    accepted, rejected = CLICKS.accept(next(Recorded(tmp_path / "log.csv").chunks()))
    told = [(e["item"], None if np.isnan(e["price"]) else e["price"], e["action"]) for e in accepted]
    assert (told, len(rejected)) == SHOPS[written] and (accepted["time"] > 8e17).all()


def test_what_could_be_read_wrong_is_refused(tmp_path):
    for written, sentence in {
        "session,item,Zeit\n1,2,2024-01-01 00:00:00": "no column of times, but 'Zeit' looks like one",
        "session,item,item,time\n1,2,3,1704067200": "two columns are called 'item' and differ, '2' and '3'",
        "session,item,time,type\n1,2,1704067200,mobile": "holds 'mobile' in row 1, .*an action is one of view",
    }.items():
        (tmp_path / "log.csv").write_text(written + "\n")
        with pytest.raises(Unreadable, match=sentence):
            next(Recorded(tmp_path / "log.csv").chunks())
    (tmp_path / "log.csv").write_text("session,item\n1,9007199254740993\n1,9007199254740992\n")
    timeless = Recorded(tmp_path / "log.csv")
    assert timeless.notes == ("log.csv: no times, so it is a click a second in the order of the file",)
    assert len(set(CLICKS.accept(next(timeless.chunks()))[0]["item"])) == 2


def test_what_is_missing_is_said(tmp_path):
    pd.DataFrame({"when": [1_700_000_000], "thing": [2]}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ValueError, match="no columns that make clicks: an item and a session or a visitor are needed"):
        Recorded(tmp_path / "a.csv")
    named = Recorded(tmp_path / "a.csv", columns={"item": "thing", "session": "thing", "time": "when"})
    assert named.rows == 1
    with pytest.raises(FileNotFoundError, match="SOURCE is 'shop' or"):
        open_clicks("nothing.parquet")
    with pytest.raises(LookupError, match="no column colour to name"):
        Recorded(tmp_path / "a.csv", columns={"colour": "thing"})


def test_the_use_case_is_found_by_name():
    case = load_use_case("sessions")
    assert case.target().kind == "ranking" and case.operator(None).features.names[:2] == ("session", "length")
