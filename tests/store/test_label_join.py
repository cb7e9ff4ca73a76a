"""Log and wait: a model trained from what was logged is the model that learned live, and what is forgotten is gone."""

import sqlite3

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import CLASSIFIERS, NAMES, REGRESSORS, stream, streams

from rtml.core.clock import NEVER, span
from rtml.core.state import dumps
from rtml.evaluation.progressive import progressive
from rtml.store.label_join import questions, waiting
from rtml.store.prediction_log import PredictionLog
from rtml.store.prediction_tables import id_number
from rtml.training.learner import Learner
from rtml.training.log_trainer import LogTrainer, kept

S, DAY = span("1s"), span("1d")


@pytest.fixture
def log(tmp_path):
    log = PredictionLog(tmp_path / "predictions.db")
    log.define("v1", NAMES, "abc")
    yield log
    log.close()


def live(log, learner, asked):
    """Serve a stream and learn it live, logging every prediction and telling every answer; ids in the log by row."""
    ids, order = [], np.argsort(asked.known, kind="stable")
    told = 0

    def tell(row):
        if asked.y[row] == asked.y[row]:
            learner.tell(asked.id[row], asked.y[row], asked.known[row])
            assert log.answer(id_number(ids[row]), asked.y[row], int(asked.known[row])).result() == "joined"

    for row in range(len(asked)):
        while told < len(order) and asked.known[order[told]] < asked.moment[row]:
            tell(order[told])
            told += 1
        moment = int(asked.moment[row])
        said = learner.ask(asked.id[row], moment, asked.X[row])
        ids.append(log.append(moment, moment, "card 7", "v1", 0, row, asked.X[row].tobytes(), said, None, 900))
    for row in order[told:]:
        if asked.known[row] < NEVER:
            tell(row)
    return ids


@pytest.mark.parametrize("name", [*REGRESSORS, *CLASSIFIERS])
def test_a_model_trained_from_the_log_is_the_one_trained_live_bit_by_bit(log, tmp_path, name):
    build = (REGRESSORS | CLASSIFIERS)[name]
    asked = stream(
        300, seed=3, delays=np.random.default_rng(1).integers(1, 400, 300), unlabelled=0.1, sign=name in CLASSIFIERS
    )
    learner = Learner(build(), NAMES)
    live(log, learner, asked)
    logged = questions(log)
    again = progressive(build(), logged)
    assert dumps(again.learner.model.state) == dumps(learner.model.state)
    with log.reading() as database:
        served = [row[0] for row in database.execute("select prediction from prediction order by id")]
    assert again.predictions.tobytes() == np.array(served).tobytes(), "what is trained on is what was served"
    assert logged.X.tobytes() == asked.X.tobytes() and logged.moment.tolist() == asked.moment.tolist()
    follower = LogTrainer(build(), NAMES, tmp_path / "predictions.db")
    assert follower.learn(n=37) == learner.answered
    assert dumps(follower.model.state) == dumps(learner.model.state)
    follower.close()


@settings(max_examples=15)
@given(streams(), st.integers(1, 7))
def test_whatever_the_delays_and_the_ties_the_log_trains_the_same_model(tmp_path_factory, asked, n):
    path = tmp_path_factory.mktemp("log") / "predictions.db"
    log, learner = PredictionLog(path, gather_s=0.0), Learner(REGRESSORS["scaled descent"](), NAMES)
    log.define("v1", NAMES)
    live(log, learner, asked)
    assert dumps(progressive(REGRESSORS["scaled descent"](), questions(log)).learner.model.state) == dumps(
        learner.model.state
    )
    follower = LogTrainer(REGRESSORS["scaled descent"](), NAMES, path, retention=0)
    follower.learn(n)
    assert dumps(follower.model.state) == dumps(learner.model.state)
    follower.close()
    log.close()


def put(log, rows, version="v1", **about):
    """Predictions of (moment, features); their ids."""
    return [
        log.append(moment, moment, "card 7", version, 0, None, np.array(x, float).tobytes(), 0.5, None, 900, **about)
        for moment, x in rows
    ]


def test_labels_join_by_id_days_later_and_every_other_answer_is_counted(log):
    ids = put(log, [(k * S, [k, 0, 0, 0]) for k in range(6)])
    tell = [log.answer(id_number(ids[k]), 1.0, at).result() for k, at in ((0, 2 * S), (1, 7 * DAY), (2, 40 * DAY))]
    assert tell == ["joined"] * 3
    assert log.answer(id_number(ids[1]), 1.0, 8 * DAY).result() == "repeated"
    assert log.answer(id_number(ids[1]), 0.0, 8 * DAY).result() == 1.0
    assert log.answer(id_number("9-1"), 0.0, 8 * DAY).result() == "unknown"
    found = waiting(log, now=10 * DAY + 4 * S, timeouts="10d")
    assert (found.asked, found.answered, found.waiting, found.never) == (6, 3, 1, 2)
    assert (found.unknown, found.repeated, found.contradicting) == (1, 1, 1)
    assert found.delays["answers"].to_dict() == {"< 10s": 1, "< 7d": 1, "more": 1}


def test_the_log_says_version_definition_propensity_and_latency_of_every_prediction(log):
    ids = put(log, [(10, [1, 2, 3, 4])]) + put(log, [(20, [1, 2, 3, 4])], propensity=0.25)
    for id in ids:
        log.answer(id_number(id), 1.0, 30).result()
    first, second = log.answers()
    assert (first.version, first.features, first.propensity, second.propensity) == ("v1", "abc", 1.0, 0.25)
    with log.reading() as database:
        assert database.execute("select distinct latency_ns, key from prediction").fetchall() == [(900, "card 7")]


