"""Gradient-boosted trees fitted again from scratch on a schedule: the batch baseline of online models (LightGBM)."""

from __future__ import annotations

import numpy as np
from river import base

from rtml.models.rows import check_label, check_names, check_row, check_state

_HOW = ("every", "first", "window", "rounds", "leaves", "rate", "seed")


class BoostedRefit(base.Classifier):
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
        if every < 1 or first < 0 or window < 0 or rounds < 1:
            raise ValueError(
                f"every and rounds must be at least 1, first and window at least 0, got {every}, {rounds}, {first} and "
                f"{window}: every counts answers between two fits"
            )
        self.every, self.first, self.window = every, first, window
        self.rounds, self.leaves, self.rate, self.seed = rounds, leaves, rate, seed
        self._fitted: CompiledBoosted | None = None

    @property
    def _multiclass(self) -> bool:
        return False

    @property
    def samples(self) -> int:
        """Rows read by all fits so far."""
        return 0 if self._fitted is None else self._fitted.samples

    def learn_one(self, x: dict, y: bool) -> None:
        """Keep the answer; fit again when enough are new."""
        if self._fitted is None:
            self._fitted = boosted_twin(self, check_names(list(x)))
        self._fitted.learn(self._row(x), float(y))

    def predict_proba_one(self, x: dict) -> dict[bool, float]:
        """Probabilities of the last fit."""
        p = 0.5 if self._fitted is None else self._fitted.predict(self._row(x))
        return {False: 1.0 - p, True: p}

    def _row(self, x: dict) -> np.ndarray:
        return check_row([x.get(name, np.nan) for name in self._fitted.names], self._fitted.names)


