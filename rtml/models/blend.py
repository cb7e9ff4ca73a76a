"""The blend: many learners in one pass, mixed by how well each has predicted lately, so that none need be chosen."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import ClassVar, Self

import numpy as np
from river import base

from rtml.kernels import blend as kernels
from rtml.models.blend_classes import ClassBlend
from rtml.models.blend_members import HOW, MIXES, complete, members, plain
from rtml.models.face import Face
from rtml.models.rows import RememberingModel, check_names, check_row, predictions


class CompiledBlend(RememberingModel):
    """The blend over flat arrays; what :func:`rtml.models.compiled.compile` makes of ``Blend`` and ``BlendClassifier``.

    A question keeps what every member said of it, and the mixtures learn from that when its answer comes, however late.
    Other compiled models can join as members (:meth:`join`) and leave again: a checkpoint that only predicts, or a
    learner that takes every answer with the others. While a place is empty its member is asleep, and nothing is learned
    of it.
    """

    twin = "blend"
    _ARRAYS = ("_level", "_scaler", "_grams", "_sides", "_weights", "_shares", "_top")
    _learned = property(attrgetter(*_ARRAYS))

    def __init__(self, names: Sequence[str], classifier: bool = False, how: dict | None = None) -> None:
        self.names, self.classifier = check_names(names), classifier
        self.how = complete(classifier, how or {})
        self._plan = members(self.names, classifier, json.dumps(plain(self.how)))
        for name, part in zip(CompiledBlend._ARRAYS, self._plan.fresh(), strict=True):
            setattr(self, name, part)
        self.outside: dict[int, tuple[str, object, bool]] = {}  # place: name, model, whether it learns

    @property
    def memory(self) -> int:
        """Numbers kept with each open question: what members and mixtures said, and the answers known then."""
        return len(self._plan.names) + len(MIXES) + int(self._plan.spec[0][kernels.LAGS])

    @property
    def members(self) -> list[str]:
        """Names of all members, the places for outside ones last."""
        return [*self._plan.names[: self._first], *(self._name(k) for k in range(self.how["outside"]))]

    @property
    def prior(self) -> np.ndarray:
        """Weight of every member before the first answer."""
        return self._plan.spec[9].copy()

    def join(self, name: str, model, learning: bool = True, weight: float = 0.05) -> None:
        """Let a compiled model of the same columns be a member from the next question on, with a weight to begin with.

        With ``learning`` it learns every answer that comes from now on; without, it only predicts, as a checkpoint.
        """
        if tuple(model.names) != self.names or model.classifier != self.classifier or hasattr(model, "learn_at"):
            raise ValueError(f"a member must be a plain model of the same columns and kind, got {model.describe()}")
        free = [k for k in range(self.how["outside"]) if k not in self.outside]
        if not free or name in self.members:
            raise ValueError(f"{name!r} cannot join: {len(free)} places are free, members: {', '.join(self.members)}")
        shares, place = self._shares, self._first + free[0]
        shares[:, place] = 0.0
        shares *= (1.0 - weight) / shares.sum(axis=1, keepdims=True)
        shares[:, place] = weight
        self.outside[free[0]] = (name, model, learning)

    def leave(self, name: str) -> None:
        """Let a member from outside go; its weight waits for whoever joins in its place."""
        place = next((k for k, (known, *_) in self.outside.items() if known == name), None)
        if place is None:
            raise LookupError(
                f"no outside member {name!r}; there are: {', '.join(m[0] for m in self.outside.values())}"
            )
        del self.outside[place]

    def predict_rows(self, X: np.ndarray) -> np.ndarray:
        """Predictions of many rows in one call of the kernel, shape (m,): nothing is learned."""
        X = np.ascontiguousarray(X, np.float64)
        none = np.empty(0, np.int64)
        n = len(X)
        for row in [*X[:1], *X[np.isinf(X).any(axis=1)][:1]]:
            check_row(row, self.names)
        kept = np.full((n, 1 + self.memory), np.nan)
        for k, (_, model, _) in self.outside.items():
            kept[:, 1 + self._first + k] = predictions(model, X)
        kernels.replay(X, np.empty(n), np.zeros(n, np.int64), none, none, 0, kept, self._plan.spec, self._learned)
        return np.ascontiguousarray(kept[:, 0])

    def predict_at(self, x: np.ndarray, moment: int) -> np.ndarray:
        """The prediction and what is kept with the question, shape (1 + memory,)."""
        x, kept = check_row(x, self.names), np.full(1 + self.memory, np.nan)
        for k, (_, model, _) in self.outside.items():
            kept[1 + self._first + k] = model.predict(x)
        kernels.ask(x, self._plan.spec, self._learned, kept)
        return kept

    def learn_at(self, x: np.ndarray, y: float, kept: np.ndarray, moment: int, known: int) -> None:
        """Learn the answer of a question from what was kept when it was asked, or refuse it and stay as it was."""
        x, y = check_row(x, self.names), self._label(y)
        kernels.learn(x, y, np.array(kept, float), self._plan.spec, self._learned)
        for _, model, learning in self.outside.values():
            if learning:
                model.learn(x, y)

    def replay_at(self, X, y, kept, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask the last rows at their moments and take answers once known; ``kept`` is of the rows before those.

        Returns what is kept of each new question, shape (m, 1 + memory), predictions first, and how many answers came.
        """
        waits, asked = len(kept), np.ascontiguousarray(moment[len(kept) :])
        rows = np.full((len(X), 1 + self.memory), np.nan)
        rows[:waits] = kept
        for k, (_, model, learning) in self.outside.items():
            rows[waits:, 1 + self._first + k] = self._replayed(model, learning, (X, y, asked, known, order, until))
        taken = kernels.replay(X, y, asked, known, order, until, rows, self._plan.spec, self._learned)
        return rows[waits:], taken

    @property
    def state(self) -> dict:
        """Everything learned, and all that is needed to go on from it, as flat arrays."""
        head = self.head | {"classifier": self.classifier}
        outside = [[k, name, model.state, learning] for k, (name, model, learning) in sorted(self.outside.items())]
        return head | {"how": plain(self.how), "outside": outside} | self._copies()

    def load(self, state: dict, restore: Callable | None = None) -> None:
        """Go on from a state of this very model; ``restore`` builds members that are not here."""
        super().load(state)
        here, self.outside = self.outside, {}
        for k, name, learned, learning in state["outside"]:
            known = here.get(k)
            if known is None and restore is None:
                raise ValueError(f"the state has a member {name!r} from outside: restore(state) builds it")
            model = known[1] if restore is None else restore(learned)
            model.load(learned)
            self.outside[k] = (name, model, learning)

    @classmethod
    def of(cls, state: dict, restore: Callable | None = None) -> Self:
        """Model of a state; ``restore`` builds the members from outside."""
        self = cls(state["names"], state["classifier"], state["how"])
        self.load(state, restore)
        return self

    def describe(self) -> str:
        """How many members there are, and which one it began with."""
        return f"{type(self).__name__[8:]}({len(self.members)} members, champion={self.how['champion']})"

    @property
    def _first(self) -> int:
        return len(self._plan.names) - self.how["outside"]

    def _name(self, place: int) -> str:
        return self.outside[place][0] if place in self.outside else self._plan.names[self._first + place]

    def _same(self, state: dict) -> bool:
        return plain(state["how"]) == plain(self.how)

    @staticmethod
    def _replayed(model, learning: bool, chunk: tuple) -> np.ndarray:
        """Predictions of a member from outside for a chunk: it learns along, or is asked only."""
        if learning:
            return model.replay(*chunk)[0]
        X = chunk[0]
        asked = chunk[2]
        known = chunk[3]
        nothing = np.empty(0, np.int64)
        return model.replay(X[len(X) - len(asked) :], np.empty(len(asked)), asked, known, nothing, 0)[0]


