"""Explain: any served prediction is computed again from the log, to the same bytes, with what led to it."""

import sqlite3
import threading
from contextlib import closing

import numpy as np
import pytest

from rtml.pipeline.options import SourceOptions
from rtml.serving.explain import explain, show
from rtml.serving.live.session import Live
from rtml.store.database import prepared


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A live run in which every question was asked for, some with features of their own, some of a frozen version."""
    folder, given = tmp_path_factory.mktemp("explained") / "run", []
    source = SourceOptions("synthetic", speed=0.0, hours=0.4, inputs=("BTC-USD",))
    with Live(folder, source, every="5m", port=None, out=lambda line: None) as session:
        publish, own = session.publisher.outcome, {}

        def asked(outcome, arrived) -> None:
            publish(outcome, arrived)
            if len(outcome.id):
                given.append(session.service.predict())

        session.publisher.outcome = asked
        session.run(threading.Event(), once=True)
        own = dict(zip(session.service.snapshot.names, np.arange(1.0, 99.0).tolist(), strict=False))
        given.append(session.service.predict_features(own))
        frozen = session.registry.all("crypto")[-1]
        session.registry.promote("crypto", frozen, "me: to see", session.service.clock.now(), {"who": "me"})
        session.publisher.refresh(ask=True)
        given.append(session.service.predict())
    return folder, given


def test_what_was_served_by_key_is_computed_again_to_the_same_bytes_with_its_windows_and_answer(run):
    folder, given = run
    one = given[len(given) // 2]
    told = explain(folder, one.prediction_id)
    assert told.same and told.given["question"] == one.question
    assert told.recomputed["return"] == one.answers()["return"]["value"]
    assert len(told.windows) and {"window", "time", "value"} <= set(told.windows.columns)
    assert told.answers["return"]["y"] is not None and "the same bytes" in str(told)
    moment = told.windows["time"].max()
    assert moment <= one.question, "nothing behind the question is seen"


def test_features_of_ones_own_and_a_frozen_version_are_computed_again_too(run):
    folder, given = run
    for one in given[-2:]:
        assert explain(folder, one.prediction_id).same
    assert given[-1].version.startswith("crypto@") and "frozen at" in explain(folder, given[-1].prediction_id).learned


def test_what_is_not_what_the_log_gives_is_said_and_an_unknown_id_too(run, capsys, tmp_path):
    folder, given = run
    with closing(prepared(sqlite3.connect(folder / "predictions.db"))) as database:
        id = database.execute("select id from prediction order by id limit 1 offset 3").fetchone()[0]
        database.execute("update prediction set prediction = prediction + 1e-9 where id = ?", (id,))
        database.commit()
    assert show(folder, given[3].prediction_id) == 1 and "NOT what the log gives" in capsys.readouterr().out
    with pytest.raises(LookupError, match="no prediction '9-9'"):
        explain(folder, "9-9")
