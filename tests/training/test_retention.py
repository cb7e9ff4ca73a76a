"""Retention: what is older than the rules say goes, sizes stay flat, and what is kept reads as before."""

import json
from contextlib import closing

import numpy as np
import pytest

from rtml.core.clock import span
from rtml.registry.registry import Registry
from rtml.store import database
from rtml.store.checkpoint_store import CheckpointReader, CheckpointStore
from rtml.store.event_log import EventLog
from rtml.store.prediction_log import PredictionLog
from rtml.training.retention import Retention
from rtml.usecases.crypto.trades import events

DAY, T0 = span("1d"), 1_700_000_000 * 10**9
EACH = 300  # events, questions and predictions of a day


def pages(path):
    with closing(database.reading(path)) as db:
        return db.execute("pragma page_count").fetchone()[0]


def lived(folder, days):
    """A run that lives for so many days, retention at the end of each; sizes of its files after every day."""
    rules, sizes, x = Retention(folder, "2d", "3d", "4d", 3), [], np.arange(3.0).tobytes()
    registry, log = Registry(folder / "registry"), EventLog(folder / "events.db")
    store, served = CheckpointStore(folder / "training.db", {}), PredictionLog(folder / "predictions.db")
    store.begin(0, b"")
    served.define("v1", ("a", "b", "c"))
    for day in range(days):
        at = T0 + day * DAY + np.arange(EACH) * (DAY // EACH)
        last, ids = log.append("events", events(at, price=1.0)), range(day * EACH, (day + 1) * EACH)
        questions = [(id, 0, int(t), x) for id, t in zip(ids, at, strict=True)]
        store.commit(last, b"", [("y", id, 0.5) for id in ids], [], questions, [(int(t), x) for t in at])
        for t in at.tolist():
            served.append(t, t, "k", "v1", 0, None, x, 0.5, None, 9)
        served.flush()
        registry.save("m", b"weights %d" % day, at=int(at[-1]), features="f")
        rules.apply(log, registry)
        kept = sum(map(registry.kept, registry.all("m")))
        sizes.append({path.name: pages(path) for path in folder.rglob("*.db")} | {"kept": kept})
    for one in (registry, log, store, served):
        one.close()
    return sizes


def test_a_compressed_month_keeps_its_size(tmp_path):
    sizes = lived(tmp_path, 30)
    assert sizes[29]["kept"] == 3
    for name in ("events.db", "training.db", "predictions.db"):
        assert sizes[29][name] <= 1.15 * sizes[9][name], (name, [day[name] for day in sizes])


def test_what_is_kept_is_what_the_rules_say(tmp_path):
    lived(tmp_path, 10)
    newest = T0 + 9 * DAY + (EACH - 1) * (DAY // EACH)
    with EventLog(tmp_path / "events.db") as log:
        offsets, rows = log.read("events", log.first("events") - 1)
        assert offsets[-1] == 10 * EACH and 0 <= rows["time"].min() - (newest - 4 * DAY) < DAY // EACH
    with closing(CheckpointReader(tmp_path / "training.db")) as reader:
        asked = reader.questions(0, 10**6)
        assert min(one.moment for one in asked) >= newest - 3 * DAY and len(asked) >= 3 * EACH
        assert all(one.predictions for one in asked) and reader.closed(0, 10**6)[0][0] >= newest - 3 * DAY
    with closing(database.reading(tmp_path / "predictions.db")) as db:
        oldest, kept = db.execute("select min(moment), count(*) from prediction").fetchone()
        assert 0 <= oldest - (newest - 2 * DAY) < DAY // EACH and kept == 2 * EACH + 1


def test_events_that_no_training_has_taken_are_kept(tmp_path):
    with EventLog(tmp_path / "events.db") as log, closing(CheckpointStore(tmp_path / "training.db", {})) as store:
        log.append("events", events(T0 + np.arange(100) * DAY, price=1.0))
        store.begin(7, b"")
        with closing(Registry(tmp_path / "registry")) as registry:
            assert Retention(tmp_path, events="1d").apply(log, registry)["events"] == 7
        assert log.first("events") == 8 and log.append("events", events([T0 + 100 * DAY], price=1.0)) == 101


def test_rules_are_declared_read_and_said(tmp_path):
    path = tmp_path / "retention.json"
    assert Retention.of(tmp_path).predictions == "30d" == json.loads(path.read_text())["predictions"]
    path.write_text('{"events": "forever", "every": "1s"}')
    rules = Retention.of(tmp_path)
    assert "events forever" in str(rules) and rules._cut(rules.events, T0) == 0
    for wrong, says in (('{"event": "1d"}', "has event; a rule is one of pred"), ('{"events": "soon"}', "a span is")):
        path.write_text(wrong)
        with pytest.raises(ValueError, match=says):
            Retention.of(tmp_path)


def test_events_of_a_log_on_a_server_are_the_servers_to_keep(tmp_path):
    """What a log on a server has is what its contract says: it cannot be trimmed."""

    class Elsewhere:
        rows = events(T0 + np.arange(10) * DAY, price=1.0)

        def parts(self):
            return ["events"]

        def last(self, part):
            return len(self.rows)

        def read(self, part, after, n):
            return np.arange(after + 1, after + n + 1), self.rows[after : after + n]

    with closing(CheckpointStore(tmp_path / "training.db", {})) as store:
        store.begin(0, b"")
        store.commit(10, b"", [], [], [(1, 0, T0, b"")])
    with closing(Registry(tmp_path / "registry")) as registry:
        gone = Retention(tmp_path, "2d", "2d", "2d", 3).apply(Elsewhere(), registry)
    assert (gone["events"], gone["questions"]) == (0, 1)
