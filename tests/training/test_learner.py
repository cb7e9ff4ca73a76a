"""A learner is asked and told in the order of time, in chunks of any size."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import CLASSIFIERS, COMPILED, NAMES, OTHER, REGRESSORS, by_hand, cuts, stream, streams

from rtml.core import state as checkpoint
from rtml.core.clock import NEVER
from rtml.models.rls import RecursiveLeastSquares
from rtml.training.learner import Learner
from rtml.training.learner import one_by_one as one_after_another

quick = settings(max_examples=25, deadline=None)


def bits(learner):
    return checkpoint.dumps(learner.state)


def one_by_one(learner, questions):
    """Drive a learner by ask and tell alone."""

    def tell(i):
        learner.tell(questions.id[i], questions.y[i], questions.known[i])

    def ask(i):
        prediction = learner.ask(questions.id[i], questions.moment[i], questions.X[i])
        if questions.known[i] == NEVER:
            learner.tell(questions.id[i], np.nan, NEVER)
        return prediction

    return by_hand(questions, ask, tell)


@pytest.mark.parametrize("name", COMPILED | OTHER)
@quick
@given(data=st.data())
def test_any_cutting_gives_the_same_bits(name, data):
    build = (COMPILED | OTHER)[name]
    questions = data.draw(streams(sign=name in CLASSIFIERS))
    whole = Learner(build(), NAMES)
    predictions = whole.replay(questions)
    cut, parts = Learner(build(), NAMES), []
    places = data.draw(cuts(len(questions)))
    for start, stop in pairwise(places):
        until = NEVER if stop == len(questions) else int(questions.moment[stop]) - data.draw(st.integers(1, 20))
        parts.append(cut.replay(questions[start:stop], until))
        if data.draw(st.booleans()):  # a restart in between
            state, cut = checkpoint.loads(bits(cut)), Learner(build(), NAMES)
            cut.load(state)
    assert np.concatenate(parts).tobytes() == predictions.tobytes()
    assert bits(cut) == bits(whole)
    single = Learner(build(), NAMES)
    assert one_by_one(single, questions).tobytes() == predictions.tobytes()
    assert bits(single) == bits(whole)


@pytest.mark.parametrize("name", COMPILED | OTHER)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_chunk_asked_at_once_gives_the_bits_of_one_by_one(name, data):
    """Answers come in any order among those known at the same time, some are missing, some of earlier chunks."""
    build = (COMPILED | OTHER)[name]
    questions = data.draw(streams(sign=name in CLASSIFIERS))
    single, chunked = Learner(build(), NAMES), Learner(build(), NAMES)
    due = np.flatnonzero(questions.known < NEVER)
    due = due[np.lexsort((-questions.id[due] % 7, questions.known[due]))]
    answers = list(zip(*(getattr(questions, column)[due].tolist() for column in ("id", "y", "known")), strict=True))
    for start, stop in pairwise(sorted(set(data.draw(cuts(len(questions)))))):
        part = questions[start:stop]
        here = [one for one in answers if one[2] < int(part.moment[-1]) or stop == len(questions)]
        answers = answers[len(here) :]
        said = []
        for drive, learner in ((one_after_another, single), (Learner.ask_all, chunked)):
            predictions, left = drive(learner, part.id, part.moment, part.X, here)
            said.append(predictions.tobytes())
            for answer in left:
                learner.tell(*answer)
        assert said[0] == said[1]
        assert bits(single) == bits(chunked)


@pytest.mark.parametrize("name", ["scaled descent", "scaled least squares", "tree"])
def test_states_are_equal_in_the_middle_of_a_stream(name):
    build = (REGRESSORS | OTHER)[name]
    questions = stream(300, delays=np.random.default_rng(1).integers(1, 90, 300), unlabelled=0.1)
    whole, single = Learner(build(), NAMES), Learner(build(), NAMES)
    for i in range(150):
        single.replay(questions[i : i + 1], until=int(questions.moment[i]))
    whole.replay(questions[:150], until=int(questions.moment[149]))
    assert whole.open > 3
    assert bits(whole) == bits(single)


@quick
@given(streams())
def test_every_question_is_closed_once(questions):
    learner = Learner(REGRESSORS["least squares"](), NAMES)
    learner.replay(questions)
    assert learner.asked == len(questions) == learner.answered + learner.unanswered
    assert learner.answered == np.isfinite(questions.y).sum()
    assert learner.open == 0


@quick
@given(streams())
def test_a_later_answer_changes_no_earlier_prediction(questions):
    """Change the last answer to be known: only questions after it may notice."""
    known = np.where(np.isnan(questions.y), -1, questions.known)
    last = int(np.argmax(known))
    other = questions.y.copy()
    other[last] += 1000.0
    build = REGRESSORS["least squares"]
    columns = (questions.id, questions.moment, questions.X, other, questions.known, NAMES)
    was = Learner(build(), NAMES).replay(questions)
    now = Learner(build(), NAMES).replay(type(questions)(*columns))
    unaware = questions.moment <= known[last]
    assert (was[unaware] == now[unaware]).all()


def test_an_answer_due_at_the_moment_of_a_question_comes_after_it():
    questions = stream(3, gaps=[10, 10, 10], delays=10)  # each answer is known when the next question is asked
    learner = Learner(RecursiveLeastSquares(), NAMES)
    first, second, third = learner.replay(questions)
    assert first == second == 0.0  # the second is asked before the first answer is learned
    assert third != 0.0


def test_a_chunk_without_questions_lets_time_pass():
    questions = stream(20, delays=95)
    learner, nobody = Learner(RecursiveLeastSquares(), NAMES), questions[:0]
    learner.replay(questions, until=200)
    assert (learner.open, learner.answered) == (10, 10)
    assert len(learner.replay(nobody, until=250)) == 0 and learner.answered == 15
    learner.replay(nobody)
    assert learner.open == 0


def test_a_chunk_that_starts_before_what_was_revealed_is_refused():
    questions = stream(20, delays=15)
    learner = Learner(RecursiveLeastSquares(), NAMES)
    learner.replay(questions[:10])  # to the end of time, as if nothing followed
    with pytest.raises(ValueError, match="at equal times ask first, then tell"):
        learner.replay(questions[10:])


def test_a_question_at_the_moment_of_a_learned_answer_is_refused():
    learner = Learner(RecursiveLeastSquares(), NAMES)
    learner.ask(1, 10, np.ones(4))
    learner.tell(1, 2.0, known=20)
    with pytest.raises(ValueError, match="at equal times ask first, then tell"):
        learner.ask(2, 20, np.ones(4))
    with pytest.raises(ValueError, match="at equal times ask first, then tell"):
        learner.replay(stream(2, gaps=[20, 5]))
    learner.ask(2, 21, np.ones(4))


def test_questions_go_forward_in_time():
    learner = Learner(RecursiveLeastSquares(), NAMES)
    learner.ask(1, 10, np.ones(4))
    with pytest.raises(
        ValueError, match=r"question 2 at 1970.* follows 1970.*; sort the event log or raise the lateness"
    ):
        learner.ask(2, 9, np.ones(4))


def test_an_answer_known_at_its_own_question_is_refused():
    learner = Learner(RecursiveLeastSquares(), NAMES)
    learner.ask(1, 10, np.ones(4))
    with pytest.raises(ValueError, match="a label looks ahead"):
        learner.tell(1, 2.0, known=10)
    assert learner.open == 1 and learner.answered == 0


def test_an_unknown_or_repeated_answer_is_said():
    learner = Learner(RecursiveLeastSquares(), NAMES)
    learner.ask(1, 10, np.ones(4))
    learner.tell(1, 2.0, 20)
    for id in (1, 7):
        with pytest.raises(LookupError, match=f"question {id} is not open: it was never asked, or was answered before"):
            learner.tell(id, 2.0, 20)


def test_an_open_id_is_not_asked_again():
    learner = Learner(RecursiveLeastSquares(), NAMES)
    learner.ask(101, 5, np.ones(4))
    for again in (lambda: learner.ask(101, 6, np.ones(4)), lambda: learner.replay(stream(3))):
        with pytest.raises(ValueError, match="question 101 is open already"):
            again()
    questions = stream(3)
    twice = type(questions)([7, 8, 7], questions.moment, questions.X, questions.y, questions.known, NAMES)
    with pytest.raises(ValueError, match="the same id"):
        learner.replay(twice)


def test_a_question_by_name_is_the_question_in_the_order_of_the_columns():
    questions = stream(30, delays=np.full(30, 3))
    by_name, in_order = (Learner(REGRESSORS["scaled descent"](), NAMES) for _ in range(2))
    for i, x in enumerate(questions.X):
        named = dict(zip(("another", *reversed(NAMES)), (7.0, *reversed(x.tolist())), strict=True))
        assert by_name.ask(i, 10 * i, named) == in_order.ask(i, 10 * i, x)
        for each in (by_name, in_order):
            each.tell(i, questions.y[i], 10 * i + 1)
    assert by_name.ask(30, 400, dict(zip(NAMES, [None, 1, 2, 3], strict=True))) == in_order.ask(
        30, 400, [np.nan, 1, 2, 3]
    )
    assert bits(by_name) == bits(in_order)
    with pytest.raises(LookupError, match="no feature"):
        by_name.ask(31, 410, {NAMES[0]: 1.0})


def test_questions_that_were_asked_singly_wait_like_those_of_a_chunk():
    """Chunks between single questions, whose answers come before and after they became rows."""
    questions = stream(120, delays=np.random.default_rng(2).integers(1, 300, 120))
    mixed, single = (Learner(REGRESSORS["scaled descent"](), NAMES) for _ in range(2))
    answers = sorted(zip(questions.known.tolist(), questions.id.tolist(), questions.y.tolist(), strict=True))
    answers = [(id, y, known) for known, id, y in answers]
    left = [answers, answers]
    for start in range(0, 120, 20):
        for stop, drive in ((start + 15, Learner.ask_all), (start + 20, one_after_another)):
            part = questions[stop - 15 if drive is Learner.ask_all else stop - 5 : stop]
            for k, (learner, how) in enumerate(((mixed, drive), (single, one_after_another))):
                here = [one for one in left[k] if one[2] < int(part.moment[-1])]
                left[k] = left[k][len(here) :]
                _, behind = how(learner, part.id, part.moment, part.X, here)
                assert not len(behind)
            assert mixed.open == single.open > 0
    assert bits(mixed) == bits(single)


def test_features_are_frozen_when_asked():
    learner, still = (Learner(REGRESSORS["scaled descent"](), NAMES) for _ in range(2))
    x = np.arange(4.0)
    for each in (learner, still):
        each.ask(1, 10, x)
    told = still.tell(1, 2.0, 20)
    x[:] = 99.0
    assert learner.tell(1, 2.0, 20).x.tolist() == told.x.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert bits(learner) == bits(still)


def test_an_answer_that_never_comes_closes_its_question_and_teaches_nothing():
    learner = Learner(RecursiveLeastSquares(), NAMES)
    before = checkpoint.dumps(learner.model.state)
    learner.ask(1, 10, np.ones(4))
    learner.tell(1, np.nan, NEVER)
    assert (learner.asked, learner.answered, learner.unanswered, learner.open) == (1, 0, 1, 0)
    assert checkpoint.dumps(learner.model.state) == before
    learner.ask(2, 10, np.ones(4))  # nothing was revealed


@pytest.mark.parametrize("name", [*COMPILED, *OTHER])
def test_what_is_refused_changes_nothing(name):
    learner = Learner((COMPILED | OTHER)[name](), NAMES)
    learner.replay(stream(30, sign=name in CLASSIFIERS), until=250)
    was = bits(learner)
    for x in ([1.0, -np.inf, 0.0, 0.0], [1.0, np.inf, 0.0, 0.0]):
        with pytest.raises(ValueError, match="feature 'flow' must be a finite number, got"):
            learner.ask(1, 1000, x)
    with pytest.raises(ValueError, match="a row must have 4 numbers"):
        learner.ask(1, 1000, [1.0, 2.0])
    with pytest.raises(ValueError, match="label must be a finite number, got inf"):
        learner.tell(129, np.inf, 1000)
    with pytest.raises(ValueError, match="columns"):
        learner.replay(type(q := stream(2))(q.id, q.moment + 1000, q.X, q.y, q.known + 1000, NAMES[::-1]))
    assert bits(learner) == was


def test_a_label_that_is_no_sign_is_refused_by_a_classifier():
    learner = Learner(CLASSIFIERS["scaled logistic"](), NAMES)
    with pytest.raises(ValueError, match="label of a classifier must be 0 or 1, got"):
        learner.replay(stream(3))
    learner.ask(1, 10, np.ones(4))
    with pytest.raises(ValueError, match=r"must be 0 or 1, got 0\.5: give it the sign, not the return"):
        learner.tell(1, 0.5, 20)


def test_a_state_of_another_model_is_refused():
    state = Learner(REGRESSORS["least squares"](), NAMES).state
    with pytest.raises(ValueError, match=r"the state is of RecursiveLeastSquares\(ridge=2, forgetting=1\), not of"):
        Learner(REGRESSORS["forgetting"](), NAMES).load(state)
    with pytest.raises(ValueError, match="other columns"):
        Learner(REGRESSORS["least squares"](), ("a", "b")).load(state)
    with pytest.raises(ValueError, match="the state is of a 'compiled' model, this one is 'river'"):
        Learner(OTHER["tree"](), NAMES).load(state)


class Timed:
    """A model that is told the times, and what it said itself."""

    names, classifier, kind, state = ("a",), False, "timed", {}

    def __init__(self):
        self.heard = []

    def predict_at(self, x, moment):
        self.heard.append(("asked", moment))
        return 2.0 * x[0]

    def learn_at(self, x, y, prediction, moment, known):
        self.heard.append(("told", y, prediction, moment, known))

    def replay(self):
        """What tells a model from a river estimator."""


def test_a_timed_model_is_told_when_it_was_asked_and_what_it_said():
    learner = Learner(Timed(), ["a"])
    learner.ask(7, moment=100, x=[1.5])
    learner.tell(7, y=4.0, known=110)
    assert learner.model.heard == [("asked", 100), ("told", 4.0, 3.0, 100, 110)]