class CompiledBoosted:
    """The same for rows: a chunk of questions between two fits is answered at once."""

    kind = "compiled"
    twin = "boosted"
    classifier = True

    def __init__(self, names, how: dict) -> None:
        self.names, self._how = check_names(names), dict(how)
        self.answered = self.ones = self.samples = 0
        self._X, self._y, self._kept = np.zeros((256, len(self.names))), np.zeros(256), 0
        self._text, self._booster = "", None
        self._next = how["first"] or how["every"]

    def predict(self, x: np.ndarray) -> float:
        """Probability of True for a row in the order of ``names``."""
        return float(self._ask(check_row(x, self.names)[None])[0])

    def learn(self, x: np.ndarray, y: float) -> None:
        """Keep the answer; fit again when enough are new."""
        self._keep(check_row(x, self.names)[None], np.array([check_label(y, classifier=True)]))

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask and learn a chunk, in as many pieces as there are fits (as a compiled model's ``replay``)."""
        due = known[order]
        asked = np.searchsorted(due, moment, "left")  # answers told before each question
        told = int(max(np.searchsorted(due, until, "right"), asked[-1] if len(asked) else 0))
        labelled = ~np.isnan(y[order[:told]])
        learned = np.r_[0, np.cumsum(labelled)][asked]  # and those among them that are learned
        rows, new = order[:told][labelled], X[len(X) - len(moment) :]
        predictions, at = np.empty(len(moment)), 0
        while True:
            upto = min(at + self._next - self.answered, len(rows) + 1)
            now = (learned >= at) & (learned < upto)
            predictions[now] = self._ask(new[now], y[rows[at:]], learned[now] - at)
            self._keep(X[rows[at:upto]], y[rows[at:upto]])
            if upto > len(rows):
                return predictions, told
            at = upto

    @property
    def weights(self) -> dict[str, float]:
        """How often each feature is split on in the last fit."""
        splits = self._booster.feature_importance() if self._booster else np.zeros(len(self.names))
        return dict(zip(self.names, splits.tolist(), strict=True))

    @property
    def state(self) -> dict:
        """The trees as text, the rows that the next fit may read, and the counts."""
        head = {"kind": self.kind, "twin": self.twin, "names": list(self.names), "how": dict(self._how)}
        counts = {"answered": self.answered, "ones": self.ones, "samples": self.samples, "next": self._next}
        rows = {"X": self._X[self._last].copy(), "y": self._y[self._last].copy()}
        return head | counts | rows | {"trees": self._text}

    def load(self, state: dict) -> None:
        """Go on from a state of this very model."""
        check_state(state, self.kind, self.names)
        if state.get("twin") != self.twin or state["how"] != self._how:
            raise ValueError(
                f"the state is of another model than this {self.describe()}: restore(state) builds its own"
            )
        self.answered, self.ones, self.samples = state["answered"], state["ones"], state["samples"]
        self._X, self._y, self._kept = np.array(state["X"]), np.array(state["y"]), len(state["y"])
        self._next, self._text = state["next"], state["trees"]
        self._booster = _lightgbm().Booster(model_str=self._text) if self._text else None

    @classmethod
    def of(cls, state: dict) -> CompiledBoosted:
        """Model of a state."""
        self = cls(state["names"], state["how"])
        self.load(state)
        return self

    def describe(self) -> str:
        """Its schedule."""
        rows = f"the last {self._how['window']:,}" if self._how["window"] else "all answers"
        return f"BoostedRefit({self._how['rounds']} trees from {rows}, every {self._how['every']:,})"

    @property
    def _last(self) -> slice:
        """The rows that a fit reads."""
        return slice(max(0, self._kept - (self._how["window"] or self._kept)), self._kept)

    def _ask(self, rows: np.ndarray, y=(), learned=0) -> np.ndarray:
        """Probabilities of the last fit; before it, the share of ones of what was learned by then (Laplace's rule)."""
        if self._booster is not None:
            return self._booster.predict(rows, num_threads=1) if len(rows) else np.empty(0)
        ones = np.r_[0.0, np.cumsum(y)][learned]
        return np.broadcast_to((self.ones + ones + 1) / (self.answered + learned + 2), len(rows))

    def _keep(self, rows: np.ndarray, y: np.ndarray) -> None:
        """Take answers, at most up to the next fit, and fit if that is reached."""
        if self._how["window"] and self._kept > 2 * self._how["window"]:
            self._X, self._y = self._X[self._last].copy(), self._y[self._last].copy()
            self._kept = len(self._y)
        end = self._kept + len(y)
        if end > len(self._y):
            room = np.zeros((max(2 * len(self._y), end) - self._kept, len(self.names)))
            self._X = np.concatenate([self._X[: self._kept], room])
            self._y = np.concatenate([self._y[: self._kept], room[:, 0]])
        self._X[self._kept : end], self._y[self._kept : end], self._kept = rows, y, end
        self.answered += len(y)
        self.ones += int(y.sum())
        if self.answered == self._next:
            self._fit()

    def _fit(self) -> None:
        how, lightgbm, last = self._how, _lightgbm(), self._last
        self._next += min(self._next, how["every"])
        self.samples += last.stop - last.start
        if 0 < self._y[last].sum() < last.stop - last.start:
            fixed = {"objective": "binary", "verbose": -1, "num_threads": 1, "deterministic": True}
            sizes = {"num_leaves": how["leaves"], "learning_rate": how["rate"], "seed": how["seed"], "lambda_l2": 1.0}
            data = lightgbm.Dataset(self._X[last], self._y[last], params={"verbose": -1})
            options = fixed | sizes | {"force_row_wise": True, "min_data_in_leaf": 50}
            self._text = lightgbm.train(options, data, how["rounds"]).model_to_string()
            self._booster = lightgbm.Booster(model_str=self._text)  # what a restored one answers from


def boosted_twin(model, names: tuple[str, ...]) -> CompiledBoosted | None:
    """The model behind a :class:`BoostedRefit`, with what that has learned, or None for other models."""
    if type(model) is not BoostedRefit or (model._fitted is not None and model._fitted.names != names):
        return None
    twin = CompiledBoosted(names, {name: getattr(model, name) for name in _HOW})
    if model._fitted is not None:
        twin.load(model._fitted.state)
    return twin


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