class _Blended(Face):
    """What the two river models share: parameters, and a row model that takes its columns from the first row."""

    _classifier = False
    _usual: ClassVar[dict] = {}

    def __init__(
        self,
        forgetting: Sequence[float] | None = None,
        ridge: Sequence[float] | None = None,
        random: int | None = None,
        rates: Sequence[float] | None = None,
        champion: str | None = None,
        every: int = 4,
        outside: int | None = None,
        seed: int = 7,
    ) -> None:
        given = (forgetting, ridge, random, rates, champion, every, outside, seed)
        how = self._usual | {name: value for name, value in zip(HOW, given, strict=True) if value is not None}
        self.how = complete(self._classifier, how)
        for name, value in self.how.items():
            setattr(self, name, value)

    def _made(self, names: Sequence[str], classes: Sequence[str | int] = ()) -> CompiledBlend | ClassBlend:
        return ClassBlend(names, classes, self.how) if classes else CompiledBlend(names, self._classifier, self.how)


class Blend(_Blended, base.Regressor):
    """Many learners of a number in one pass, mixed by how well each has predicted lately.

    Members are least squares of every forgetting and ridge, each on the answers as they are and winsorised at three
    running deviations, some weighting quiet times more; the same on random cosine features, which see what is not
    linear; stochastic gradient descent; a line through one feature; zero, running means and the last known answer; and
    whoever joins (:meth:`CompiledBlend.join`). Six mixtures of them, of two rates (.5 and .1) and three shares
    (0, .0005, .005), are mixed by a seventh.

    **Bound.** Let a mixture of rate ``eta``, share ``s`` and prior ``p`` predict ``m_t`` by the weights with which it
    learns answer ``t``, and let ``r_tk = 2 (m_t - y_t) (m_t - x_tk) / v_t`` be its regret against member ``k``, in
    units of the running variance ``v_t`` of the answers (scored winsorised at five deviations), made smaller where
    ``|eta r_tk|`` of any member exceeds a half. Then against every sequence of members with ``n`` changes::

        sum r_tk  <=  (ln(1 / p_k) + sum over changes of ln(1 / (s q_k)) - T ln(1 - s)) / eta  +  eta sum r_tk ** 2

    with ``q_k >= p_k / 10`` what is shared, and squared errors differ by at most ``r_tk - (m_t - x_tk) ** 2 / v_t``.
    Proof: weights times ``1 + eta r`` go on summing to one, and ``ln(1 + z) >= z - z ** 2`` for ``z >= -1/2``
    (Cesa-Bianchi, Mansour and Stoltz, "Improved second-order bounds for prediction with expert advice", 2007;
    Herbster and Warmuth, "Tracking the best expert", 1998). The seventh is bounded so against the six, by what they
    really said. With late answers ``m_t`` is what the weights of the answer's arrival make of what was said then
    (Joulani, György and Szepesvári, "Online learning under delayed feedback", 2013).

    Parameters
    ----------
    forgetting, ridge
        Of the least squares members. The first two forgettings should be 1 and the fastest one.
    random
        Random features; 0 for none.
    rates
        Of the members that learn by stochastic gradient descent.
    champion
        The member that begins with much of the weight, so that a short stream loses nothing.
    every
        Answers between two solutions of a fast member, late in a stream; slow ones wait longer.
    outside
        Places for members that join later.
    seed
        Of the random features.

    Examples
    --------
    >>> model = Blend(random=0)
    >>> for i in range(1000):
    ...     model.learn_one({"a": float(i % 7), "b": float(i % 5)}, 2.0 * (i % 7) - (i % 5))
    >>> round(model.predict_one({"a": 3.0, "b": 1.0}))
    5
    """

    def predict_one(self, x: Mapping[str, float]) -> float:
        """What the members say, mixed."""
        return self._ready(x).predict(self._row(x))


