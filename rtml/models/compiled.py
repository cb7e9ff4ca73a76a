"""Row model of any model: the twin over flat arrays where one exists, else the model itself behind the same face."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import numpy as np

from rtml.core import plugin
from rtml.core.arrays import plain
from rtml.core.use_case import SHIPPED
from rtml.kernels import calibration, linear
from rtml.models import flat
from rtml.models.adapters import PlainModel, adapted
from rtml.models.baselines import Majority, NoChange
from rtml.models.blend import CompiledBlend
from rtml.models.blend_classes import ClassBlend
from rtml.models.calibrated import Calibrate, Calibrated
from rtml.models.compiled_baselines import CompiledBaseline, baseline_twin
from rtml.models.constant import Constant
from rtml.models.face import face_twin
from rtml.models.forest import CompiledForest
from rtml.models.half_space_trees import HalfSpace, half_space_twin
from rtml.models.hoeffding import CompiledTree, tree_twin
from rtml.models.per_key import PerKey, Pooled
from rtml.models.refit import Refit
from rtml.models.river_model import RiverModel
from rtml.models.rows import RowModel, check_classes, check_names, check_row, check_state
from rtml.models.softmax import Softmax, softmax_twin
from rtml.models.twins import translate


class Compiled(RowModel):
    """The compiled twin of a linear river model: the same numbers from flat arrays.

    One writer: a learner learns; every other reader predicts from a model of its own, restored from a snapshot.

    Examples
    --------
    >>> from rtml.models.rls import RecursiveLeastSquares
    >>> model = compile(RecursiveLeastSquares(ridge=1e-6), ["a"])
    >>> for a in (1.0, 2.0, 3.0):
    ...     model.learn(np.array([a]), 2.0 * a)
    >>> type(model).__name__, round(model.predict(np.array([5.0])), 3)
    ('Compiled', 10.0)
    """

    kind = "compiled"
    twin = "linear"

    def __init__(self, names: Sequence[str], how: np.ndarray, learned: flat.Flat) -> None:
        self.names = check_names(names)
        self.classifier = bool(how[linear.KIND] in (linear.LOG, linear.RECURSIVE_LOG))
        self._how, self._learned = how, learned

    def predict(self, x: np.ndarray) -> float:
        """Prediction for a row in the order of ``names``; a classifier's is the probability of True."""
        try:
            prediction = linear.predict(x, self._how, self._learned.table)
        except TypeError:  # not a row of float64, which is what a learner hands over
            return self.predict(check_row(x, self.names))
        if prediction != prediction:
            check_row(x, self.names)  # the row is to blame, or the model has left the numbers
        return prediction

    def predict_rows(self, X: np.ndarray) -> np.ndarray:
        """Predictions of many rows in one call of the kernel, shape (m,)."""
        X, none = plain(X, np.float64), np.empty(0, np.int64)
        if np.isinf(X).any():
            check_row(X[np.argmax(np.isinf(X).any(axis=1))], self.names)
        return self.replay(X, np.empty(0), np.zeros(len(X), np.int64), none, none, 0)[0]

    def learn(self, x: np.ndarray, y: float) -> None:
        """Learn one answer, or refuse it and stay as it was."""
        if self.classifier and y != 0.0 and y != 1.0:
            self._label(y)
        try:
            done = linear.learn(x, y, self._how, *self._learned)
        except TypeError:
            done = linear.learn(check_row(x, self.names), self._label(y), self._how, *self._learned)
        if not done:
            self._label(y)
            check_row(x, self.names)

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask and learn a chunk in a kernel (see :func:`rtml.kernels.linear.replay_descent`)."""
        predictions = np.empty(len(moment))
        taken = flat.replay(X, y, moment, known, order, until, predictions, self._how, self._learned)
        return predictions, taken

    @property
    def weights(self) -> dict[str, float]:
        """Weight of every feature, as the model sees it (after scaling)."""
        return dict(zip(self.names, self._learned.table[linear.WEIGHTS].tolist(), strict=False))

    @property
    def state(self) -> dict:
        """Everything learned, and all that is needed to go on from it, as flat arrays."""
        head = {"kind": self.kind, "names": list(self.names), "how": self._how.copy()}
        return head | flat.to_named(self._how, self._learned)

    def load(self, state: dict) -> None:
        """Go on from a state of this very model."""
        check_state(state, self.kind, self.names)
        if not np.array_equal(state["how"], self._how):
            raise ValueError(f"the state is of {flat.describe(state['how'])}, not of {self.describe()}: restore(state)")
        self._learned = flat.from_named(self._how, state)

    def describe(self) -> str:
        """The river model this is the twin of."""
        return flat.describe(self._how)


_TWINS = {
    twin.twin: twin for twin in (CompiledTree, CompiledForest, ClassBlend, Refit, Softmax, HalfSpace, CompiledBaseline)
}
_AROUND = {twin.twin: twin for twin in (PerKey, Pooled, Calibrated, CompiledBlend)}  # other models
_KINDS = {kind.kind: kind for kind in (RiverModel, PlainModel, Constant)}
_OTHERS = (tree_twin, face_twin, half_space_twin, baseline_twin)


def compile(model, names: Sequence[str], classes: Sequence[str | int] = ()) -> RowModel:
    """Row model of a model of any kind, for rows whose columns are ``names``; the model given is left alone.

    A river model gets its compiled twin where there is one: ``[StandardScaler |] [Clip |]`` and one of
    ``LinearRegression``, ``LogisticRegression`` (plain stochastic gradient descent at constant rates),
    ``RecursiveLeastSquares`` and ``RecursiveLogistic``. Whatever such a model has learned goes with it. A
    ``HoeffdingTreeClassifier`` on numeric features has one while it has learned nothing, so have
    ``[MinMaxScaler |] HalfSpaceTrees``; what is a :class:`rtml.models.face.Face` (the forest, refits, blends)
    always has one, and so has ``Calibrate`` around a model. Any other river model runs as it is, event by event. What
    has ``row_model(names)`` makes its own. What is not of river is adapted by the methods it has (see
    :func:`rtml.models.adapters.adapted`).

    Parameters
    ----------
    model
        A river model, a scikit-learn estimator, an object with ``predict`` and ``learn``, or a row model.
    names
        Names of the features, in the order of their columns.
    classes
        Names of the classes of which each is to have a probability, in the order of their numbers (labels are 0 to
        C - 1). Empty for a number, a score, or the probability of True.

    Examples
    --------
    >>> from river import linear_model, preprocessing, tree
    >>> twin = compile(preprocessing.StandardScaler() | linear_model.LinearRegression(), ["a", "b"])
    >>> twin.kind, twin.describe()
    ('compiled', 'StandardScaler | LinearRegression(rate=0.01, intercept_rate=0.01)')
    >>> compile(tree.HoeffdingTreeRegressor(), ["a", "b"]).kind
    'river'
    >>> compile(tree.HoeffdingTreeClassifier(), ["a"], classes=["low", "middle", "high"]).outputs
    3
    """
    names, classes = check_names(names), check_classes(classes)
    if classes and type(model) in (Majority, NoChange):
        model = type(model)(classes)
    if hasattr(model, "replay"):
        return _as_declared(model, names, classes)
    if hasattr(model, "row_model"):
        return model.row_model(names)
    if not hasattr(model, "learn_one"):
        return adapted(model, names, classes)
    if type(model) is Calibrate and not classes and not model._map.line[calibration.ANSWERS]:
        return Calibrated(compile(model.model, names), model.every, model.forgetting, model.after)
    if translated := translate(model, names):
        how, named = translated
        linear_twin = softmax_twin(how, named, names, classes) if classes else _linear_twin(how, named, names)
        return linear_twin or RiverModel(model, names, classes)
    return next((twin for build in _OTHERS if (twin := build(model, names, classes))), None) or RiverModel(
        model, names, classes
    )


def _linear_twin(how: np.ndarray, named: dict, names: tuple[str, ...]) -> Compiled:
    return Compiled(names, how, flat.from_named(how, named))


def _as_declared(model: RowModel, names: tuple[str, ...], classes: tuple[str | int, ...]) -> RowModel:
    """A row model as it is, where it takes these columns and tells these classes apart."""
    if model.names != names or classes not in ((), model.classes):
        raise ValueError(
            f"the model takes the columns {model.names} and classes {model.classes}, asked for {names} and {classes}"
        )
    return model


def restore(state: dict) -> RowModel:
    """Model of a state, from the state alone: what a server needs to answer from a snapshot.

    Examples
    --------
    >>> from rtml.models.rls import RecursiveLeastSquares
    >>> model = compile(RecursiveLeastSquares(ridge=1.0), ["a"])
    >>> model.learn([2.0], 3.0)
    >>> restore(model.state).predict([2.0]) == model.predict([2.0])
    True
    """
    if "served" in state:  # of a wrapper, such as a strategy: the model it answers from
        return restore(state["served"])
    if state.get("kind") in _KINDS:
        return _KINDS[state["kind"]].of(state)
    if state.get("kind") != Compiled.kind:
        raise LookupError(f"no model of the kind {state.get('kind')!r}; there are: compiled, {', '.join(_KINDS)}")
    if (twin := str(state.get("twin"))) in _AROUND:
        return _AROUND[twin].of(state, restore)
    if twin.startswith(("rtml.usecases.", "rtml.models.search:")):
        return plugin.load(twin, {}, "models").of(state)
    if twin in SHIPPED:  # of a use case's own, as release 0.2.0 named it
        return import_module(f"rtml.usecases.{twin}.models").restore(state)
    if twin in _TWINS:
        return _TWINS[twin].of(state)
    how = np.array(state["how"])
    return Compiled(state["names"], how, flat.from_named(how, state))
