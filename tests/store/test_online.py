"""The online store: newer is never overwritten by older, every answer says how old it is, and nothing is lost."""

import threading
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rtml.core.clock import NEVER, span
from rtml.store.online import OnlineStore

HOUR, DAY = span("1h"), span("1d")


@pytest.fixture
def store(tmp_path):
    store = OnlineStore(tmp_path / "online.db")
    store.declare("card", ["spend", "count"], ttl={"spend": "1d", "count": "2d"}, defaults=[0.0, -1.0], definition="v1")
    yield store
    store.close()


ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3), st.integers(-9, 9)), max_size=20)


@settings(max_examples=40)
@given(ROWS, st.lists(st.integers(0, 20), max_size=4))
@example([(0, 1, 3, 1), (0, 1, 0, 2)], [1])
def test_in_whatever_order_and_pieces_the_newest_stands(rows, cuts):
    store, newest = OnlineStore(":memory:"), {}
    store.declare("g", ["x"], ttl="1d")
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), len(rows)], strict=True):
        if part := rows[first:last]:
            keys, moments, late, values = zip(*part, strict=True)
            store.put_many("g", keys, moments, [[v] for v in values], np.add(moments, late))
    for key, moment, late, value in rows:
        if (moment, moment + late) >= newest.get(key, (-1, -1, 0))[:2]:
            newest[key] = (moment, moment + late, value)
    for key in range(3):
        moment, _, value = newest.get(key, (NEVER, 0, float("nan")))
        found = store.get("g", key, now=100)
        assert found.ages == ((NEVER if moment == NEVER else 100 - moment),)
        np.testing.assert_array_equal(found.values, [value])
    store.close()


def test_every_answer_says_the_age_of_each_feature_and_names_the_stale_ones(store):
    store.put("card", 7, moment=HOUR, values=[5.0, 2.0])
    assert store.get("card", 7, now=2 * HOUR).ages == (HOUR, HOUR)
    assert store.get("card", 7, now=DAY + HOUR).stale == ()
    assert store.get("card", 7, now=DAY + HOUR + 1).stale == ("spend",)
    response = store.get("card", 7, now=2 * DAY + HOUR + 1).response()
    assert response["stale"] == ["spend", "count"] and response["values"] == {"spend": 5.0, "count": 2.0}
    assert response["age_s"]["spend"] == pytest.approx(2 * 86400) and response["definition"] == "v1"
    assert (store.counters["card", "stale"], store.counters["spend", "stale"], store.counters["count", "stale"]) == (
        (2, 2, 1)
    )


def test_a_missing_key_gives_the_defaults_says_so_and_is_counted(store):
    found = store.get("card", 8, now=HOUR)
    assert found.values.tolist() == [0.0, -1.0] and found.missing == ("spend", "count")
    assert found.response()["age_s"] == {"spend": None, "count": None} and store.counters["card", "missing"] == 1
    store.declare("limit", ["most"], ttl="1d", missing="refuse")
    with pytest.raises(LookupError, match="no limit 8: nothing was stored for it"):
        store.get("limit", 8, now=HOUR)
    assert store.counters["limit", "missing"] == 1
    with pytest.raises(LookupError, match="no group 'cards'"):
        store.get("cards", 8, now=HOUR)


def test_groups_are_joined_each_by_its_own_key(store):
    store.declare("terminal", ["risk"], ttl="1h", defaults=[0.5])
    store.put("card", "a", moment=HOUR, values=[5.0, 2.0])
    store.put("terminal", 3, moment=2 * HOUR, values=[0.1])
    found = store.join({"card": "a", "terminal": 3}, now=4 * HOUR)
    assert found.names == ("spend", "count", "risk") and found.values.tolist() == [5.0, 2.0, 0.1]
    assert found.ages == (3 * HOUR, 3 * HOUR, 2 * HOUR) and found.stale == ("risk",)
    assert store.join({"card": "a", "terminal": 9}, now=4 * HOUR).missing == ("risk",)


def test_what_was_taken_back_is_missing_until_something_newer_comes(store):
    store.put("card", 7, moment=10, values=[5.0, 2.0])
    store.put("card", 7, moment=10, values=None, known=20)
    assert store.get("card", 7, now=30).missing == ("spend", "count")
    assert not store.put("card", 7, moment=9, values=[4.0, 1.0], known=40)
    assert store.put("card", 7, moment=11, values=[6.0, 3.0])
    assert store.get("card", 7, now=30).values.tolist() == [6.0, 3.0]


