"""Card payments through the stores: materialised, served, logged, labelled days later, learned from the log."""

import numpy as np
import pytest

from rtml.core.clock import span
from rtml.core.state import dumps
from rtml.evaluation.skew import check, recompute
from rtml.models import catalogue as zoo
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog
from rtml.store.facts import Facts
from rtml.store.feature_pipeline import QuestionStream
from rtml.store.label_join import questions, waiting
from rtml.store.materialize import Job
from rtml.store.offline import FeatureTable
from rtml.store.online import OnlineStore
from rtml.store.point_in_time import join
from rtml.store.prediction_log import PredictionLog
from rtml.store.prediction_tables import id_number
from rtml.training.learner import Learner
from rtml.training.log_trainer import LogTrainer
from rtml.usecases.fraud import use_case as fraud
from rtml.usecases.fraud.sources import open_payments

DAY = span("1d")


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """The log of a few weeks of payments and labels, and what the operator makes of it at once."""
    log = EventLog(tmp_path_factory.mktemp("town") / "events.db")
    ingest(open_payments("cards", seed=7, days=16.0), log, "events")
    rows = log.read("events", 0, 10**6)[1]
    rows = rows[: 6000 if len(rows) > 6000 else None]
    small = EventLog(log.path.parent / "small.db")
    small.append("events", rows)
    yield small, fraud.operator(None).push(rows)
    log.close()
    small.close()


def test_payments_are_materialised_as_their_questions_are_asked(town, tmp_path):
    log, asked = town
    stream = QuestionStream(fraud.operator(None))
    table = FeatureTable(tmp_path / "payments", stream.names)
    done = Job(stream, log, "events", table, chunk=977).run()
    stored = table.as_of().facts(keys=asked.id[:50])
    assert done.rows == len(asked.id) and len(stored) == 50
    order = np.argsort(asked.id[:50])
    assert stored.values.tobytes() == asked.X[:50][order].tobytes()


def test_labels_are_facts_that_a_join_sees_only_once_they_are_known(town):
    _, asked = town
    moment = dict(zip(asked.id.tolist(), asked.moment.tolist(), strict=True))
    told = [row for row, id in enumerate(asked.answered.tolist()) if id in moment and asked.y[row] == asked.y[row]]
    new_events = [moment[asked.answered[row]] for row in told]
    labels = Facts(asked.answered[told], new_events, asked.known[told], asked.y[told], ("fraud",), "labels")
    before = join(labels, labels.key, labels.known, before=True)
    after = join(labels, labels.key, labels.known)
    assert len(labels) > 100 and np.isnan(before).all() and np.array_equal(after, labels.values)


def test_what_is_learned_from_the_log_is_what_was_learned_live_with_labels_days_late(town, tmp_path):
    log, asked = town
    learner = Learner(zoo.build(fraud.use_case.models["fraud"]), fraud.operator(None).features.names)
    served, ids = PredictionLog(tmp_path / "predictions.db"), {}
    served.define("v1", learner.names, fraud.operator(None).features.definition)
    answers = list(zip(asked.answered.tolist(), asked.y.tolist(), asked.known.tolist(), strict=True))
    told = 0

    def tell(until):
        nonlocal told
        while told < len(answers) and answers[told][2] < until:
            id, y, known = answers[told]
            if y == y and id in ids:
                learner.tell(id, y, known)
                served.answer(id_number(ids[id]), y, known)
            told += 1

    for id, at, x in zip(asked.id.tolist(), asked.moment.tolist(), asked.X, strict=True):
        tell(at)
        said = learner.ask(id, at, x)
        ids[id] = served.append(at, at, str(id), "v1", 0, None, x.tobytes(), said, None, 900)
    tell(2**62)
    again = LogTrainer(zoo.build(fraud.use_case.models["fraud"]), learner.names, tmp_path / "predictions.db")
    served.flush()
    assert again.learn() == learner.answered > 1000
    assert dumps(again.model.state) == dumps(learner.model.state)
    logged = questions(served)
    assert (logged.known[logged.y == logged.y] - logged.moment[logged.y == logged.y]).min() > 0
    found = waiting(served, now=int(asked.moment[-1]), timeouts="8d")
    assert found.answered == learner.answered and found.delays["answers"].sum() == found.answered

    def key(asked):
        return asked.id.astype(str)

    recomputed = recompute(QuestionStream(fraud.operator(None), key), log, "events")
    assert check(served, recomputed, strict=True).compared == len(asked.id)
    again.close()
    served.close()


def test_a_batch_of_predictions_for_every_card_is_looked_up_with_its_age(town, tmp_path):
    _, asked = town
    model = Learner(zoo.build(fraud.use_case.models["fraud"]), fraud.operator(None).features.names).model
    online, at = OnlineStore(tmp_path / "online.db"), int(asked.moment[-1])
    online.declare("prediction", ["p_fraud"], ttl="1d", defaults=[0.01])
    predicted = [[model.predict(x)] for x in asked.X[:200]]
    assert online.put_many("prediction", asked.id[:200], np.full(200, at), predicted, definition="champion-v1") == 200
    found = online.get("prediction", int(asked.id[3]), now=at + 2 * DAY)
    assert (found.values[0], found.ages, found.stale) == (predicted[3][0], (2 * DAY,), ("p_fraud",))
    table = online.table("prediction", now=at + DAY // 2)
    assert len(table) == 200 and set(table["age_s"]) == {43200.0} and set(table["definition"]) == {"champion-v1"}
    online.close()
