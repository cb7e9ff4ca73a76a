"""Progressive evaluation with delayed answers, and one event live: compiled models beside river, same run.

``python benchmarks/bench_progressive.py`` prints events a CPU second of one core and the ratio to river. Ours is the
whole call (a fresh model, the checks, the order of the answers, the predictions). River is driven by hand with dicts
made beforehand and a queue, its fastest way, and by its own ``progressive_val_score``; over the first events only (it
takes 13-30 us each). Beside least squares stands river's nearest model, Bayesian linear regression.
"""

from collections import deque

import numpy as np
from river import evaluate, linear_model, metrics, preprocessing
from timing import compare

from rtml.core.questions import Questions
from rtml.evaluation.progressive import progressive
from rtml.models.clip import Clip
from rtml.models.rls import RecursiveLeastSquares
from rtml.training.learner import Learner

EVENTS, FEW, DELAY, S = 1_000_000, 10_000, 10, 10**9


def linear():
    return preprocessing.StandardScaler() | linear_model.LinearRegression()


def logistic():
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()


def squares():
    return preprocessing.StandardScaler() | Clip(8.0) | RecursiveLeastSquares()


def bayesian():
    return preprocessing.StandardScaler() | Clip(8.0) | linear_model.BayesianLinearRegression()


def questions(n: int, d: int, *, sign: bool = False, random_delay: bool = False) -> Questions:
    """One question a second, answered ten seconds later, or after one to twenty."""
    rng = np.random.default_rng(7)
    X = rng.normal(2.0, 3.0, (n, d))
    y = X @ rng.normal(0, 1, d) + rng.normal(0, 1, n)
    moment = S * np.arange(n)
    known = moment + S * (rng.integers(1, 21, n) if random_delay else DELAY)
    names = tuple(f"f{j}" for j in range(d))
    return Questions(np.arange(n), moment, X, (y > 0).astype(float) if sign else y, known, names)


def dicts(asked: Questions, n: int) -> list:
    """The first questions as river takes them."""
    labels = asked.y.astype(bool).tolist() if set(np.unique(asked.y)) <= {0.0, 1.0} else asked.y.tolist()
    rows = (dict(zip(asked.names, row, strict=True)) for row in asked.X[:n].tolist())
    return list(zip(rows, labels, strict=False))


def by_hand(model, rows: list) -> None:
    """Predict, wait ten questions, learn."""
    waiting = deque()
    predict = model.predict_proba_one if isinstance(rows[0][1], bool) else model.predict_one
    for x, y in rows:
        if len(waiting) == DELAY:
            model.learn_one(*waiting.popleft())
        predict(x)
        waiting.append((x, y))


def by_river(model, rows: list) -> None:
    """River's own progressive validation."""
    metric = metrics.LogLoss() if isinstance(rows[0][1], bool) else metrics.MAE()
    evaluate.progressive_val_score(rows, model, metric, delay=DELAY)


def beside(title: str, build, asked: Questions, peer=None) -> None:
    """Ours over all events, river over the first ones, and the ratios."""
    rows = dicts(asked, FEW)
    ours = compare(f"{title}, {len(asked):,} events", len(asked), {"rtml": lambda: progressive(build(), asked)})
    runs = {"by hand": lambda: by_hand((peer or build)(), rows), "its own": lambda: by_river((peer or build)(), rows)}
    theirs = compare(f"  river, {FEW:,} events", FEW, runs, repeat=3)
    per_event = ours["rtml"] / len(asked)
    print("  rtml is " + " and ".join(f"{s / FEW / per_event:,.0f} times {name}" for name, s in theirs.items()))


def live(build, asked: Questions, peer=None, n: int = 20_000) -> None:
    """One event at a time: asked, waited for, told."""
    rows, X, y = dicts(asked, n), asked.X[:n], asked.y[:n].tolist()

    def ask_and_tell():
        learner = Learner(build(), asked.names)
        for i in range(n):
            learner.ask(i, i, X[i])
            if i >= DELAY:
                learner.tell(i - DELAY, y[i - DELAY], i)

    def ask():
        model = Learner(build(), asked.names).model
        for i in range(n):
            model.predict(X[i])

    title = f"one event live, {len(asked.names)} features"
    compare(title, n, {"rtml": ask_and_tell, "river": lambda: by_hand((peer or build)(), rows)}, repeat=3)
    compare("  predicting alone", n, {"rtml": ask}, repeat=3)


if __name__ == "__main__":
    ten = questions(EVENTS, 10)
    beside("scaler | linear regression, 10 features, constant delay", linear, ten)
    beside("the same, random delay", linear, questions(EVENTS, 10, random_delay=True))
    beside("scaler | logistic regression, 10 features", logistic, questions(EVENTS, 10, sign=True))
    beside("scaler | clip | recursive least squares, 10 features", squares, ten, bayesian)
    beside("scaler | clip | recursive least squares, 35 features", squares, questions(EVENTS // 5, 35), bayesian)
    live(linear, ten)
    live(squares, questions(20_000, 35), bayesian)
