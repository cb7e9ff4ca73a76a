"""An adaptive random forest: trees that see other samples and features, and are replaced when worse."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import numpy as np
from river import base

from rtml.kernels import adwin, splitting
from rtml.kernels import forest as kernels
from rtml.kernels import hoeffding as parts
from rtml.models.face import Face
from rtml.models.hoeffding import CompiledTree, planted, tree_how
from rtml.models.parts import tree
from rtml.models.rows import check_classes, check_names


class AdaptiveRandomForest(Face, base.Classifier):
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
        self.n_models, self.max_features = n_models, max_features
        self.lambda_value = lambda_value
        self.warning_delta, self.drift_delta = warning_delta, drift_delta
        self.seed, self.grace_period = seed, grace_period
        self.delta, self.tau = delta, tau
        self.max_share_to_split = max_share_to_split
        self._model: CompiledForest | None = None

    @property
    def _multiclass(self) -> bool:
        return False

    def predict_proba_one(self, x: dict) -> dict[bool, float]:
        """Probabilities; a half before the first answer."""
        return self._probabilities(x)

    def _made(self, names: tuple[str, ...], classes: tuple[str | int, ...] = ()) -> CompiledForest:
        settings = {name: getattr(self, name) for name in ("grace_period", "delta", "tau", "max_share_to_split")}
        how = tree_how(tree.HoeffdingTreeClassifier(**settings))
        numbers = (self.lambda_value, self.warning_delta, self.drift_delta, self.seed)
        return CompiledForest(names, how, numbers, self.n_models, self.max_features, classes)


class CompiledForest(CompiledTree):
    """An adaptive random forest that learns and answers from flat arrays."""

    twin = "forest"
    _kernels, _to_predict = kernels, 3
    _ARRAYS = ("_table", "_split", "_slots", "_heads", "_buckets")
    _arrays = property(attrgetter(*_ARRAYS))

    def __init__(
        self, names: Sequence[str], how: np.ndarray, forest: Sequence[float], trees: int, share: float, classes=()
    ) -> None:
        self.names, self.classes = check_names(names), check_classes(classes)
        watched, self._share = max(1, round(share * len(self.names))), float(share)
        table, split = planted(how, 16 * trees, 8 * trees, watched, len(self.classes) or 2)
        table[0, list(kernels.FOREST)] = (*forest, 0.0, len(self.names))
        table[0, :2], table[1] = (1.0, 0.0), 0.0
        table[0, 2] = 0.0
        self._table = table
        self._split = split
        self._slots = np.zeros((trees, 6))
        self._heads = np.zeros((2 * trees, adwin.HELD + adwin.MOST_ROWS))
        self._buckets = np.zeros((2 * trees, adwin.MOST_ROWS, adwin.MOST + 1, 2))
        kernels.sow(*self._arrays)

    def widen(self, names: Sequence[str]) -> None:
        """Take more columns, behind those there are; they were missing so far.

        Leaves watch as many features as their share of all comes to: those there are watch new ones beside the old.
        """
        watched = self._split.shape[2]
        self._table[0, kernels.COLUMNS] = len(names)
        new = max(1, round(self._share * len(names))) - watched
        added = np.zeros((*self._split.shape[:2], new))
        added[:, 0] = len(self.names) + np.arange(new)
        waiting = [int(root) for root in self._slots[:, : kernels.BEHIND + 1].ravel() if root]
        while waiting:
            node = self._table[waiting.pop()]
            if node[parts.FEATURE] >= 0.0:
                waiting += [int(node[parts.LEFT]), int(node[parts.RIGHT])]
            else:
                seen = node[parts.CLASS + parts.COUNT :: parts.SHARE]
                added[int(node[parts.ROW]), splitting.GAPS :: splitting.STEP] = seen[:, None]
        self.names, self._split = check_names(names), np.concatenate([self._split, added], axis=2)

    @property
    def warnings(self) -> int:
        """How many trees were started behind another so far."""
        return int(self._slots[:, kernels.WARNINGS].sum())

    @property
    def drifts(self) -> int:
        """How many trees were replaced so far."""
        return int(self._slots[:, kernels.DRIFTS].sum())

    def describe(self) -> str:
        """Its trees, and the share of features that each of their leaves watches."""
        share = f"{self._split.shape[2]} of {len(self.names)} features a leaf"
        return f"AdaptiveRandomForest({len(self._slots)} trees, {share})"

    def _copies(self) -> dict:
        others = {name: getattr(self, f"_{name}").copy() for name in ("slots", "heads", "buckets")}
        return super()._copies() | others | {"share": self._share}

    def _take(self, state: dict) -> None:
        super()._take(state)
        self._share = state["share"]

    def _same(self, state: dict) -> bool:
        same = super()._same(state) and state["slots"].shape == self._slots.shape
        return same and state["table"][0, kernels.SEED] == self._table[0, kernels.SEED]
