"""What a run predicted and its alerts, out to a topic, a table and a folder; each row at least once, by its id."""

import json
from contextlib import closing, contextmanager
from itertools import count

import numpy as np
import pandas as pd
import pytest
from servers import Server, missing

from rtml.integrations import sink as sinks
from rtml.integrations.sink import send_new, sink
from rtml.store.checkpoint_store import CheckpointStore

NUMBER = count()
N = 25


@pytest.fixture(params=["file", "postgres", "kafka"])
def out(request, tmp_path):
    """An address, and what reads the rows there."""
    if request.param == "file":
        yield f"file://{tmp_path}/out", lambda: pd.read_parquet(tmp_path / "out").to_dict("records")
        return
    if reason := missing(request.param):
        pytest.skip(reason)
    with closing(Server(request.param)) as server:
        yield (on_postgres if request.param == "postgres" else on_kafka)(server.url)


def on_postgres(url):
    psycopg = pytest.importorskip("psycopg")

    def rows():
        with psycopg.connect(url) as db:
            return pd.DataFrame(db.execute("select * from shop").fetchall(), columns=sinks._COLUMNS).to_dict("records")

    return f"{url}?table=shop", rows


def on_kafka(url):
    kafka = pytest.importorskip("confluent_kafka")
    where = url.removeprefix("kafka://").partition("?")[0]

    def rows():
        about = {"bootstrap.servers": where, "group.id": f"g{next(NUMBER)}", "auto.offset.reset": "earliest"}
        with closing(kafka.Consumer(about | {"enable.partition.eof": True})) as consumer:
            parts = consumer.list_topics("shop").topics["shop"].partitions
            consumer.assign([kafka.TopicPartition("shop", part, 0) for part in parts])
            found, ended = [], 0
            while ended < len(parts):
                message = consumer.poll(5)
                assert message is not None, "the topic does not answer"
                ended += bool(message.error())
                found += [] if message.error() else [json.loads(message.value())]
        return found

    return f"kafka://{where}/shop", rows


@contextmanager
def training(folder):
    with closing(CheckpointStore(folder / "run" / "training.db", {})) as store:
        store.begin(0, b"")
        yield store


def commit(store, first, n):
    """Questions of two targets, one of which is several numbers, and an alert."""
    ids = range(first, first + n)
    asked = [(name, id, said) for id in ids for name, said in (("one", id / 8), ("two", np.array([id, 0.5]).tobytes()))]
    alert = (100, 0, "monitor", "alert", json.dumps({"what": "loss", "target": "one"}))
    other = (100, 0, "trainer", "version", "{}")
    store.commit(first + n, b"", asked, [], [(id, id % 3, 10 * id, b"") for id in ids], (), [alert, other])


def test_every_prediction_and_alert_arrives_with_an_id_of_its_own_and_goes_on_from_where_it_stopped(
    tmp_path, out, monkeypatch, capsys
):
    to, rows = out
    monkeypatch.setattr(sinks, "_AT_ONCE", 10)
    with training(tmp_path) as store:
        commit(store, 0, N)
        sink(tmp_path / "run", to)
        sink(tmp_path / "run", to)
        assert capsys.readouterr().out == f"{2 * N + 1} rows sent\n0 rows sent\n"
        commit(store, N, 5)
        keep = sinks.Run.write_json
        monkeypatch.setattr(sinks.Run, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):  # killed between the sending and the note of it
            send_new(tmp_path / "run", to)
        monkeypatch.setattr(sinks.Run, "write_json", keep)
        commit(store, N + 5, 1)
        assert send_new(tmp_path / "run", to) == 2 * 6 + 2, "what was not noted is sent again"
    found = rows()
    assert len(found) == 2 * (N + 6) + 3 + ("kafka" in to) * 11, "only a topic has those twice that were sent twice"
    by_id = {row["id"]: row for row in found}
    assert len(by_id) == 2 * (N + 6) + 3
    for id in range(N + 6):
        one, two = by_id[f"run/{id}/one"], by_id[f"run/{id}/two"]
        assert (one["kind"], one["at"], one["key"], json.loads(one["said"])) == ("prediction", 10 * id, id % 3, id / 8)
        assert json.loads(two["said"]) == [id, 0.5]
    assert sum(row["kind"] == "alert" and row["target"] == "one" for row in by_id.values()) == 3


@pytest.mark.parametrize(
    "to, error, says",
    [
        ("https://x", ValueError, "rows go to kafka://"),
        ("kafka://127.0.0.1:1", ValueError, "a topic is missing"),
        ("postgres://127.0.0.1:1/x", ValueError, "a table is missing"),
        ("postgres://me:secret@127.0.0.1:1/x?table=t", ConnectionError, "was not reached"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(tmp_path, to, error, says):
    if reason := missing(to.partition(":")[0]) if to.startswith(("kafka", "postgres")) else "":
        pytest.skip(reason)
    with training(tmp_path), pytest.raises(error, match=says) as told:
        send_new(tmp_path / "run", to)
    assert "secret" not in str(told.value)
