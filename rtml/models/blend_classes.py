"""The blend of many classes: softmax regressions, trees, neighbours and last labels, mixed by their log losses."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import numpy as np

from rtml.kernels import blend_classes as kernels
from rtml.kernels import neighbours
from rtml.models.blend_members import MIXES, complete, plain
from rtml.models.clip import Clip
from rtml.models.forest import AdaptiveRandomForest
from rtml.models.hoeffding import CompiledTree, tree_how
from rtml.models.parts import preprocessing, tree
from rtml.models.recursive_logistic import RecursiveLogistic
from rtml.models.rows import RememberingModel, RowModel, check_classes, check_names, check_row
from rtml.models.softmax import Softmax
from rtml.models.twins import translate

_BY_LABELS = ("majority", "no change", "behind the last label")
PLAIN, NUMBER, FLAGS = range(3)  # what a member sees of the last known label: nothing, its number, a flag per class


class Neighbours(Softmax):
    """Shares of the classes among the nearest of the last rows, measured in running deviations of every feature.

    Parameters
    ----------
    names
        Names of the features, in the order of their columns.
    how
        How many neighbours vote, among how many rows.
    classes
        Names of the classes.

    Examples
    --------
    >>> model = Neighbours(["a"], np.array([3.0, 100.0]), ["low", "high"])
    >>> for i in range(20):
    ...     model.learn([float(i)], float(i >= 10))
    >>> model.predict([17.0]).round(2)
    array([0.07, 0.93])
    """

    twin = "neighbours"
    _kernels = neighbours
    _ARRAYS = ("_how", "_came", "_scaler", "_ring")
    _arrays = property(attrgetter(*_ARRAYS))

    def __init__(self, names: Sequence[str], how: np.ndarray, classes: Sequence[str | int]) -> None:
        self.names, self.classes = check_names(names), check_classes(classes)
        self._how = how
        self._came, self._scaler = np.zeros(1), np.zeros((3, len(self.names)))
        self._ring = np.zeros((len(self.names) + 1, int(how[1])))

    @property
    def weights(self) -> dict[str, float]:
        """What a unit of every feature counts for in a distance."""
        spread = np.sqrt(self._scaler[1])
        return dict(zip(self.names, np.divide(1.0, spread, np.zeros_like(spread), where=spread > 0.0), strict=True))

    def describe(self) -> str:
        """How many vote, among how many."""
        return f"Neighbours({self._how[0]:g} of the last {self._how[1]:g})"


class ClassBlend(RememberingModel):
    """Probabilities of C classes as a mixture of models, whose weights follow how well each has predicted lately.

    Members are softmax regressions of second order, one per forgetting, of which all but the first see the last label
    that was known when they were asked; an adaptive random forest; a Hoeffding tree that sees that label; the three
    nearest of the last 1,000 rows; the shares of the classes, no change, and what came behind the last label. They are
    mixed as in :class:`rtml.models.blend.BlendClassifier`, the loss being minus the logarithm of the probability of
    the class that came, and the same bound holds exactly: a mixture of rate 1 loses at most
    ``ln(1 / p_k) + sum over changes of ln(1 / (s q_k)) - T ln(1 - s)`` more than any sequence of members. What is kept
    with a question is what every member and mixture said, however late its answer comes.

    Parameters
    ----------
    names
        Names of the features, in the order of their columns.
    classes
        Names of the classes.
    how
        ``forgetting``, ``ridge`` (of the first softmax and of the others) and ``seed`` of a blend's parameters.

    Examples
    --------
    >>> model = ClassBlend(["a"], ["low", "middle", "high"])
    >>> for i in range(90):
    ...     model.learn([float(i % 30)], i % 30 // 10)
    >>> int(model.predict([25.0]).argmax())
    2
    """

    twin = "class blend"
    classifier = True
    _ARRAYS = ("_chain", "_level", "_shares", "_top")
    _arrays = property(attrgetter("_mixes", "_prior", *_ARRAYS))

    def __init__(self, names: Sequence[str], classes: Sequence[str | int], how: dict | None = None) -> None:
        self.names, self.classes = check_names(names), check_classes(classes)
        self.how = complete(True, how or {})
        flags = [f"last label was {label}" for label in self.classes]
        self._columns = self.names, (*self.names, "last label"), (*self.names, *flags)
        self._models = self._fresh()
        self._mixes, many = np.array(MIXES), len(self.members)
        self._mixes[:, 0] *= 2.0
        self._prior = np.full(many, 1.0 / many)
        self._chain, self._level = np.zeros((self.outputs + 1, self.outputs)), np.array([np.nan, 0.0, 0.0])
        self._shares, self._top = np.tile(self._prior, (len(MIXES), 1)), np.full(len(MIXES), 1.0 / len(MIXES))

    @property
    def memory(self) -> int:
        """Numbers kept with each open question: what members and mixtures said, and the last label known then."""
        return (len(self.members) + len(MIXES)) * self.outputs + 1

    @property
    def members(self) -> list[str]:
        """Names of all members."""
        return [*self._models, *_BY_LABELS]

    def predict_at(self, x: np.ndarray, moment: int) -> np.ndarray:
        """The prediction and what is kept with the question, shape (C + memory,)."""
        seen = self._views(check_row(x, self.names)[None], self._level[:1])
        kept = np.empty(self.outputs + self.memory)
        for k, (sees, model) in enumerate(self._models.values()):
            kept[self._place(k)] = model.predict(seen[sees][0])
        kernels.ask(kept, *self._arrays)
        return kept

    def learn_at(self, x: np.ndarray, y: float, kept: np.ndarray, moment: int, known: int) -> None:
        """Learn the answer of a question from what was kept when it was asked, or refuse it and stay as it was."""
        y, kept = self._label(y), np.array(kept, float)
        seen = self._views(check_row(x, self.names)[None], kept[-1:])
        for sees, model in self._models.values():
            model.learn(seen[sees][0], y)
        kernels.learn(y, kept, *self._arrays)

    def replay_at(self, X, y, kept, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask the last rows at their moments and take answers once known; ``kept`` is of the rows before those.

        Returns what is kept of each new question, shape (m, C + memory), predictions first, and how many answers came.
        """
        waits, asked = len(kept), np.ascontiguousarray(moment[len(kept) :])
        rows = np.empty((len(X), self.outputs + self.memory))
        rows[:waits] = kept
        last = np.append(rows[:waits, -1], self._last_known(y, asked, known, order))
        seen = self._views(X, last)
        for k, (sees, model) in enumerate(self._models.values()):
            rows[waits:, self._place(k)] = model.replay(seen[sees], y, asked, known, order, until)[0]
        taken = kernels.replay(y, asked, known, order, until, rows, *self._arrays)
        return rows[waits:], taken

    @property
    def state(self) -> dict:
        """Everything learned: the state of every member, and flat arrays."""
        models = [model.state for _, model in self._models.values()]
        return self.head | {"how": plain(self.how), "models": models} | self._copies()

    @classmethod
    def of(cls, state: dict) -> ClassBlend:
        """Model of a state."""
        self = cls(state["names"], state["classes"], state["how"])
        self.load(state)
        return self

    def describe(self) -> str:
        """How many members and classes there are."""
        return f"Blend({len(self.members)} members, {self.outputs} classes)"

    def _fresh(self) -> dict[str, tuple[int, RowModel]]:
        """Models among the members by name, with what each sees of the last label."""
        first, ridges = self.how["forgetting"][0], self.how["ridge"]
        models: dict[str, tuple[int, RowModel]] = {}
        for forgetting in self.how["forgetting"]:
            sees, ridge = (PLAIN, ridges[0]) if forgetting == first else (FLAGS, ridges[-1])
            model = preprocessing.StandardScaler() | Clip(12.0) | RecursiveLogistic(ridge, forgetting)
            how = translate(model, self._columns[sees])[0]
            models[f"softmax, forgetting {forgetting:g}"] = sees, Softmax(self._columns[sees], how, self.classes)
        how = tree_how(tree.HoeffdingTreeClassifier(max_share_to_split=1.0))
        forest = AdaptiveRandomForest(seed=self.how["seed"])._made(self.names, self.classes)
        near = Neighbours(self.names, np.array([3.0, 1000.0]), self.classes)
        models["tree"] = NUMBER, CompiledTree(self._columns[NUMBER], how, self.classes)
        return models | {"forest": (PLAIN, forest), "three neighbours": (PLAIN, near)}

    def _views(self, X: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, ...]:
        """Rows as members see them, by what each sees of the last label; NaN where none was known."""
        flags = (last[:, None] == np.arange(self.outputs)).astype(float)
        return X, np.column_stack([X, last]), np.column_stack([X, flags])

    def _last_known(self, y: np.ndarray, asked: np.ndarray, known: np.ndarray, order: np.ndarray) -> np.ndarray:
        """The last label known before each question."""
        labels = np.append(self._level[0], y[order])
        newest = np.maximum.accumulate(np.where(np.isnan(labels), 0, np.arange(len(labels))))
        return labels[newest[np.searchsorted(known[order], asked - 1, side="right")]]

    def _place(self, k: int) -> slice:
        return slice((1 + k) * self.outputs, (2 + k) * self.outputs)

    def _same(self, state: dict) -> bool:
        return plain(state["how"]) == plain(self.how)

    def _take(self, state: dict) -> None:
        super()._take(state)
        for (_, model), learned in zip(self._models.values(), state["models"], strict=True):
            model.load(learned)
