from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtml.core.state import dumps, loads
from rtml.core.target import Target
from rtml.metrics.running import Score
from rtml.training.flow import Flow, Outcome
from rtml.training.scoreboard import Scoreboard

TARGETS = (Target("return"), Target("volatility", of=np.abs))


class Silent:
    """Stands for the learner of a target whose predictions a test makes up."""


def scoreboard() -> Scoreboard:
    return Scoreboard(Flow(None, {target.name: Silent() for target in TARGETS}, TARGETS))


def outcome(moment=(), prediction=(), answered=(), y=(), known=(), key=None) -> Outcome:
    moment = np.array(moment, np.int64)
    key = np.zeros(len(moment), np.int32) if key is None else np.array(key, np.int32)
    columns = dict(id=moment, key=key, moment=moment, X=np.empty((len(moment), 0)))
    predictions = {name: np.array(prediction, float) for name in ("return", "volatility")}
    answers = dict(answered=np.array(answered, np.int64), y=np.array(y, float), known=np.array(known, np.int64))
    label = np.zeros(len(answers["y"]), np.int8)
    return Outcome(np.empty((0, 1)), predictions=predictions, label=label, **columns, **answers)


def test_a_question_is_scored_when_it_is_answered():
    board = scoreboard()
    asked, answered = board.take(outcome(moment=[10], prediction=[0.5]))
    assert asked == [("return", 10, 0.5), ("volatility", 10, 0.5)] and answered == []
    asked, answered = board.take(outcome(answered=[10], y=[-2.0], known=[20]))
    assert answered == [(-2.0, 20, "return", 10), (2.0, 20, "volatility", 10)]
    assert board.scores()["return"]["mse"] == 6.25 and board.scores()["volatility"]["mse"] == 2.25


def test_a_question_asked_before_is_not_scored():
    board = scoreboard()
    assert board.take(outcome(answered=[10], y=[1.0], known=[20])) == ([], [])
    assert board.scores()["return"]["asked"] == 0


def test_an_answer_that_stays_unknown_closes_the_question_unscored():
    board = scoreboard()
    board.take(outcome(moment=[10], prediction=[0.5], answered=[10], y=[np.nan], known=[20]))
    assert board.metrics()["return_answered"] == 0 and board.state["open"]["return"] == []


def test_the_recent_score_begins_again():
    board = scoreboard()
    board.take(outcome(moment=[10], prediction=[0.0], answered=[10], y=[3.0], known=[20]))
    board.renew()
    board.take(outcome(moment=[20], prediction=[0.0], answered=[20], y=[1.0], known=[30]))
    found = board.metrics()
    assert (found["return_mse"], found["return_mse_recent"]) == (5.0, 1.0)
    assert (found["return_answered"], found["return_answered_recent"]) == (2, 1)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.sets(st.integers(0, 30)))
def test_any_cutting_and_restart_gives_the_same_bits(y, cuts):
    moments, predictions = np.arange(len(y)) * 10, np.linspace(-1, 1, len(y))
    whole = scoreboard()
    whole.take(outcome(moments, predictions, moments, y, moments + 10))
    board = scoreboard()
    edges = sorted({0, len(y), *(cut for cut in cuts if cut < len(y))})
    for a, b in pairwise(edges):
        board.take(outcome(moments[a:b], predictions[a:b]))
        again = scoreboard()
        again.load(loads(dumps(board.state)))
        board = again
        board.take(outcome(answered=moments[a:b], y=y[a:b], known=moments[a:b] + 10))
    assert dumps(board.state) == dumps(whole.state)
    assert board.scores()["return"] == pytest.approx(Score().update(y, predictions).get(), nan_ok=True)


def test_every_key_has_a_score_of_its_own():
    board = scoreboard()
    board.take(outcome([10, 11, 12], [0.0, 1.0, 2.0], [10, 11, 12], [2.0, 2.0, 2.0], [20, 20, 20], key=[0, 1, 0]))
    by_key = board.by_key()["return"]
    assert (by_key[0]["answered"], by_key[0]["mse"]) == (2, 2.0) and (by_key[1]["answered"], by_key[1]["mse"]) == (
        1,
        1.0,
    )
    again = scoreboard()
    again.load(loads(dumps(board.state)))
    assert again.by_key() == board.by_key()