def test_a_log_of_an_older_version_is_read_and_written_on(tmp_path):
    old = sqlite3.connect(tmp_path / "old.db")
    old.executescript(
        "create table definition (version text primary key, names text not null);"
        "create table prediction (id integer primary key, asked_at integer not null, moment integer not null, symbol "
        "text not null, version text not null, x blob not null, close real, prediction real not null, p_up real, "
        "latency_ns integer not null); insert into definition values ('v1', '[\"a\"]');"
    )
    old.execute(
        "insert into prediction values (7, 1, 1, 's', 'v1', ?, null, 0.5, null, 9)", (np.float64(2.5).tobytes(),)
    )
    old.commit()
    old.close()
    assert questions(tmp_path / "old.db").X.ravel().tolist() == [2.5]
    log = PredictionLog(tmp_path / "old.db")
    log.append(5, 5, "s", "v1", 0, None, np.float64(3.5).tobytes(), 0.5, None, 9)
    assert questions(log).X.ravel().tolist() == [2.5, 3.5]
    log.close()


def test_features_are_picked_by_name_and_a_version_without_them_is_refused(log):
    put(log, [(10, [1, 2, 3, 4])])
    log.define("v2", (NAMES[1], NAMES[0]))
    put(log, [(20, [5, 6])], version="v2")
    with pytest.raises(
        ValueError, match=f"2 sets of features were served: name those to learn from, such as {NAMES[1]}"
    ):
        questions(log)
    assert questions(log, [NAMES[0], NAMES[1]]).X.tolist() == [[1, 2], [6, 5]]
    with pytest.raises(LookupError, match="no feature 'flat' in what was served; there were"):
        questions(log, NAMES)


def test_an_answer_told_at_the_moment_of_its_question_is_known_behind_it(log):
    ids = put(log, [(10, [1, 2, 3, 4])])
    log.answer(id_number(ids[0]), 1.0, 10).result()
    assert questions(log).known.tolist() == [11]


def test_a_log_that_is_missing_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="run 05_serve first"):
        questions(tmp_path / "nothing.db")


def odd(n, seed=5):
    """Features whose eight bytes occur nowhere by chance."""
    return np.random.default_rng(seed).normal(0, 1, (n, 4)) * np.pi


@pytest.mark.parametrize("n", [7, 400])
def test_with_retention_0_it_trains_and_no_byte_of_what_was_learned_is_left(log, tmp_path, n):
    x, path = odd(n), tmp_path / "predictions.db"
    y = (x[:, 0] * np.e).tolist()
    ids = put(log, [(k * S, row) for k, row in enumerate(x)])
    for k in range(n - 2):
        log.answer(id_number(ids[k]), y[k], (k + 3) * S).result()
    before = kept(path, [x[0, 0], y[0]])
    assert (before.answered, before.waiting) == (n - 2, 2) and len(before.traces) >= 2, "the audit finds what is there"
    keeper = LogTrainer(
        REGRESSORS["scaled descent"](), NAMES, tmp_path / "predictions.db", name="keeps none", retention=0
    )
    assert keeper.learn(n=50) == n - 2
    raw = [*x[: n - 2].ravel().tolist(), *y[: n - 2]]
    after = kept(path, raw)
    assert after.nothing, after
    assert (after.answered, after.waiting) == (0, 2), "what waits for its label is kept until it comes"
    assert kept(path, x[n - 1].tolist()).traces
    whole = Learner(REGRESSORS["scaled descent"](), NAMES)
    for k in range(n - 2):
        whole.ask(k, k * S, x[k])
    for k in range(n - 2):
        whole.tell(k, y[k], n * S + k)
    assert dumps(keeper.model.state) == dumps(whole.model.state), "and it has learned all of it"
    assert log.answer(id_number(ids[0]), y[0], DAY).result() == "repeated"
    assert (waiting(log, n * S, "1d").answered, waiting(log, n * S, "1d").forgotten) == (n - 2, n - 2)
    keeper.close()


def test_what_no_label_comes_for_is_given_up_and_counted(log, tmp_path):
    ids = put(log, [(0, odd(1)[0]), (DAY, odd(1, 6)[0])])
    learner = LogTrainer(REGRESSORS["least squares"](), NAMES, tmp_path / "predictions.db", retention=0, give_up="1d")
    log.flush()
    learner.learn()
    assert kept(tmp_path / "predictions.db", odd(1).ravel()).traces == ()
    assert (waiting(log, DAY, "10d").never, waiting(log, DAY, "10d").waiting) == (1, 1)
    assert log.answer(id_number(ids[0]), 1.0, 3 * DAY).result() == "unknown"
    learner.close()


def test_a_span_of_retention_keeps_what_is_younger_and_one_learner_waits_for_the_other(log, tmp_path):
    path, ids = tmp_path / "predictions.db", put(log, [(k * DAY, [k, 0, 0, 0]) for k in range(10)])
    for k, id in enumerate(ids):
        log.answer(id_number(id), 1.0, k * DAY + S).result()
    week = LogTrainer(REGRESSORS["least squares"](), NAMES, path, retention="7d", name="week")
    other = LogTrainer(REGRESSORS["least squares"](), NAMES, path, name="other")
    week.learn()
    assert kept(path).answered == 10, "the other has learned nothing yet"
    other.learn()
    week.learn()
    assert kept(path).answered == 7
    with pytest.raises(ValueError, match="retention must be None, 0 or a span"):
        LogTrainer(REGRESSORS["least squares"](), NAMES, path, retention=7)
    week.close()
    other.close()
