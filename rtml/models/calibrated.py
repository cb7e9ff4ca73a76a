"""Online calibration: any classifier's probabilities made honest by the answers, however late these come."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from river import base

from rtml.core.clock import span
from rtml.kernels import calibration as kernels
from rtml.models.baselines import Majority
from rtml.models.rows import RowModel, check_label

_BEFORE_ALL = -(2**63) + 1


class _Map:
    """A rising line through log odds, learned online, and the maps published so far."""

    def __init__(self, every: str = "1h", forgetting: float = 0.99995, after: int = 1000) -> None:
        if not 0.0 < forgetting <= 1.0:
            raise ValueError(f"forgetting must be in (0, 1], got {forgetting}: 1 forgets nothing")
        self.every, self.forgetting = span(every), forgetting
        self.line = np.array([1.0, 0.0, kernels.PRIOR_SLOPE, 0.0, kernels.PRIOR_INTERCEPT, 0.0, 1.0, float(after)])
        self.since, self.maps = np.zeros(kernels.MOST, np.int64), np.zeros((kernels.MOST, 2))
        self.since[0], self.maps[0] = _BEFORE_ALL, (1.0, 0.0)

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """What the kernels take."""
        return self.line, self.since, self.maps

    @property
    def state(self) -> dict:
        held = int(self.line[kernels.HELD])
        return {"line": self.line.copy(), "since": self.since[:held].copy(), "maps": self.maps[:held].copy()}

    def load(self, state: dict) -> None:
        self.line, held = np.array(state["line"]), len(state["since"])
        self.since[:held], self.maps[:held] = state["since"], state["maps"]


class Calibrate(base.Classifier):
    """A classifier whose probabilities are corrected by the answers: Platt scaling, online.

    Log odds are stretched and shifted, ``slope * log odds + intercept``, so that of the predictions of 10 % a tenth
    comes true. The slope is kept positive: the order of the predictions of one moment does not change. Platt,
    "Probabilistic outputs for support vector machines" (1999), by steps of second order; Gupta and Ramdas,
    "Online Platt scaling with calibeating" (ICML 2023). With times (a learner has them) it learns from the
    prediction made when the question was asked, and so also corrects what a model gets wrong because its answers come
    late; without, from what the model says just before it learns.

    Parameters
    ----------
    model
        A river classifier of two classes.
    every
        What was learned is put in use at the first question of every such span of event time.
    forgetting
        Weight of an answer relative to the next one, in (0, 1].
    after
        Answers that the model learns first: predictions made before them are not learned from.

    Examples
    --------
    >>> from rtml.models.baselines import Majority
    >>> model = Calibrate(Majority(), every="1h", after=10)
    >>> for i in range(400):
    ...     model.learn_one({}, i % 10 == 0)
    >>> round(model.predict_proba_one({})[True], 1)
    0.1
    """

    def __init__(
        self, model: base.Classifier, every: str = "1h", forgetting: float = 0.99995, after: int = 1000
    ) -> None:
        self.model, self.every = model, every
        self.forgetting, self.after = forgetting, after
        self._map = _Map(every, forgetting, after)

    @classmethod
    def _unit_test_params(cls):
        yield {"model": Majority()}

    @property
    def _multiclass(self) -> bool:
        return False

    def learn_one(self, x: dict, y: bool) -> None:
        """Correct the map by what the model says, then let that learn."""
        kernels.learn_now(self._own(x), float(y), self.forgetting, *self._map.arrays)
        self.model.learn_one(x, y)

    def predict_proba_one(self, x: dict) -> dict[bool, float]:
        """Corrected probabilities."""
        p = kernels.calibrate(self._own(x), *self._map.arrays)
        return {False: 1.0 - p, True: p}

    def _own(self, x: dict) -> float:
        odds = self.model.predict_proba_one(x)
        return float(odds.get(True, 0.0)) if odds else 0.5


class Calibrated(RowModel):
    """A compiled model with calibration behind it: what :func:`rtml.models.compiled.compile` makes of ``Calibrate``."""

    twin = "calibrated"
    classifier = True

    def __init__(self, model, every: str = "1h", forgetting: float = 0.99995, after: int = 1000) -> None:
        if not model.classifier or model.classes or hasattr(model, "learn_at"):
            raise ValueError(f"only the probabilities of a plain classifier are calibrated, got {model.describe()}")
        self.model, self.names = model, model.names
        self._how = {"every": every, "forgetting": forgetting, "after": after}
        self._map = _Map(every, forgetting, after)

    @classmethod
    def of(cls, state: dict, restore: Callable[[dict], object]) -> Calibrated:
        """Model of a state; ``restore`` builds the model within."""
        self = cls(restore(state["model"]), **state["how"])
        self.load(state)
        return self

    def predict(self, x: np.ndarray) -> float:
        """Corrected probability of True."""
        return kernels.calibrate(self.model.predict(x), *self._map.arrays)

    def predict_at(self, x: np.ndarray, moment: int) -> float:
        """Corrected probability of True for a question of this moment."""
        p = self.model.predict(x)
        kernels.publish(moment, self._map.every, *self._map.arrays)
        return kernels.calibrate(p, *self._map.arrays)

    def learn(self, x: np.ndarray, y: float) -> None:
        """Learn an answer without times: from what the model says now."""
        p, y = self.model.predict(x), check_label(y, classifier=True)
        self.model.learn(x, y)
        kernels.learn_now(p, y, self._map.forgetting, *self._map.arrays)

    def learn_at(self, x: np.ndarray, y: float, prediction: float, moment: int, known: int) -> None:
        """Learn the answer of a question: the map from the prediction of then, the model from its row."""
        self.model.learn(x, y)
        kernels.learn(prediction, float(y), moment, known, self._map.forgetting, *self._map.arrays)

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """A chunk of questions of which none was asked before (see :meth:`replay_at`)."""
        if len(X) != len(moment):
            raise ValueError(
                f"{len(X) - len(moment)} questions wait: calibration needs their predictions, use replay_at"
            )
        return self.replay_at(X, y, np.empty(0), moment, known, order, until)

    def replay_at(self, X, y, earlier, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask the last rows at their moments and take answers once known; ``earlier`` were predicted for the rest."""
        own, taken = self.model.replay(X, y, np.ascontiguousarray(moment[len(earlier) :]), known, order, until)
        predictions, how = np.empty(len(own)), (self._map.every, self._map.forgetting)
        kernels.replay(own, y, earlier, moment, known, order, until, *how, predictions, *self._map.arrays)
        return predictions, taken

    @property
    def line(self) -> tuple[float, float]:
        """Slope and intercept learned so far; 1 and 0 for a model that was honest all along."""
        return float(self._map.line[kernels.SLOPE]), float(self._map.line[kernels.INTERCEPT])

    @property
    def samples(self) -> int:
        """Rows read by all fits of the model within, or the answers learned."""
        return int(getattr(self.model, "samples", self._map.line[kernels.ANSWERS]))

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the model within."""
        return self.model.weights

    @property
    def state(self) -> dict:
        """The model within, and all maps."""
        head = self.head | {"model": self.model.state}
        return head | {"how": dict(self._how)} | self._map.state

    def describe(self) -> str:
        """The model within, and how often its map is put in use."""
        return f"{self.model.describe()} | Calibrate(every={self._how['every']})"

    def _take(self, state: dict) -> None:
        self.model.load(state["model"])
        self._map.load(state)

    def _same(self, state: dict) -> bool:
        return state["how"] == self._how
