"""Payments: every row becomes an event or is rejected with its reason; recorded labels arrive when they are known."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from handed import DATA
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtml.core.clock import span
from rtml.sources.ingest import ingest
from rtml.sources.tables import Unreadable
from rtml.store.event_log import EventLog
from rtml.usecases.fraud.schema import EVENT, LABEL, PAYMENT, PAYMENTS
from rtml.usecases.fraud.sources import Recorded, open_payments

GOOD = {"kind": "payment", "time": 10**18, "id": 7, "card": 3, "terminal": 12, "amount": 12.34, "fraud": None}
TOLD = GOOD | {"kind": "label", "time": 2 * 10**18, "fraud": True}


def judge(*rows):
    return PAYMENTS.accept(pd.DataFrame(list(rows)))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (GOOD | {"kind": "refund"}, "kind is neither payment nor label"),
        (GOOD | {"time": None}, "time is missing or not a moment"),
        (GOOD | {"time": "2024-01-01T00:00:00"}, "time is missing or not a moment"),
        (GOOD | {"time": -1}, "time is out of range"),
        (GOOD | {"id": " "}, "id is not an integer of zero or more"),
        (GOOD | {"id": None}, "id is not an integer of zero or more"),
        (GOOD | {"card": -1}, "card is not an integer of zero or more"),
        (GOOD | {"card": 1.5}, "card is not an integer of zero or more"),
        (GOOD | {"terminal": None}, "terminal is not an integer of zero or more"),
        (GOOD | {"amount": -0.01}, "amount is not a number of zero or more"),
        (GOOD | {"amount": np.nan}, "amount is not a number of zero or more"),
        (GOOD | {"amount": np.inf}, "amount is not a number of zero or more"),
        (GOOD | {"amount": 1e12}, "amount is not a number of zero or more"),
        (GOOD | {"amount": "twelve"}, "amount is not a number of zero or more"),
        (GOOD | {"amount": 9.999}, "amount has more than two decimals"),
        (TOLD | {"fraud": None}, "label is neither fraud nor genuine"),
        (TOLD | {"fraud": "perhaps"}, "label is neither fraud nor genuine"),
    ],
)
def test_a_row_that_breaks_a_rule_is_rejected_with_its_reason(row, reason):
    accepted, rejected = judge(row)
    assert len(accepted) == 0 and rejected["reason"].tolist() == [reason]


def test_a_payment_and_its_label_become_events_of_their_own():
    accepted, _ = judge(GOOD, TOLD, TOLD | {"fraud": 0}, TOLD | {"fraud": "genuine"})
    assert accepted.dtype == EVENT
    assert accepted["kind"].tolist() == [PAYMENT, LABEL, LABEL, LABEL]
    assert accepted["amount"].tolist() == [1234] * 4
    assert accepted["label"].tolist() == [-1, 1, 0, 0]


@settings(max_examples=200)
@given(cents=st.integers(0, 10**11 - 1))
def test_money_is_exact(cents):
    assert judge(GOOD | {"amount": cents / 100})[0]["amount"].tolist() == [cents]


@given(
    value=st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.none())),
    column=st.sampled_from(list(GOOD)),
)
def test_nothing_a_row_holds_raises(value, column):
    accepted, rejected = judge(GOOD | {column: value}, TOLD)
    assert len(accepted) + len(rejected) == 2


@pytest.fixture
def recording(tmp_path):
    table = pd.DataFrame(
        {
            "ts": pd.to_datetime([1000, 1000 + 7 * 86_400, 1000 + 8 * 86_400], unit="s", utc=True),
            "transaction_id": [5, 6, 7],
            "customer_id": [1, 2, 1],
            "terminal_id": [9, 9, 8],
            "amount": [10.5, 0.1, 300.0],
            "is_fraud": [True, False, True],
            "fraud_scenario": [1, 0, 3],
        }
    )
    path = tmp_path / "payments.parquet"
    table.to_parquet(path)
    return path


def test_recorded_labels_are_events_a_delay_later_and_payments_come_first_at_equal_times(recording):
    rows = pd.concat(Recorded(recording, delay="7d").chunks(2))
    assert rows["kind"].tolist() == ["payment", "payment", "label", "payment", "label", "label"]
    assert rows["id"].tolist() == [5, 6, 5, 7, 6, 7]
    accepted, rejected = PAYMENTS.accept(rows.reset_index(drop=True))
    assert not len(rejected)
    assert accepted["label"].tolist() == [-1, -1, 1, -1, 0, 1]
    assert accepted["time"][2] - accepted["time"][0] == span("7d")


def test_the_column_that_explains_the_label_is_never_read(recording, tmp_path):
    bare = tmp_path / "bare.parquet"
    pq.write_table(pq.read_table(recording).drop_columns("fraud_scenario"), bare)
    with_it, without = (pd.concat(Recorded(path).chunks()) for path in (recording, bare))
    pd.testing.assert_frame_equal(with_it, without)
    assert Recorded(recording).truth()["pattern"].tolist() == ["dear", "", "leak"]


def test_a_recording_says_what_it_lacks(recording, tmp_path):
    with pytest.raises(FileNotFoundError, match="SOURCE is 'cards' or a Parquet file"):
        open_payments(str(tmp_path / "none.parquet"))
    with pytest.raises(LookupError, match="has no column amount_eur"):
        Recorded(recording, columns={"amount": "amount_eur"})
    naive = tmp_path / "naive.parquet"
    frame = pd.read_parquet(recording)
    frame.assign(ts=frame["ts"].dt.tz_localize(None)).to_parquet(naive)
    with pytest.raises(ValueError, match="without a zone"):
        next(Recorded(naive).chunks())
    turned = tmp_path / "turned.parquet"
    pd.read_parquet(recording).iloc[::-1].to_parquet(turned)
    with pytest.raises(ValueError, match="not in order of time"):
        next(Recorded(turned).chunks())


def recorded(recording, end="csv", **columns):
    """The recording with other columns, written as another kind of file."""
    path = recording.with_name(f"other.{end}")
    table = pd.read_parquet(recording)
    table = table.assign(**({"ts": table["ts"] + pd.Timedelta(days=20_000)} | columns))
    table.to_csv(path, index=False) if end == "csv" else table.to_parquet(path)
    return path


def labels(path, **options):
    accepted, rejected = PAYMENTS.accept(pd.concat(Recorded(path, **options).chunks()).reset_index(drop=True))
    assert not len(rejected) and (accepted["kind"] == PAYMENT).sum() == 3
    told = accepted[accepted["kind"] == LABEL]
    return dict(zip(told["id"].tolist(), told["label"].tolist(), strict=True))


@pytest.mark.parametrize("end", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["No", "Yes", "No"], {5: 0, 6: 1, 7: 0}),
        (["false", "TRUE", " n "], {5: 0, 6: 1, 7: 0}),
        ([-1, 1, -1], {5: 0, 6: 1, 7: 0}),
        ([0.0, 1.0, np.nan], {5: 0, 6: 1}),
        (pd.array([None, True, False], "boolean"), {6: 1, 7: 0}),
        (pd.array([0, None, 1], "Int64"), {5: 0, 7: 1}),
        (["genuine", "", "fraud"], {5: 0, 7: 1}),
        (["0", "unknown", "1"], {5: 0, 7: 1}),
    ],
)
def test_a_label_is_judged_as_it_is_written_and_a_blank_one_is_not_known_yet(recording, end, written, read):
    path = recorded(recording, end, is_fraud=written)
    assert labels(path) == read
    assert Recorded(path).rows == 3 + len(read)
    assert Recorded(path).truth()["fraud"].tolist() == [read.get(id, 0) == 1 for id in (5, 6, 7)]


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (["fraud", "ok", "ok"], "holds 'ok' in row 2: a label is yes or no"),
        ([-1, 0, 1], "holds -1, 0 and 1: which one is unknown"),
        ([2, 1, 0], "holds '2' in row 1"),
    ],
)
def test_labels_that_would_be_half_read_are_refused_whole(recording, written, sentence):
    with pytest.raises(ValueError, match=sentence):
        labels(recorded(recording, is_fraud=written))


def test_one_strange_label_among_many_goes_to_the_quarantine(tmp_path):
    when = pd.date_range("2024-01-01", periods=60, freq="h", tz="UTC")
    table = pd.DataFrame({"ts": when, "transaction_id": range(60), "customer_id": 1, "terminal_id": 2, "amount": 1.0})
    table.assign(is_fraud=["perhaps", *(["no", "yes"] * 30)[:59]]).to_csv(tmp_path / "p.csv", index=False)
    _, rejected = PAYMENTS.accept(pd.concat(Recorded(tmp_path / "p.csv").chunks()).reset_index(drop=True))
    assert rejected["reason"].tolist() == ["label is neither fraud nor genuine"]


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_leading_zeros_of_cards_are_kept_and_a_text_is_the_same_card_everywhere(recording, end):
    path = recorded(recording, end, customer_id=["007", "7", "0007"], terminal_id=["T-1", "T-2", "T-1"])
    accepted, rejected = PAYMENTS.accept(pd.concat(Recorded(path).chunks()).reset_index(drop=True))
    paid = accepted[accepted["kind"] == PAYMENT]
    assert not len(rejected) and len(set(paid["card"])) == 3 and 7 in paid["card"]
    assert paid["terminal"][0] == paid["terminal"][2] != paid["terminal"][1]
    again, _ = judge(GOOD | {"card": "007"}, GOOD | {"card": 7}, GOOD | {"card": "7"}, GOOD | {"card": 7.0})
    assert again["card"].tolist() == [paid["card"][0], 7, 7, 7]


def test_ids_of_payments_that_are_texts_join_their_labels(recording):
    path = recorded(recording, transaction_id=["a-1", "b-2", "c-3"])
    assert sorted(labels(path).values()) == [0, 1, 1]


def test_payments_without_a_zone_are_read_when_it_is_named(recording):
    naive = recorded(recording, ts=["2024-01-01 01:00:00", "2024-01-02 01:00:00", "2024-01-03 01:00:00"])
    with pytest.raises(ValueError, match=r'without a zone: say which it is, such as COLUMNS=\{"zone": "UTC"\}'):
        labels(naive)
    rows = next(Recorded(naive, columns={"zone": "Europe/Brussels"}).chunks())
    assert rows["time"].iloc[0] == pd.Timestamp("2024-01-01T00:00:00Z").value


def test_a_zone_that_is_named_moves_only_the_times_without_one(recording):
    mixed = ["2024-01-01 01:00:00", "2024-01-02T01:00:00+01:00", "2024-01-02 19:00:00 EST"]
    rows = pd.concat(Recorded(recorded(recording, ts=mixed), columns={"zone": "Europe/Brussels"}).chunks())
    paid = rows.loc[rows["kind"] == "payment", "time"].tolist()
    assert paid == [pd.Timestamp(f"2024-01-0{day}T00:00:00Z").value for day in (1, 2, 3)]
    zoned = recorded(recording, ts=[mixed[1], mixed[2], "2024-01-04 00:00:00"])
    _, rejected = PAYMENTS.accept(pd.concat(Recorded(zoned).chunks()).reset_index(drop=True))
    assert rejected["reason"].str.startswith("time is ").tolist() == [True], "nobody says the zone of this one"


@pytest.mark.parametrize(
    "written", [["$1,234.50", "12", "7.1"], ["1.234,50", "12", "7,1"], ["1 234,50 €", "12", "7,1"]]
)
def test_amounts_are_read_as_people_write_them(recording, written):
    path = recorded(recording, "csv", amount=written)
    accepted, rejected = PAYMENTS.accept(pd.concat(Recorded(path).chunks()).reset_index(drop=True))
    assert not len(rejected) and accepted["amount"][accepted["kind"] == PAYMENT].tolist() == [123_450, 1200, 710]


def test_a_payment_at_no_moment_goes_to_the_quarantine_alone(recording):
    path = recorded(recording, ts=["2024-01-01T00:00:00Z", "9999-12-31T00:00:00Z", "2024-01-03T00:00:00Z"])
    accepted, rejected = PAYMENTS.accept(pd.concat(Recorded(path).chunks()).reset_index(drop=True))
    assert accepted["id"].tolist() == [5, 7, 5, 7] and rejected["reason"].str.startswith("time is ").tolist() == [True]


CELL = st.one_of(
    st.sampled_from(["", "1", "007", "yes", "No", "-1", "inf", "1e400", str(2**63), "x"]), st.text(max_size=4)
)
WHEN = st.sampled_from(
    ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "9999-12-31T00:00:00Z", "inf", "0", "1704067200"]
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(WHEN, CELL, CELL, CELL, CELL, CELL), min_size=1, max_size=6))
def test_whatever_a_file_of_payments_holds_it_is_read_or_refused(tmp_path, rows):
    path = tmp_path / "fuzz.csv"
    names = ["ts", "transaction_id", "customer_id", "terminal_id", "amount", "is_fraud"]
    pd.DataFrame(rows, columns=names).to_csv(path, index=False)
    try:
        source = Recorded(path)
        frames = list(source.chunks(3))
    except Unreadable as refused:
        assert len(str(refused)) > 20
        return
    judged = [PAYMENTS.accept(frame) for frame in frames]
    assert sum(len(a) + len(r) for a, r in judged) == source.rows >= len(rows)
    for accepted, _ in judged:
        assert (accepted["time"] > 0).all() and (accepted["card"] >= 0).all() and (accepted["amount"] >= 0).all()
        assert (np.isin(accepted["label"], [0, 1]) == (accepted["kind"] == LABEL)).all()
    assert len(source.truth()) == len(rows)


def test_ingest_counts_what_came_in(tmp_path):
    source = open_payments("cards", days=5)
    with EventLog(tmp_path / "events.db") as log:
        told = []
        ingested = ingest(source, log, "events", done=told.append, n=1000)
        assert sum(told) == ingested.received == source.rows == ingested.logged + ingested.quarantined
        assert log.count("events") == ingested.by_kind["events"].sum()
        assert ingested.by_reason["rows"].sum() == len(log.rejected("events")) == ingested.quarantined > 0


SHARED = DATA / "fraud/card_transactions_2018-04_06.parquet"


@pytest.mark.skipif(not SHARED.exists(), reason="the recorded payments are not here: set RTML_SHARED_DATA")
def test_the_recorded_payments_come_in_whole():
    source = Recorded(SHARED, days=3)
    accepted, rejected = PAYMENTS.accept(next(source.chunks(10**6)))
    assert len(accepted) == source.rows > 50_000 and not len(rejected)


def test_labels_may_come_from_a_file_of_their_own(recording, tmp_path):
    """Joined by the payment's id, known when that file says or a delay later, the first one of a payment counts."""
    paid = recorded(recording, transaction_id=["a-1", "b-2", "c-3"])
    pd.read_csv(paid).drop(columns="is_fraud").to_csv(tmp_path / "paid.csv", index=False)
    when = pd.read_csv(paid)["ts"]
    told = pd.DataFrame(
        {"transaction_id": ["c-3", "b-2", "zz", "b-2", "a-1"], "is_fraud": ["yes", "no", "no", "yes", ""]}
    )
    told.to_csv(tmp_path / "told.csv", index=False)
    both = f"{tmp_path / 'paid.csv'}, {tmp_path / 'told.csv'}"
    source = Recorded(both, delay="3d")
    rows = pd.concat(source.chunks()).reset_index(drop=True)
    accepted, rejected = PAYMENTS.accept(rows)
    labelled = accepted[accepted["kind"] == LABEL]
    assert not len(rejected) and source.rows == len(accepted) == 5
    of = {int(row["id"]): row for row in accepted[accepted["kind"] == PAYMENT]}
    assert sorted(labelled["label"].tolist()) == [0, 1]
    assert all(row["time"] == of[int(row["id"])]["time"] + span("3d") for row in labelled)
    assert source.notes == (
        "told.csv: 1 of 5 labels are of no payment",
        "told.csv: 1 of 5 labels are not the first of their payment",
    )
    assert source.truth()["fraud"].tolist() == [False, False, True]

    told.assign(ts=[when[2], when[2], when[2], when[1], when[2]]).to_csv(tmp_path / "told.csv", index=False)
    accepted, _ = PAYMENTS.accept(pd.concat(Recorded(both).chunks()).reset_index(drop=True))
    labelled = accepted[accepted["kind"] == LABEL]
    assert [row["label"] for row in labelled] == [1, 1], "the earlier of two labels counts"
    assert labelled["time"].tolist() == [of[int(row["id"])]["time"] for row in labelled]

    told.drop(columns="is_fraud").to_csv(tmp_path / "told.csv", index=False)
    with pytest.raises(LookupError, match=r"told\.csv has no column is_fraud; it has: transaction_id"):
        Recorded(both)
