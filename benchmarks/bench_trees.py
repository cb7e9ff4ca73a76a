"""Trees, forest and second-order logistic: compiled beside river, same stream, same run, CPU time.

``python benchmarks/bench_trees.py`` prints events a CPU second of one core, the ratio to river (over its first events
only: a forest takes it a millisecond each), how often both were right, and what a checkpoint costs. Answers come five
questions late. The stream is one of boxes with a tenth of the labels wrong, ten features, so that trees really grow.
"""

import pickle

import numpy as np
from river import forest, linear_model, preprocessing, tree
from timing import compare

from rtml.core.questions import Questions
from rtml.core.state import dumps
from rtml.evaluation.progressive import progressive
from rtml.models import catalogue as zoo
from rtml.models.compiled import compile
from rtml.models.forest import AdaptiveRandomForest
from rtml.training.learner import Learner

EVENTS, FEW, FOREST, FEW_FOREST = 100_000, 10_000, 50_000, 1_500


def questions(n: int) -> Questions:
    """One question a second, answered five seconds later."""
    rng = np.random.default_rng(11)
    X = rng.random((n, 10))
    inside = (X[:, 0] > 0.3) & (X[:, 3] < 0.6)
    y = np.where(inside, (X[:, 1] > 0.7) | (X[:, 5] < 0.2), X[:, 2] + X[:, 7] > 1.0) ^ (rng.random(n) < 0.1)
    at = 10**9 * np.arange(n)
    return Questions(np.arange(n), at, X, y.astype(float), at + 5 * 10**9, tuple(f"f{j}" for j in range(10)))


def by_hand(model, asked: Questions, n: int) -> float:
    """River's loop, its fastest way, with dicts: share of right answers."""
    rows = [dict(zip(asked.names, row, strict=True)) for row in asked.X[:n].tolist()]
    labels, right = asked.y[:n].astype(bool).tolist(), 0
    for i, (x, y) in enumerate(zip(rows, labels, strict=True)):
        right += model.predict_one(x) == y
        if i >= 5:
            model.learn_one(rows[i - 5], labels[i - 5])
    return right / n


def right(build, asked: Questions) -> float:
    """Ours over the same."""
    return float(((progressive(build(), asked).predictions > 0.5) == asked.y).mean())


def beside(title: str, build, peer, asked: Questions, few: int, repeat: int = 3) -> None:
    """Ours over all events, river over the first ones, the ratio, and who was right how often."""
    ours = compare(f"{title}, {len(asked):,} events", len(asked), {"rtml": lambda: progressive(build(), asked)}, repeat)
    theirs = compare(f"  river, {few:,} events", few, {"by hand": lambda: by_hand(peer(), asked, few)}, repeat)
    ratio = theirs["by hand"] / few / (ours["rtml"] / len(asked))
    shares = right(build, asked[:few]), by_hand(peer(), asked, few)
    print(f"  rtml is {ratio:,.0f} times as fast; right over the first {few:,}: {shares[0]:.3f}, river {shares[1]:.3f}")


def live(asked: Questions, n: int = FEW) -> None:
    """One event at a time: predict, learn."""
    X, y = asked.X[:n], asked.y[:n].tolist()

    def ours():
        model = compile(tree.HoeffdingTreeClassifier(), asked.names)
        for x, label in zip(X, y, strict=True):
            model.predict(x)
            model.learn(x, label)

    runs = {"rtml": ours, "river": lambda: by_hand(tree.HoeffdingTreeClassifier(), asked, n)}
    compare("Hoeffding tree, one event live", n, runs, repeat=5)


def checkpoint(asked: Questions) -> None:
    """What it costs to keep a tree of 100,000 events: ours as flat arrays, and river's pickle of the same."""
    learner = Learner(tree.HoeffdingTreeClassifier(), asked.names)
    learner.replay(asked)
    peer = tree.HoeffdingTreeClassifier()
    by_hand(peer, asked, FEW)
    taken = compare("checkpoint", 1, {"rtml": lambda: dumps(learner.model.state), "river": lambda: pickle.dumps(peer)})
    sizes = len(dumps(learner.model.state)), len(pickle.dumps(peer))
    print(f"  rtml {sizes[0]:,} bytes in {1e3 * taken['rtml']:.3f} ms after {len(asked):,} events,")
    print(f"  river {sizes[1]:,} bytes in {1e3 * taken['river']:.3f} ms after {FEW:,}")


if __name__ == "__main__":
    many = questions(EVENTS)
    beside("Hoeffding tree", tree.HoeffdingTreeClassifier, tree.HoeffdingTreeClassifier, many, FEW)
    live(many)
    checkpoint(many)
    for share, text in ((0.6, "60 % of the features, MOA's"), (0.3, "3 of 10 features, river's")):
        build = lambda share=share: AdaptiveRandomForest(max_features=share)  # noqa: E731
        beside(f"forest of ten, {text}", build, lambda: forest.ARFClassifier(seed=1), many[:FOREST], FEW_FOREST, 1)
    logistic = lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression()  # noqa: E731
    beside("recursive logistic beside river's", lambda: zoo.build("recursive_logistic"), logistic, many, FEW)
