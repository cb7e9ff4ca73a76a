"""Recordings of a use case's own events: read whole, or refused by row and reason."""

import numpy as np
import pandas as pd
import pytest

from rtml.sources.records import Records, schema_of

EVENT = np.dtype([("time", "<i8"), ("key", "<i4"), ("bikes", "<f8"), ("docks", "<i2"), ("open", "?")])
GOOD = "2025-01-31 09:30,north,3,5,true"


def records(tmp_path, *lines, header="time,key,bikes,docks,open", **how):
    file = tmp_path / "bikes.csv"
    file.write_text("\n".join([header, *lines]) + "\n")
    return Records(file, EVENT, **how)


def accepted(source):
    parts = [source.schema.accept(frame, source.symbols) for frame in source.chunks(3)]
    return np.concatenate([rows for rows, _ in parts]), pd.concat([bad for _, bad in parts])


def test_rows_come_in_order_of_time_with_the_keys_of_the_file(tmp_path):
    source = records(tmp_path, GOOD, "2025-01-31 09:20,south,4,1,0", "2025-01-31 09:20,north,,2,1")
    rows, bad = accepted(source)
    assert source.symbols == ("south", "north") and source.rows == 3 and len(bad) == 0
    assert rows["key"].tolist() == [0, 1, 1] and rows["open"].tolist() == [False, True, True]
    np.testing.assert_array_equal(rows["bikes"], [4.0, np.nan, 3.0])
    assert (np.diff(rows["time"]) >= 0).all()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",north,3,5,true", "time is missing or not a moment"),
        ("2025-01-31 09:31,west,3,5,true", "key is not one of this run"),
        ("2025-01-31 09:31,north,many,5,true", "bikes is not a finite number"),
        ("2025-01-31 09:31,north,inf,5,true", "bikes is not a finite number"),
        ("2025-01-31 09:31,north,3,5.5,true", "docks is not a whole number"),
        ("2025-01-31 09:31,north,3,70000,true", "docks is not a whole number"),
        ("2025-01-31 09:31,north,3,,true", "docks is not a whole number"),
        ("2025-01-31 09:31,north,3,5,perhaps", "open is neither true nor false"),
    ],
)
def test_a_row_that_breaks_a_rule_is_put_aside_with_its_reason(tmp_path, line, reason):
    rows, bad = accepted(records(tmp_path, GOOD, line, symbols=("north",)))
    assert len(rows) == 1 and bad["reason"].tolist() == [reason]


def test_columns_of_other_names_are_named(tmp_path):
    names = {"key": "station", "bikes": "n"}
    source = records(tmp_path, GOOD, header="Time,station,n,docks,open", columns=names)
    assert accepted(source)[0]["bikes"].tolist() == [3.0]


def test_a_file_that_lacks_a_field_is_refused_with_its_columns(tmp_path):
    with pytest.raises(LookupError, match=r"bikes.csv has no column key; it has: time, station, bikes, docks, open"):
        records(tmp_path, GOOD, header="time,station,bikes,docks,open")
    with pytest.raises(FileNotFoundError, match=r"no file nowhere\.csv"):
        Records("nowhere.csv", EVENT)


def test_an_event_of_texts_is_refused():
    with pytest.raises(ValueError, match="fields of an event are whole numbers, floats or truths, got name"):
        schema_of(np.dtype([("time", "<i8"), ("name", "U8")]))
