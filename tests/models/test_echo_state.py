"""A model with a memory helps where the past matters, and carries its state through every cut and restart."""

import numpy as np
import pytest
from river import preprocessing

from rtml.core import state as checkpoint
from rtml.core.questions import Questions
from rtml.evaluation.progressive import progressive
from rtml.metrics.confidence_sequence import compare
from rtml.models.clip import Clip
from rtml.models.compiled import restore
from rtml.models.echo_state import EchoState
from rtml.models.rls import RecursiveLeastSquares
from rtml.training.learner import Learner

STEP = 10**9


def sequence(n=900, delay=0.5, planted=True):
    """One feature; the answer is made of those of the three questions before, where a memory is planted."""
    rng = np.random.default_rng(5)
    x, noise = rng.normal(size=n), rng.normal(0.0, 0.3, n)
    past = [np.concatenate([np.zeros(k), x[:-k]]) for k in (1, 2, 3)]
    y = (past[0] - 0.7 * past[2] + 0.5 * past[0] * past[1] if planted else 0.8 * x) + noise
    moment = np.arange(1, n + 1, dtype=np.int64) * STEP
    return Questions(np.arange(n), moment, x[:, None], y, moment + int(delay * STEP), ("x",))


def linear():
    return preprocessing.StandardScaler() | Clip(8.0) | RecursiveLeastSquares(ridge=1.0)


def losses(model, questions):
    return (progressive(model, questions).predictions - questions.y)[200:] ** 2


def test_it_predicts_a_planted_sequence_that_a_model_without_memory_cannot():
    questions = sequence()
    verdict = compare(losses(EchoState(), questions), losses(linear(), questions), names=("echo", "linear"))
    assert verdict.better == "echo" and losses(EchoState(), questions).mean() < 0.35 * np.var(questions.y)
    assert losses(linear(), questions).mean() > 0.9 * np.var(questions.y)
    plain = sequence(planted=False)
    assert losses(EchoState(), plain).mean() < 1.3 * losses(linear(), plain).mean(), "and costs little without one"


def test_with_answers_that_come_late_it_learns_from_a_memory_as_old_as_the_one_it_is_asked_with():
    questions = sequence(delay=1.5)  # the next question comes before the answer: only what is older is known
    late, wrong = (losses(EchoState(lag=lag), questions).mean() for lag in (1, 0))
    assert late < 0.97 * wrong and late < 0.9 * np.var(questions.y)


def test_any_cutting_and_a_restart_in_mid_stream_give_the_same_bits():
    questions = sequence(300)
    whole = progressive(EchoState(units=20, lag=1), questions).predictions
    learner = Learner(EchoState(units=20, lag=1), questions.names)
    parts, done = [], 0
    for end in (1, 40, 41, 170, 300):
        parts.append(learner.replay(questions[done:end]))
        kept = checkpoint.dumps(learner.state)
        learner = Learner(EchoState(units=20, lag=1), questions.names)
        learner.load(checkpoint.loads(kept))
        done = end
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_its_memory_is_saved_with_it_and_asking_changes_nothing():
    questions = sequence(200)
    learner = Learner(EchoState(), questions.names)
    learner.replay(questions)
    state = learner.model.state
    served = restore(checkpoint.loads(checkpoint.dumps(state)))
    said = [served.predict(x) for x in questions.X[:20]]
    assert said == [learner.model.predict(x) for x in questions.X[:20]] == [served.predict(x) for x in questions.X[:20]]
    served.model._states[:] = 0.0
    assert said != [served.predict(x) for x in questions.X[:20]], "without its memory it is another model"


def test_what_cannot_be_is_refused():
    for wrong in ({"units": 0}, {"memory": 1.0}, {"lag": -1}):
        with pytest.raises(ValueError, match=r"units at least 1, memory in \[0, 1\), lag from 0"):
            EchoState(**wrong)
    model = EchoState()
    with pytest.raises(ValueError, match="must be finite"):
        model.learn_one({"x": float("inf")}, 1.0)
