"""A model with a memory: an echo-state network, whose inner state goes on from answer to answer, saved with it."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from river import base

from rtml.models.parts import preprocessing
from rtml.models.rls import RecursiveLeastSquares

_LIMIT = 3.0  # deviations beyond which a feature no longer moves the memory


class EchoState(base.Regressor):
    """Regression on the features and on a reservoir that remembers those of the answers before.

    The reservoir is a ring of units, each fed by the one before it and by all features with weights of one size and
    random sign: nothing in it is trained. What is trained, exactly and answer by answer, are the weights of a linear
    readout. Rodan and Tino, "Minimum complexity echo state network" (IEEE Transactions on Neural Networks, 2011).

    The memory moves when an answer is learned, never when a question is asked: asking changes nothing, and any cutting
    of a stream gives the same bits.

    Parameters
    ----------
    units
        Of the reservoir.
    memory
        Weight of the unit before, in [0, 1): how long a value echoes.
    scale
        Size of the weights of the features.
    lag
        How many questions wait for their answers when one is asked, such as 1 where an answer comes just behind the
        next question: the readout then learns from a memory as old as it will have when it is asked.
    ridge, forgetting
        Of the readout, see :class:`rtml.models.rls.RecursiveLeastSquares`.
    seed
        Of the signs.

    Examples
    --------
    >>> model, before = EchoState(units=20), 0.0
    >>> for i in range(400):
    ...     x = float(i * 7 % 5)
    ...     guess = model.predict_one({"x": x})
    ...     model.learn_one({"x": x}, before)  # the answer is the feature of the question before
    ...     error, before = abs(guess - before), x
    >>> error < 0.1
    True
    """

    def __init__(
        self,
        units: int = 50,
        memory: float = 0.8,
        scale: float = 0.5,
        lag: int = 0,
        ridge: float = 1.0,
        forgetting: float = 1.0,
        seed: int = 7,
    ) -> None:
        if units < 1 or lag < 0 or not 0.0 <= memory < 1.0:
            raise ValueError(f"units at least 1, memory in [0, 1), lag from 0, got {units}, {memory} and {lag}")
        self.units = units
        self.memory = memory
        self.scale = scale
        self.lag = lag
        self.ridge = ridge
        self.forgetting = forgetting
        self.seed = seed
        self._readout = RecursiveLeastSquares(ridge, forgetting)
        self._scaler = preprocessing.StandardScaler()
        self._states = np.zeros((lag + 1, units))  # behind the last answers, the oldest first

    def predict_one(self, x: dict) -> float:
        """Prediction; a feature that is missing counts as zero."""
        z = self._scaled(x)
        return self._readout.predict_one(z | self._named(self._moved(self._states[-1], z)))

    def learn_one(self, x: dict, y: float) -> None:
        """Learn one answer, then let the memory take its features in."""
        there = {name: value for name, value in x.items() if value is not None and value == value}
        if not np.isfinite([*there.values(), y]).all():
            raise ValueError(f"features must be finite or NaN and the label finite, got {x} and {y}")
        self._scaler.learn_one(there)
        z = self._scaled(x)
        self._readout.learn_one(z | self._named(self._moved(self._states[0], z)), y)
        self._states = np.concatenate([self._states[1:], self._moved(self._states[-1], z)[None]])

    def _scaled(self, x: dict) -> dict[str, float]:
        there = {name: value for name, value in sorted(x.items()) if value is not None and value == value}
        scaled = self._scaler.transform_one(there)
        return {name: min(max(float(value), -_LIMIT), _LIMIT) for name, value in scaled.items()}

    def _moved(self, state: np.ndarray, z: dict[str, float]) -> np.ndarray:
        """The reservoir one step behind a state; each feature has its signs by its name, whatever the others are."""
        fed = self.memory * np.roll(state, 1)
        for name, value in z.items():
            fed = fed + self.scale * value * _signs(str(name), self.units, self.seed)
        return np.tanh(fed)

    def _named(self, state: np.ndarray) -> dict[str, float]:
        return {f"echo_{i}": value for i, value in enumerate(state.tolist())}


@lru_cache(maxsize=1024)
def _signs(name: str, units: int, seed: int) -> np.ndarray:
    """Signs of the weights of a feature."""
    own = int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "little")
    return np.random.default_rng(own).choice([-1.0, 1.0], units)