def test_another_definition_is_another_group(store):
    store.declare("card", ["spend", "count"], ttl="1h", definition="v1")  # another TTL is fine
    with pytest.raises(ValueError, match="store another definition under another name"):
        store.declare("card", ["spend", "count"], ttl="1d", definition="v2")
    with pytest.raises(ValueError, match="needs a default a feature"):
        store.declare("other", ["a"], ttl="1d", missing="guess")


def test_keys_that_are_numbers_and_texts_are_told_apart(store):
    store.put("card", 7, 10, [1.0, 1.0])
    store.put("card", "7", 10, [2.0, 2.0])
    assert store.get("card", np.int64(7), 20).values[0] == 1.0 and store.get("card", "7", 20).values[0] == 2.0
    with pytest.raises(ValueError, match="row 0 has no key"):
        store.put("card", None, 10, [1.0, 1.0])


def test_it_survives_a_restart_with_what_was_declared(store):
    store.put_many("card", [1, 2], [10, 20], [[1.0, 2.0], [3.0, 4.0]], progress=("log", 5))
    store.put_many("card", [1], [5], [[9.0, 9.0]], progress=("log", 4))  # once more: nothing goes back
    again = OnlineStore(store.path)
    assert again.get("card", 2, now=30).values.tolist() == [3.0, 4.0] and again.progress("log") == 5
    assert again.get("card", 3, now=30).values.tolist() == [0.0, -1.0]
    again.close()


def test_what_another_process_writes_is_seen_at_once_and_older_is_refused(store):
    other = OnlineStore(store.path)
    for n in range(1, 20):
        (store if n % 2 else other).put("card", 7, moment=n, values=[n, n])
        assert store.get("card", 7, now=n).ages == other.get("card", 7, now=n).ages == (0, 0)
        assert not (other if n % 2 else store).put("card", 7, moment=n - 1, values=[-1, -1])
        assert store.get("card", 7, now=n).values.tolist() == [n, n]
    other.close()


def test_a_small_front_forgets_but_never_lies(tmp_path):
    store = OnlineStore(tmp_path / "o.db", front=3)
    store.declare("g", ["x"], ttl="1d")
    store.put_many("g", range(10), range(10), [[float(k)] for k in range(10)])
    assert [store.get("g", k, 10).values[0] for k in [*range(10), *range(10)]] == [*range(10), *range(10)]
    store.put("g", 9, 11, [99.0])
    assert store.get("g", 9, 11).values[0] == 99.0 and len(store._front) <= 3
    store.close()


def test_a_batch_of_predictions_is_looked_up_with_its_age_and_its_version(store):
    store.declare("prediction", ["p_fraud"], ttl="1h", defaults=[0.009])
    store.put_many("prediction", ["a", "b"], [HOUR, HOUR], [[0.2], [0.7]], definition="fraud-v3")
    found = store.get("prediction", "b", now=HOUR + span("90s"))
    assert (found.values.tolist(), found.ages, found.definition) == ([0.7], (span("90s"),), "fraud-v3")
    store.put("prediction", "a", moment=2 * HOUR, values=[0.3])
    table = store.table("prediction", now=3 * HOUR)
    assert table[["key", "age_s", "stale", "p_fraud"]].values.tolist() == [
        ["a", 3600, False, 0.3],
        ["b", 7200, True, 0.7],
    ]


def test_threads_write_and_read_without_losing_a_value(store):
    def write(start):
        for n in range(start, 400, 4):
            store.put("card", n % 5, moment=n, values=[n, n])
            assert store.get("card", n % 5, now=400).values[0] >= n

    threads = [threading.Thread(target=write, args=(k,)) for k in range(4)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    assert [store.get("card", k, now=400).values[0] for k in range(5)] == [395, 396, 397, 398, 399]


def test_99_of_100_reads_take_less_than_a_millisecond(store):
    store.put_many("card", np.arange(2000), np.full(2000, 10), np.ones((2000, 2)))
    read = [store.get("card", key, now=20) for key in range(2000)]  # once from the file
    took = []
    for key in np.random.default_rng(7).integers(0, 2000, 5000).tolist():
        began = time.process_time_ns()
        store.get("card", key, now=20)
        took.append(time.process_time_ns() - began)
    assert len(read) == 2000 and np.percentile(took, 99) < 1_000_000, np.percentile(took, [50, 99])
