"""An adaptive random forest for two classes: trees that see other samples and features, and are replaced when worse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from river import base, tree

from rtml.kernels import adwin
from rtml.kernels import forest as kernels
from rtml.models.hoeffding import CompiledTree, in_use, planted, roomier, tree_how
from rtml.models.rows import check_label, check_names, check_row

_FLAT = ("table", "split", "slots", "heads", "buckets")


class AdaptiveRandomForest(base.Classifier):
    """Adaptive random forest of Hoeffding trees, compiled: river's model with MOA's share of features.

    Every tree learns each answer a Poisson number of times and watches at every leaf a random share of the features.
    Two ADWIN windows a tree watch its errors: the more sensitive starts a tree behind it, the other puts that in its
    place. Trees vote by how often they were right. Gomes et al., "Adaptive random forests for evolving data stream
    classification" (Machine Learning, 2017). Unlike river's, a leaf watches 60 % of the features (MOA's default), not
    their square root, a window that cuts itself because errors became fewer is no alarm (as in MOA), and leaves of a
    rare class split too. Draws come from a counter: the same seed and answers give the same forest, bit by bit.

    Parameters
    ----------
    n_models
        Trees.
    max_features
        Share of the features a leaf watches, in (0, 1].
    lambda_value
        Mean number of times a tree sees an answer.
    warning_delta, drift_delta
        Chance of a false alarm of the window that starts a tree behind, and of the one that replaces the tree.
    grace_period, delta, tau, max_share_to_split
        As of river's Hoeffding tree.
    seed
        Of the draws.

    Examples
    --------
    >>> model = AdaptiveRandomForest(n_models=3, seed=1)
    >>> for i in range(300):
    ...     model.learn_one({"a": i % 7, "b": i % 5}, i % 7 > 3)
    >>> model.predict_one({"a": 6, "b": 0}), model.predict_one({"a": 0, "b": 0})
    (True, False)
    """

    def __init__(
        self,
        n_models: int = 10,
        max_features: float = 0.6,
        lambda_value: float = 6.0,
        warning_delta: float = 0.01,
        drift_delta: float = 0.001,
        grace_period: int = 50,
        delta: float = 0.01,
        tau: float = 0.05,
        max_share_to_split: float = 1.0,
        seed: int = 7,
    ) -> None:
        if n_models < 1 or not 0.0 < max_features <= 1.0 or not 0.0 < lambda_value <= 50.0:
            raise ValueError(
                "a forest needs a tree or more, a share of features in (0, 1] and a mean of samples in (0, 50], "
                f"got {n_models}, {max_features} and {lambda_value}"
            )
        self.n_models, self.max_features, self.lambda_value = n_models, max_features, lambda_value
        self.warning_delta, self.drift_delta, self.seed = warning_delta, drift_delta, seed
        self.grace_period, self.delta, self.tau = grace_period, delta, tau
        self.max_share_to_split = max_share_to_split
        self._grown: CompiledForest | None = None

    @property
    def _multiclass(self) -> bool:
        return False

    def learn_one(self, x: dict, y: bool) -> None:
        """Learn one answer; every row must have the features of the first."""
        if self._grown is None:
            self._grown = forest_twin(self, check_names(list(x)))
        self._grown.learn(self._row(x), float(y))

    def predict_proba_one(self, x: dict) -> dict[bool, float]:
        """Probabilities; a half before the first answer."""
        p = 0.5 if self._grown is None else self._grown.predict(self._row(x))
        return {False: 1.0 - p, True: p}

    def _row(self, x: dict) -> np.ndarray:
        return check_row([x.get(name, np.nan) for name in self._grown.names], self._grown.names)


class CompiledForest(CompiledTree):
    """An adaptive random forest that learns and answers from flat arrays."""

    twin = "forest"

    def __init__(
        self, names: Sequence[str], how: np.ndarray, forest: Sequence[float], trees: int, share: float
    ) -> None:
        self.names = check_names(names)
        watched = max(1, round(share * len(self.names)))
        table, split = planted(how, 16 * trees, 8 * trees, watched)
        table[0, list(kernels.FOREST)] = (*forest, 0.0, len(self.names))
        table[0, :2], table[1] = (1.0, 0.0), 0.0
        table[0, 2] = 0.0
        self._table, self._split, self._slots = table, split, np.zeros((trees, 6))
        self._heads = np.zeros((2 * trees, adwin.HELD + adwin.MOST_ROWS))
        self._buckets = np.zeros((2 * trees, adwin.MOST_ROWS, adwin.MOST + 1, 2))
        kernels.sow(*self._arrays)

    def predict(self, x: np.ndarray) -> float:
        """Probability of True for a row in the order of ``names``."""
        try:
            p = kernels.predict(x, self._table, self._split, self._slots)
        except TypeError:  # not a row of float64, which is what a learner hands over
            return self.predict(check_row(x, self.names))
        if p != p:
            check_row(x, self.names)
        return p

    def learn(self, x: np.ndarray, y: float) -> None:
        """Learn one answer, or refuse it and stay as it was."""
        x, y = check_row(x, self.names), check_label(y, classifier=True)
        while kernels.learn(x, y, *self._arrays) == kernels.FULL:
            self._table, self._split = roomier(self._table, self._split)

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask and learn a chunk in a kernel (see :func:`rtml.kernels.forest.replay`)."""
        predictions, at = np.empty(len(moment)), np.zeros(2, np.int64)
        chunk = (X, y, moment, known, order, until, predictions, at)
        while not kernels.replay(*chunk, *self._arrays):
            self._table, self._split = roomier(self._table, self._split)
        return predictions, int(at[1])

    @property
    def warnings(self) -> int:
        """How many trees were started behind another so far."""
        return int(self._slots[:, kernels.WARNINGS].sum())

    @property
    def drifts(self) -> int:
        """How many trees were replaced so far."""
        return int(self._slots[:, kernels.DRIFTS].sum())

    @property
    def state(self) -> dict:
        """Everything learned, and all that is needed to go on from it, as flat arrays."""
        head = {"kind": self.kind, "twin": self.twin, "names": list(self.names)}
        copies = {"slots": self._slots.copy(), "heads": self._heads.copy(), "buckets": self._buckets.copy()}
        return head | in_use(self._table, self._split) | copies

    def describe(self) -> str:
        """Its trees, and the share of features that each of their leaves watches."""
        share = f"{self._split.shape[2]} of {len(self.names)} features a leaf"
        return f"AdaptiveRandomForest({len(self._slots)} trees, {share})"

    def _take(self, state: dict) -> None:
        super()._take(state)
        self._slots, self._heads, self._buckets = (np.array(state[name]) for name in _FLAT[2:])

    def _same(self, state: dict) -> bool:
        same = super()._same(state) and state["slots"].shape == self._slots.shape
        return same and state["table"][0, kernels.SEED] == self._table[0, kernels.SEED]

    @property
    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self._table, self._split, self._slots, self._heads, self._buckets


def forest_twin(model, names: tuple[str, ...]) -> CompiledForest | None:
    """The compiled model of an :class:`AdaptiveRandomForest`, with what that has learned, or None for other models."""
    if type(model) is not AdaptiveRandomForest or (model._grown is not None and model._grown.names != names):
        return None
    settings = {name: getattr(model, name) for name in ("grace_period", "delta", "tau", "max_share_to_split")}
    how = tree_how(tree.HoeffdingTreeClassifier(**settings))
    numbers = (model.lambda_value, model.warning_delta, model.drift_delta, model.seed)
    twin = CompiledForest(names, how, numbers, model.n_models, model.max_features)
    if model._grown is not None:
        twin.load(model._grown.state)
    return twin
