"""The compiled twin of river's half-space trees: the same anomaly scores from flat arrays."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from operator import attrgetter

import numpy as np

from rtml.kernels import half_space as kernels
from rtml.models.parts import anomaly, compose, preprocessing
from rtml.models.rows import RowModel, check_names, check_row


class HalfSpace(RowModel):
    """Anomaly scores in [0, 1] by half-space trees: 1 where hardly any of the last rows were; learns without labels.

    The scores are those of ``river.anomaly.HalfSpaceTrees`` with the same trees, alone or behind a ``MinMaxScaler``.
    Until the first window is full every score is 0.

    Parameters
    ----------
    names
        Names of the features, in the order of their columns.
    head, limits, trees
        What :mod:`rtml.kernels.half_space` works on.
    """

    twin = "half_space"
    unsupervised = True
    _ARRAYS = ("_head", "_limits", "_trees")
    _arrays = property(attrgetter(*_ARRAYS))

    def __init__(self, names: Sequence[str], head: np.ndarray, limits: np.ndarray, trees: np.ndarray) -> None:
        self.names = check_names(names)
        self._head = head
        self._limits = limits
        self._trees = trees

    def predict(self, x: np.ndarray) -> float:
        """Score of a row in the order of ``names``."""
        return kernels.score(check_row(x, self.names), *self._arrays)

    def learn(self, x: np.ndarray, y: float = np.nan) -> None:
        """Learn a row; a label says nothing to it."""
        kernels.learn(check_row(x, self.names), *self._arrays)

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Score the last rows and learn each right after; answers are counted only."""
        scores = np.empty(len(moment))
        kernels.replay(np.ascontiguousarray(X[len(X) - len(moment) :]), scores, *self._arrays)
        limit = max(int(moment[-1]) - 1, until) if len(moment) else until
        return scores, int(np.searchsorted(known[order], limit, side="right"))

    @property
    def weights(self) -> dict[str, float]:
        """How often each feature is split on."""
        inner = self._trees[kernels.FEATURE]
        counts = np.bincount(inner[inner >= 0].astype(int), minlength=len(self.names))
        return dict(zip(self.names, counts.tolist(), strict=True))

    def describe(self) -> str:
        """Its trees and its window."""
        scaler = "MinMaxScaler | " if self._head[kernels.SCALED] else ""
        height, window = int(self._head[kernels.HEIGHT]), int(self._head[kernels.WINDOW])
        return f"{scaler}HalfSpaceTrees(n_trees={self._trees.shape[1]}, height={height}, window_size={window})"

    def _same(self, state: dict) -> bool:
        split = slice(kernels.FEATURE, kernels.THRESHOLD + 1)
        return np.array_equal(state["trees"][split], self._trees[split])


def half_space_twin(model, names: tuple[str, ...], classes: tuple = ()) -> HalfSpace | None:
    """Twin of river's half-space trees, with what they have learned, or None for other models.

    Examples
    --------
    >>> from river import linear_model
    >>> half_space_twin(linear_model.LinearRegression(), ("a",)) is None
    True
    """
    steps = list(model.steps.values()) if isinstance(model, compose.Pipeline) else [model]
    scaler = steps.pop(0) if len(steps) == 2 and type(steps[0]) is preprocessing.MinMaxScaler else None
    final = steps[0]
    if len(steps) > 1 or type(final) is not anomaly.HalfSpaceTrees or classes or (scaler and scaler.window_size):
        return None
    trees = final.trees or _planted(final, names)
    nodes = np.zeros((4, len(trees), 2 ** (final.height + 1) - 1))
    nodes[kernels.FEATURE] = -1.0
    for t, root in enumerate(trees):
        if not _filled(nodes[:, t], 0, root, names):
            return None
    head = np.array([final.height, final.window_size, final.counter, final._first_window, scaler is not None], float)
    limits = np.tile([[np.inf], [-np.inf]], len(names))
    if scaler:
        seen = [[found[name].get() if name in found else first for name in names] for found, first in _limits(scaler)]
        limits = np.array(seen, dtype=np.float64)
    return HalfSpace(names, head, limits, nodes)


def _limits(scaler) -> tuple[tuple[dict, float], tuple[dict, float]]:
    return (scaler.min, np.inf), (scaler.max, -np.inf)


def _planted(model, names: tuple[str, ...]) -> list:
    """The trees that river would plant at the first row."""
    from river.tree.padded import make_padded_tree

    rng, masses = copy.deepcopy(model.rng), {"r_mass": 0, "l_mass": 0}
    limits = {name: model.limits.get(name, (0.0, 1.0)) for name in sorted(names)}
    return [make_padded_tree(dict(limits), model.height, 0.15, rng, **masses) for _ in range(model.n_trees)]


def _filled(tree: np.ndarray, i: int, node, names: tuple[str, ...]) -> bool:
    """Copy a node of river and all below it; False where it asks for a feature that the rows do not have."""
    tree[[kernels.NEW, kernels.OLD], i] = node.l_mass, node.r_mass
    if not hasattr(node, "children"):
        return True
    if node.feature not in names:
        return False
    tree[[kernels.FEATURE, kernels.THRESHOLD], i] = names.index(node.feature), node.threshold
    return all(_filled(tree, 2 * i + 1 + side, child, names) for side, child in enumerate(node.children))
