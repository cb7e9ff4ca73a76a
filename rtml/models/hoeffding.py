"""The compiled twin of river's Hoeffding tree: the same splits from flat arrays, for two classes or more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import attrgetter

import numpy as np

from rtml.kernels import hoeffding as parts
from rtml.kernels import splitting
from rtml.kernels import tree as kernels
from rtml.models.parts import tree
from rtml.models.rows import RowModel, check_classes, check_names, check_row

_PREDICTIONS = {"mc": parts.MAJORITY, "nb": parts.BAYES, "nba": parts.ADAPTIVE}
_HOW = {  # river's parameters, and the place of each among the parameters of a kernel
    "grace_period": parts.GRACE,
    "tau": parts.TAU,
    "nb_threshold": parts.NB_THRESHOLD,
    "min_branch_fraction": parts.FRACTION,
    "max_share_to_split": parts.MAX_SHARE,
    "max_depth": parts.MAX_DEPTH,
}


class CompiledTree(RowModel):
    """A Hoeffding tree that learns and answers from flat arrays.

    The nodes, thresholds and probabilities are those of ``river.tree.HoeffdingTreeClassifier`` for numeric features.
    Only river's limit of 100 MiB a tree is not kept: this one needs a thirtieth of that. A missing value (NaN) moves
    no Gaussian and goes where more weight went.

    Parameters
    ----------
    names
        Names of the features, in the order of their columns.
    how
        Parameters of the kernels (see :func:`tree_how`).
    classes
        Names of the classes: it answers with the probability of each. Empty: with the probability of True.
    """

    twin = "tree"
    classifier = True
    _kernels, _to_predict = kernels, 2
    _ARRAYS = ("_table", "_split")
    _arrays = property(attrgetter(*_ARRAYS))

    def __init__(self, names: Sequence[str], how: np.ndarray, classes: Sequence[str | int] = ()) -> None:
        self.names, self.classes = check_names(names), check_classes(classes)
        self._table, self._split = planted(how, 64, 32, len(self.names), len(self.classes) or 2)

    def predict(self, x: np.ndarray) -> float | np.ndarray:
        """Probability of True for a row in the order of ``names``, or of every class, shape (C,)."""
        try:
            if not self.classes:
                p = self._kernels.probability(x, *self._arrays[: self._to_predict])
                done = p == p
            else:
                p = np.empty(len(self.classes))
                done = self._kernels.predict(x, p, *self._arrays[: self._to_predict])
        except TypeError:  # not a row of float64, which is what a learner hands over
            return self.predict(check_row(x, self.names))
        if not done:
            check_row(x, self.names)
        return p

    def learn(self, x: np.ndarray, y: float) -> None:
        """Learn one answer, or refuse it and stay as it was."""
        if y != 0.0 and y != 1.0:
            self._label(y)
        try:
            done = self._kernels.learn(x, y, *self._arrays)
        except TypeError:
            done = self._kernels.learn(check_row(x, self.names), float(y), *self._arrays)
        if done != kernels.DONE:
            check_row(x, self.names)  # the row is to blame, or there is no room
            self._table, self._split = roomier(self._table, self._split)
            self.learn(x, y)

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask and learn a chunk in a kernel (see :func:`rtml.kernels.tree.replay`); shape (m,), or (m, C)."""
        predictions, at = np.empty((len(moment), self.outputs)), np.zeros(2, np.int64)
        chunk = (X, y, moment, known, order, until, predictions, at)
        while not self._kernels.replay(*chunk, *self._arrays):
            self._table, self._split = roomier(self._table, self._split)
        return predictions if self.classes else predictions[:, 0], int(at[1])

    @property
    def nodes(self) -> int:
        """Branches and leaves."""
        return int(self._table[0, parts.USED]) - 1

    @property
    def weights(self) -> dict[str, float]:
        """How often each feature is split on: what a tree has for weights."""
        column = self._table[1 : self.nodes + 1, parts.FEATURE].astype(int)
        return dict(zip(self.names, np.bincount(column[column >= 0], minlength=len(self.names)).tolist(), strict=True))

    def describe(self) -> str:
        """The river tree this is the twin of."""
        how, default = self._table[0], tree_how(tree.HoeffdingTreeClassifier())
        other = [f"{name}={how[at]:g}" for name, at in _HOW.items() if how[at] != default[at - parts.HOW[0]]]
        return f"HoeffdingTreeClassifier({', '.join(other)})"

    def _copies(self) -> dict:
        table, split = self._table, self._split
        used = slice(int(table[0, parts.USED])), slice(int(table[0, parts.ROWS]))
        return {"table": table[used[0]].copy(), "split": split[used[1]].copy()}

    def _same(self, state: dict) -> bool:
        return np.array_equal(state["table"][0, parts.HOW], self._table[0, parts.HOW])


