import sqlite3

import pytest

from rtml.store.checkpoint_store import CheckpointStore
from rtml.store.database import prepared

QUESTION = [(1, 0, 1, b"x")]
IDENTITY = {"part": "events", "every": "10m"}


@pytest.fixture
def journal(tmp_path):
    journal = CheckpointStore(tmp_path / "training.db", IDENTITY)
    journal.begin(5, b"fresh")
    yield journal
    journal.close()


def test_a_journal_begins_once(journal):
    journal.begin(99, b"other")
    assert (journal.offset, journal.state) == (5, b"fresh")


def test_progress_and_outputs_are_there_together_or_not_at_all(journal):
    journal.commit(10, b"one", [("return", 1, 0.5), ("sign", 1, 0.6)], [], [(1, 0, 1, b"x")])
    with pytest.raises(sqlite3.IntegrityError):
        journal.commit(
            20, b"two", [("return", 2, 0.5), ("return", 1, 0.5)], [(0.7, 11, "return", 1)], [(2, 0, 2, b"x")]
        )
    assert (journal.offset, journal.state) == (10, b"one")
    assert journal.predictions("return").to_dict("list")["moment"] == [1]
    assert journal.predictions("return").known.isna().all()
    journal.commit(20, b"two", [("return", 2, 0.5)], [(0.7, 11, "return", 1)], [(2, 0, 2, b"x")])
    assert journal.predictions("return").y.tolist()[0] == 0.7 and journal.predictions("sign").y.isna().all()


def test_an_answer_that_stays_unknown_is_nan_with_its_time(journal):
    journal.commit(
        10, b"one", [("return", 1, 0.5)], [(float("nan"), 11, "return", 1), (1.0, 11, "return", 99)], QUESTION
    )
    frame = journal.predictions("return")
    assert frame.y.isna().tolist() == [True] and frame.known.tolist() == [11]


def test_two_writers_are_refused(journal):
    other = CheckpointStore(journal.path, IDENTITY)
    other.begin(0, b"")
    other.commit(10, b"one", [], [])
    with pytest.raises(RuntimeError, match=r"another process made progress in .*training.db: let one process train"):
        journal.commit(10, b"other", [], [])
    assert journal.state == b"one"
    other.close()


def test_a_journal_of_another_consumer_is_refused(journal):
    with pytest.raises(ValueError, match=r"belongs to another training \(every was '10m', now '5m'\): start a new run"):
        CheckpointStore(journal.path, IDENTITY | {"every": "5m"})


def test_a_changed_state_is_refused(journal):
    with prepared(sqlite3.connect(journal.path)) as db:
        db.execute("update progress set state = ?", (b"evil",))
    db.close()
    with pytest.raises(ValueError, match=r"the state in .*training.db was changed: restore the file from a backup"):
        _ = journal.state
