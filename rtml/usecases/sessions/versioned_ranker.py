"""A ranker on item vectors of a version: a new version makes it stale, and it is retrained before both serve."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from rtml.kernels import interning
from rtml.models.rows import RowModel, answers_before, check_names
from rtml.usecases.sessions.kernels import memory, ranking
from rtml.usecases.sessions.models import Ranking, Versioned
from rtml.usecases.sessions.session_model import START, SessionModel

_FIT = ranking.FEATURES.index("vectors")


class VersionedRanker(RowModel):
    """Lists items by a ranker whose item vectors stay as they are until their next version.

    The vectors of the next version learn click by click like those of ``item_vectors``. Once they are published the
    ranker is stale: what it learned weighs other vectors. It begins anew and learns its newest answers again, each by
    the features it was asked with but for the fit of the vectors, which is that of the new version. Only then do both
    serve, so that a list never mixes versions. An item that is newer than the version fits nothing.

    Parameters
    ----------
    names
        Names of a row's columns, see :class:`rtml.usecases.sessions.session_model.SessionModel`.
    how
        Both schedules.

    Examples
    --------
    >>> names = ["session", "length", "dwell", "visits", "visitor", "own", "item_1", "item_2"]
    >>> model = VersionedRanker(names, Versioned(Ranking(k=3), every=2))
    >>> for session in range(5):
    ...     model.learn_at([session, 1.0, 0.0, 0.0, 5.0, -1.0, 7.0, -1.0], 8.0, None, 0, 10)
    >>> model.versions
    {'vectors': 2, 'ranker': 2, 'answers': 5}
    """

    twin = "rtml.usecases.sessions.versioned_ranker:VersionedRanker"

    def __init__(self, names: Sequence[str], how: Versioned) -> None:
        self.names, self.how = check_names(names), how
        self._trainee = SessionModel(names, replace(how.ranking, kind="vectors"))
        self._ranker = SessionModel(names, how.ranking, moves=False)
        self.memory = self._ranker.memory + 1  # the version that a question was answered with
        self._recent: deque[tuple[np.ndarray, float, np.ndarray]] = deque(maxlen=how.window)
        self._answers = self._vectors = self._trained_on = 0

    @property
    def outputs(self) -> int:
        """Items of a list."""
        return self.how.ranking.k

    @property
    def versions(self) -> dict[str, int]:
        """Version of the vectors that serve, the one that the ranker was trained on, and answers learned so far."""
        return {"vectors": self._vectors, "ranker": self._trained_on, "answers": self._answers}

    @property
    def stale(self) -> bool:
        """Whether the ranker was trained on other vectors than the newest version; never between two answers."""
        return self._trained_on != self._vectors

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the ranker by feature."""
        return self._ranker.weights

    def vector(self, items: Sequence[int]) -> np.ndarray:
        """Vector of a session by the version that serves."""
        return self._ranker.vector(items)

    def predict(self, x) -> np.ndarray:
        """Item ids for a session, the likeliest first."""
        return self.predict_at(x, 0)[: self.outputs]

    def predict_at(self, x, moment: int) -> np.ndarray:
        """The list, its scores and features, and the version that it was made with."""
        return np.append(self._ranker.predict_at(x, moment), float(self._vectors))

    def learn_at(self, x, y: float, kept, moment: int, known: int) -> None:
        """Learn that the click after those of ``x`` was ``y``."""
        x = np.require(x, np.float64, "CW")
        kept = self.predict_at(x, moment) if kept is None else np.array(kept, np.float64)
        row = kept[:-1]
        if kept[-1] != self._vectors:  # asked by a version before
            self._fit(x, row)
        self._trainee.learn_at(x, y, np.zeros(2 * self.outputs), moment, known)
        self._ranker.learn_at(x, y, row, moment, known)
        self._recent.append((x.copy(), float(y), row))
        self._answers += 1
        if self._answers % self.how.every == 0:
            self._publish()
        if self.stale:
            self._retrain()

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """A chunk in which nothing waits from before (see :meth:`replay_at`)."""
        return self.replay_at(X, y, np.empty((0, self.outputs + self.memory)), moment, known, order, until)

    def replay_at(self, X, y, kept, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask and learn a chunk: before each question what was known before it, at the end what is known by then."""
        rows, told = np.empty((len(X), self.outputs + self.memory)), 0
        rows[: len(kept)] = kept
        for t, answers in answers_before(moment[len(kept) :], known, order, until):
            told += len(answers)
            for at in answers:
                if y[at] == y[at]:
                    self.learn_at(X[at], float(y[at]), rows[at], 0, int(known[at]))
            if (place := len(kept) + t) < len(X):
                rows[place] = self.predict_at(X[place], int(moment[place]))
        return rows[len(kept) :], told

    def _publish(self) -> None:
        """Let the vectors as they are now be the next version."""
        new, old = self._trainee._memory, self._ranker._memory
        n = int(old.control[memory.GIVEN])
        rows = np.empty(n, np.int64)
        interning.find(old.ids[:n], rows, new.table, new.ids)
        known = rows >= 0
        for name in ("vectors", "contexts"):
            getattr(old, name)[:n][known] = getattr(new, name)[rows[known]]
        self._vectors += 1

    def _retrain(self) -> None:
        """Train the ranker anew, on the newest answers as the vectors that serve see them."""
        own = self._ranker._memory
        own.weights[:] = START, np.zeros(ranking.WIDTH)
        for x, y, kept in self._recent:
            self._fit(x, kept)
            ranking.adjust(kept, y, self._ranker._how, own)
        self._trained_on = self._vectors

    def _fit(self, x: np.ndarray, kept: np.ndarray) -> None:
        """Let what was kept of a question tell how its items fit by the vectors that serve now."""
        own, k = self._ranker._memory, self.outputs
        listed = int(np.isfinite(kept[k : 2 * k]).sum())
        rows = np.empty(listed, np.int64)
        interning.find(kept[:listed].astype(np.int64), rows, own.table, own.ids)
        items = x[memory.ITEMS :]
        mean = self._ranker.vector(items[items >= 0].astype(np.int64)[::-1])  # summed in the kernel's order
        features = kept[2 * k :].reshape(k, ranking.WIDTH)
        for place, row in enumerate(rows.tolist()):
            features[place, _FIT] = ranking.dot(mean, own.contexts, row)

    @property
    def state(self) -> dict:
        """Everything learned, of both, and the answers that the ranker would be retrained on."""
        recent = {name: np.array([row[i] for row in self._recent], float) for i, name in enumerate(("X", "y", "kept"))}
        head = self.head | {"how": asdict(self.how)}
        counts = {"answers": self._answers, "vectors": self._vectors, "trained_on": self._trained_on}
        return head | counts | {"trainee": self._trainee.state, "ranker": self._ranker.state, "recent": recent}

    def load(self, state: dict) -> None:
        """Go on from a state of this very model."""
        self._check(state)
        self._trainee.load(state["trainee"])
        self._ranker.load(state["ranker"])
        self._answers, self._vectors, self._trained_on = (state[n] for n in ("answers", "vectors", "trained_on"))
        columns = (state["recent"][name] for name in ("X", "y", "kept"))
        self._recent = deque(
            ((x.copy(), float(y), kept.copy()) for x, y, kept in zip(*columns, strict=True)), self.how.window
        )

    @classmethod
    def of(cls, state: dict) -> VersionedRanker:
        """Model of a state."""
        how = state["how"] | {"ranking": Ranking(**state["how"]["ranking"])}
        self = cls(state["names"], Versioned(**how))
        self.load(state)
        return self

    def _same(self, state: dict) -> bool:
        return state["how"] == asdict(self.how)

    def describe(self) -> str:
        """Both schedules, in short."""
        return f"Versioned({self._ranker.describe()}, every={self.how.every}, window={self.how.window})"