def tree_twin(model, names: tuple[str, ...], classes: tuple = ()) -> CompiledTree | None:
    """Twin of a river tree that has learned nothing yet, or None where the kernels do something else than river.

    Examples
    --------
    >>> tree_twin(tree.HoeffdingTreeClassifier(), ("a", "b")).names
    ('a', 'b')
    >>> tree_twin(tree.HoeffdingTreeClassifier(split_criterion="gini"), ("a", "b")) is None
    True
    """
    plain = type(model) is tree.HoeffdingTreeClassifier and model._root is None and splits_alike(model)
    return CompiledTree(names, tree_how(model), classes) if plain else None


def splits_alike(model) -> bool:
    """Whether a river tree splits by Gaussians and information gain, and keeps to the rest of its defaults.

    Examples
    --------
    >>> splits_alike(tree.HoeffdingTreeClassifier()), splits_alike(tree.HoeffdingTreeClassifier(merit_preprune=False))
    (True, False)
    """
    return (
        type(model.splitter) is tree.splitter.GaussianSplitter
        and model.split_criterion == "info_gain"
        and model.nominal_attributes is None
        and model.merit_preprune
        and not model.remove_poor_attrs
        and not model.stop_mem_management
    )


def tree_how(model) -> np.ndarray:
    """Parameters of a tree as the kernels take them.

    Examples
    --------
    >>> how = tree_how(tree.HoeffdingTreeClassifier(grace_period=50))
    >>> float(how[parts.HOW.index(parts.GRACE)])
    50.0
    """
    head = np.zeros(parts.HOW[-1] + 1)
    for name, place in _HOW.items():
        head[place] = getattr(model, name)
    head[parts.LOG_DELTA], head[parts.PREDICTION] = math.log(1.0 / model.delta), _PREDICTIONS[model.leaf_prediction]
    head[parts.SPLITS] = model.splitter.n_splits
    return head[parts.HOW]


def planted(how: np.ndarray, nodes: int, rows: int, features: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Room for nodes and leaves, with one empty leaf as the root of a lone tree.

    Examples
    --------
    >>> how = tree_how(tree.HoeffdingTreeClassifier())
    >>> table, split = planted(how, nodes=64, rows=32, features=2, classes=3)
    >>> len(table), split.shape, table[1, [parts.FEATURE, parts.ACTIVE]].tolist()
    (64, (32, 19, 2), [-1.0, 1.0])
    """
    table = np.zeros((nodes, parts.CLASS + parts.SHARE * classes))
    split = np.zeros((rows, 1 + splitting.STEP * classes, features))
    table[0, [parts.USED, parts.ROWS]] = 2.0, 1.0
    table[0, parts.HOW] = how
    table[1, [parts.FEATURE, parts.ACTIVE]] = -1.0, 1.0
    split[0, 0] = np.arange(features)
    return table, split


def roomier(table: np.ndarray, split: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same with twice the room.

    Examples
    --------
    >>> table, split = roomier(np.ones((2, 3)), np.ones((4, 5, 6)))
    >>> table[:, 0].tolist(), split.shape
    ([1.0, 1.0, 0.0, 0.0], (8, 5, 6))
    """
    return np.concatenate([table, np.zeros_like(table)]), np.concatenate([split, np.zeros_like(split)])