class BlendClassifier(_Blended, base.Classifier):
    """The same for probabilities: logistic members of second order, the base rate, and how often labels stay.

    Members are asked about the last known labels too. One of them is stacked on the log odds of the others; ``pool`` is
    the mean of the log odds of the champion and of all members from outside. Mixtures have the rates 1 and .2. With
    rate 1 a mixture is Bayes' rule, and its log loss exceeds that of any sequence of members with ``n`` changes by at
    most ``ln(1 / p_k) + sum over changes of ln(1 / (s q_k)) - T ln(1 - s)``, exactly (Vovk, "A game of prediction with
    expert advice", 1998; Herbster and Warmuth, 1998). See :class:`Blend` for the parameters.

    Of many classes it makes a :class:`rtml.models.blend_classes.ClassBlend`.

    Examples
    --------
    >>> model = BlendClassifier(random=0)
    >>> for i in range(300):
    ...     model.learn_one({"a": float(i % 7)}, i % 7 > 3)
    >>> model.predict_proba_one({"a": 6.0})[True] > 0.9
    True
    """

    _classifier = True

    @property
    def _multiclass(self) -> bool:
        return False

    def predict_proba_one(self, x: Mapping[str, float]) -> dict[bool, float]:
        """What the members say, mixed."""
        self._ready(x)
        return self._probabilities(x)
