"""Files of SQLite: every row carries a checksum, a full disk takes nothing back, and what is wrong is a sentence."""

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from stored_files import flipped, rows, write

from rtml.store import database
from rtml.store.checkpoint_store import CheckpointReader, CheckpointStore
from rtml.store.database import Damaged, Full
from rtml.store.event_log import EventLog
from rtml.usecases.crypto.trades import events


@pytest.mark.parametrize("name", ["events.db", "training.db", "predictions.db"])
def test_a_flipped_bit_is_never_silently_another_row(tmp_path, name):
    write(tmp_path)
    path = tmp_path / name
    blob, before, rng = path.read_bytes(), rows(path), np.random.default_rng(7)
    assert database.damages(path) == []
    found = 0
    for bit in rng.integers(0, 8 * len(blob), 60).tolist():
        path.write_bytes(flipped(blob, bit))
        if database.damages(path):
            found += 1
        else:
            assert rows(path) == before, f"bit {bit} of {name} changed a row, and nobody says so"
    assert found > 8, "the others hit space that is free"


def test_what_reads_rows_says_which_file_is_damaged(tmp_path):
    write(tmp_path)
    for name, mark, read in (
        ("events.db", np.int64(7).tobytes(), lambda path: EventLog(path).read("trades")),
        ("training.db", np.arange(4.0).tobytes(), lambda path: CheckpointReader(path).questions(0)),
        ("training.db", b"monitor", lambda path: CheckpointReader(path).history()),
    ):
        path = tmp_path / name
        blob = path.read_bytes()
        path.write_bytes(flipped(blob, 8 * (blob.rindex(mark) + 5)))
        with pytest.raises(Damaged, match=f"{name}: a row is not what was written"):
            read(path)
        path.write_bytes(blob)


def test_events_that_are_missing_are_said(tmp_path):
    write(tmp_path)
    with closing(database.opened(tmp_path / "events.db")) as db:
        db.execute("delete from event where offset between 100 and 110")
    with EventLog(tmp_path / "events.db") as log, pytest.raises(Damaged, match="behind offset 90 are missing"):
        log.read("trades", 90)


@pytest.mark.parametrize("content", [b"", b"hello" * 200, b"SQLite format 3\0" + b"x" * 5000])
def test_a_foreign_file_is_a_sentence_that_names_it(tmp_path, content):
    path = tmp_path / "training.db"
    path.write_bytes(content)
    with pytest.raises(Damaged, match=r"training.db is not a file of rtml, or was changed"):
        CheckpointReader(path).history()
    if content:
        with pytest.raises(Damaged, match=r"training.db is not a file of rtml, or was changed"):
            CheckpointStore(path, {})
        assert database.damages(path)


def test_a_full_disk_takes_nothing_back_and_the_next_try_goes_on(tmp_path):
    with EventLog(tmp_path / "events.db") as log:
        log.append("trades", events(np.arange(1, 100), price=1.0))
        pages = log._db.execute("pragma page_count").fetchone()[0]
        log._db.execute(f"pragma max_page_count = {pages}")
        many = events(np.arange(100, 9000), price=np.random.default_rng(7).random(8900))  # nothing makes these small
        with pytest.raises(Full, match=r"events.db cannot be written or read now \(database or disk is full\)"):
            log.append("trades", many)
        assert log.last("trades") == 99
        log._db.execute("pragma max_page_count = 1000000")
        assert log.append("trades", many) == 8999


def test_a_file_of_an_older_version_gets_its_checksums(tmp_path):
    path = tmp_path / "events.db"
    with closing(sqlite3.connect(path)) as old:
        old.execute("create table part (id integer primary key, name text unique not null, descr text not null)")
        old.execute(
            "create table event (part integer, offset integer, record blob not null, primary key (part, offset)) "
            "without rowid"
        )
        told = events([10, 20], price=[1.5, 1.6])
        old.execute("insert into part values (1, 'trades', ?)", (json.dumps(told.dtype.descr),))
        old.executemany("insert into event values (1, ?, ?)", [(i + 1, told[i].tobytes()) for i in range(2)])
        old.commit()
    with EventLog(path) as log:
        assert log.read("trades")[1].tobytes() == told.tobytes() and log.append("trades", told) == 4
    assert database.damages(path) == []


def test_only_its_user_may_read_a_file(tmp_path):
    write(tmp_path)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("*.db")} == {0o600}
