"""Gradient-boosted trees fitted again from scratch on a schedule: the batch baseline of online models (LightGBM)."""

from __future__ import annotations

import numpy as np
from river import base

from rtml.models.face import Face
from rtml.models.refit import Refit, check_schedule


class BoostedRefit(Face, base.Classifier):
    """Gradient-boosted trees, fitted from scratch every so many answers; between two fits nothing is learned.

    Fits come at ``first`` answers, then whenever they have doubled, until ``every`` is reached. Never continued from an
    older fit: trees added on small chunks end at a log loss of 3.2 where a fit from scratch has 0.51. One thread and a
    seed: the same answers give the same trees. Before the first fit it answers with the share of ones.

    Ke et al., "LightGBM: a highly efficient gradient boosting decision tree" (NeurIPS 2017).

    Parameters
    ----------
    every
        Answers between two fits.
    first
        Answers before the first fit; 0 for ``every``.
    window
        Answers that a fit reads, the last ones; 0 for all.
    rounds, leaves, rate
        Trees, leaves a tree, and learning rate.
    seed
        Of LightGBM.

    Examples
    --------
    >>> model = BoostedRefit(every=200, rounds=20)
    >>> for i in range(200):
    ...     model.learn_one({"a": float(i % 10)}, i % 10 > 6)
    >>> [model.predict_proba_one({"a": a})[True] > 0.5 for a in (2.0, 8.0)], model.samples
    ([False, True], 200)
    """

    def __init__(
        self,
        every: int = 67_000,
        first: int = 0,
        window: int = 0,
        rounds: int = 100,
        leaves: int = 31,
        rate: float = 0.05,
        seed: int = 7,
    ) -> None:
        check_schedule(every, first, window)
        if rounds < 1:
            raise ValueError(f"rounds must be at least 1, got {rounds}: it counts trees")
        self.every = every
        self.first = first
        self.window = window
        self.rounds = rounds
        self.leaves = leaves
        self.rate = rate
        self.seed = seed
        self._model: Refit | None = None

    @property
    def _multiclass(self) -> bool:
        return False

    @property
    def samples(self) -> int:
        """Rows read by all fits so far."""
        return 0 if self._model is None else self._model.samples

    def predict_proba_one(self, x: dict) -> dict[bool, float]:
        """Probabilities of the last fit."""
        return self._probabilities(x)

    def _made(self, names: tuple[str, ...], classes: tuple[str | int, ...] = ()) -> Refit:
        trees = Boosted(self.rounds, self.leaves, self.rate, self.seed, len(classes) or 2)
        return Refit(names, trees, classes, self.every, self.first, self.window)


class Boosted:
    """LightGBM's boosted trees behind ``fit`` and ``predict_proba``; the same rows give the same trees.

    Parameters
    ----------
    rounds, leaves, rate
        Trees (of each class), leaves per tree, and learning rate.
    seed
        Of LightGBM.
    classes
        Number of classes.
    """

    row_wise = accepts_missing = True

    def __init__(self, rounds: int, leaves: int, rate: float, seed: int, classes: int = 2) -> None:
        self.rounds = rounds
        self.leaves = leaves
        self.rate = rate
        self.seed = seed
        self.classes = classes
        self._text, self._booster = "", None

    def fit(self, X: np.ndarray, y: np.ndarray) -> Boosted:
        """Fit on rows (n, d) and numbers of classes (n,)."""
        lightgbm = _lightgbm()
        fixed = {"objective": "binary", "verbose": -1, "num_threads": 1, "deterministic": True, "lambda_l2": 1.0}
        if self.classes > 2:
            fixed |= {"objective": "multiclass", "num_class": self.classes}
        sizes = {"num_leaves": self.leaves, "learning_rate": self.rate, "seed": self.seed, "min_data_in_leaf": 50}
        data = lightgbm.Dataset(X, y, params={"verbose": -1})
        self._text = lightgbm.train(fixed | sizes | {"force_row_wise": True}, data, self.rounds).model_to_string()
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities, shape (n, classes)."""
        p = self._booster.predict(X, num_threads=1)
        return p if self.classes > 2 else np.column_stack([1.0 - p, p])

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Number of the most probable class, shape (n,)."""
        return self.predict_proba(X).argmax(axis=1)

    @property
    def weights_(self) -> np.ndarray:
        """How often each feature is split on."""
        return self._booster.feature_importance()

    def describe(self) -> str:
        """Its size."""
        return f"Boosted({self.rounds} trees)"

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_booster": None}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._booster = _lightgbm().Booster(model_str=self._text) if self._text else None


def _lightgbm():
    """LightGBM, imported where it is needed: it wants a library of the system."""
    try:
        import lightgbm
    except ModuleNotFoundError as ex:
        raise ImportError("the boosted baseline needs LightGBM: pip install lightgbm, or leave it out") from ex
    except OSError as ex:
        raise ImportError(
            f"LightGBM is there, but not the OpenMP library of the system: {ex}; install it (apt-get install libgomp1, "
            "brew install libomp), or leave the boosted baseline out"
        ) from ex
    return lightgbm
