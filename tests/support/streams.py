"""Streams of questions for the tests of models, learner and progressive validation."""

from itertools import pairwise

import numpy as np
from hypothesis import strategies as st
from river import linear_model, optim, preprocessing, tree

from rtml.core import state as checkpoint
from rtml.core.clock import NEVER
from rtml.core.questions import Questions
from rtml.models.clip import Clip
from rtml.models.recursive_logistic import RecursiveLogistic
from rtml.models.rls import RecursiveLeastSquares

NAMES = ("return_1", "flow", "flat", "volume")

REGRESSORS = {
    "scaled descent": lambda: preprocessing.StandardScaler() | linear_model.LinearRegression(),
    "plain descent": lambda: linear_model.LinearRegression(optim.SGD(0.003), l2=0.01, intercept_lr=0.02),
    "clipped descent": lambda: (
        preprocessing.StandardScaler() | Clip(1.5) | linear_model.LinearRegression(clip_gradient=3.0)
    ),
    "least squares": lambda: RecursiveLeastSquares(ridge=2.0),
    "scaled least squares": lambda: preprocessing.StandardScaler() | Clip(2.0) | RecursiveLeastSquares(ridge=5.0),
    "forgetting": lambda: preprocessing.StandardScaler() | RecursiveLeastSquares(ridge=1.0, forgetting=0.97),
}
CLASSIFIERS = {
    "scaled logistic": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "weighted logistic": lambda: (
        Clip(2.0) | linear_model.LogisticRegression(optim.SGD(0.1), loss=optim.losses.Log(weight_pos=3.0), l2=0.001)
    ),
    "recursive logistic": lambda: preprocessing.StandardScaler() | Clip(3.0) | RecursiveLogistic(forgetting=0.99),
}
COMPILED = REGRESSORS | CLASSIFIERS
OTHER = {"tree": lambda: preprocessing.StandardScaler() | tree.HoeffdingTreeRegressor(grace_period=5, delta=0.5)}


def stream(n, seed=0, gaps=None, delays=None, unlabelled=0.0, sign=False, step=10):
    """Questions with ties in time where ``gaps`` has zeros, and a linear truth with a column that never varies."""
    rng = np.random.default_rng(seed)
    X = rng.normal(1.0, [1.0, 3.0, 0.0, 20.0], (n, len(NAMES)))
    y = X @ [1.0, -0.5, 0.0, 0.02] + rng.normal(0.0, 0.5, n)
    y = (y > 0.8).astype(float) if sign else y
    moment = np.cumsum(np.full(n, step) if gaps is None else gaps)
    known = moment + (step if delays is None else np.asarray(delays, dtype=np.int64))
    lost = rng.random(n) < unlabelled
    y[lost] = np.nan
    known[lost & (rng.random(n) < 0.5)] = NEVER  # the others become known to be unknown
    return Questions(np.arange(n) + 100, moment, X, y, known, NAMES)


@st.composite
def streams(draw, sign=False):
    """Streams with ties, constant or random delays that overlap, and answers that never come."""
    gaps = draw(st.lists(st.integers(0, 3), min_size=1, max_size=40))
    delays = draw(st.integers(1, 9) | st.lists(st.integers(1, 12), min_size=len(gaps), max_size=len(gaps)))
    return stream(len(gaps), draw(st.integers(0, 9)), gaps, delays, draw(st.sampled_from([0.0, 0.3])), sign)


def cuts(n):
    """Places to cut ``n`` questions into chunks."""
    return st.lists(st.integers(0, n), max_size=6).map(lambda places: [0, *sorted(places), n])


def by_hand(questions, ask, tell, tie_goes_to_the_question=True):
    """The loop that everything must equal: before each question, tell what became known before its moment."""
    waiting, predictions = [], []

    def reveal(limit):
        due = [i for i in waiting if questions.known[i] <= limit and questions.known[i] < NEVER]
        for i in sorted(due, key=lambda i: questions.known[i]):  # sorted is stable: ties in the order asked
            waiting.remove(i)
            tell(i)

    for i in range(len(questions)):
        reveal(questions.moment[i] - 1 if tie_goes_to_the_question else questions.moment[i])
        predictions.append(ask(i))
        waiting.append(i)
    reveal(NEVER)
    return np.array(predictions)


def cut_and_by_hand(learner, questions, edges):
    """Learners of one stream: at once, in chunks with a checkpoint behind each, and one by one.

    Their predictions must be the same bits; the states are for the test to compare.
    """
    whole, cut, live = learner(), learner(), learner()
    expected, got = whole.replay(questions), []
    for start, stop in pairwise(edges):
        part = questions[start:stop]
        got.append(cut.replay(part, until=int(part.moment[-1]) - 1 if len(part) else 0))
        cut.load(checkpoint.loads(checkpoint.dumps(cut.state)))
    cut.replay(questions[:0], until=NEVER)
    one_by_one = by_hand(
        questions,
        lambda i: live.ask(int(questions.id[i]), int(questions.moment[i]), questions.X[i]),
        lambda i: live.tell(int(questions.id[i]), questions.y[i], int(questions.known[i])),
    )
    assert np.concatenate(got).tobytes() == expected.tobytes() == one_by_one.tobytes()
    return whole, cut, live
