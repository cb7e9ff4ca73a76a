"""Session models: lists of what a visitor will click next, from everything clicked so far, learned click by click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from rtml.core.clock import span
from rtml.kernels import interning
from rtml.models.rows import RowModel, check_names
from rtml.usecases.sessions.kernels import memory, ranking
from rtml.usecases.sessions.models import KINDS, Ranking

_SCRATCH = 1 << 15
START = (0.5, 0.3, 0.1, 0.0, 0.4, -0.3, 0.1, 0.0, 0.0, 0.0)  # weights of a ranker that has learned nothing yet


class SessionModel(RowModel):
    """A model that lists items for a session and learns from every click.

    A question's row is the session's number, how many clicks it has, four more columns, then its items, newest first
    and padded with -1. The list is ``k`` item ids, NaN where there are fewer; behind it stand scores and, of a ranker,
    the features of what was listed, which it learns from when the answer comes. Memory grows by doubling: 8 bytes a
    place of the lists (at most 512 sessions and 2 x 64 successors an item, 32 clicks a session), 56 bytes a session,
    and an item 180 bytes and 8 more a dimension.

    Parameters
    ----------
    names
        Names of a row's columns.
    how
        What it ranks by.
    moves
        Whether item vectors move with every click; otherwise they stay as somebody else sets them.

    Examples
    --------
    >>> names = ["session", "length", "dwell", "visits", "visitor", "own", "item_1", "item_2"]
    >>> model = SessionModel(names, Ranking("successors", k=3, steps=1))
    >>> model.learn_at([0.0, 1.0, 0.0, 0.0, 5.0, -1.0, 7.0, -1.0], 8.0, None, 0, 10)
    >>> model.predict([1.0, 1.0, 0.0, 0.0, 6.0, -1.0, 7.0, -1.0])
    array([ 8.,  7., nan])
    """

    twin = "sessions"

    def __init__(self, names: Sequence[str], how: Ranking, moves: bool = True) -> None:
        self.names, self.ranking = check_names(names), how
        self._how = _told(how)
        self._how[memory.VECTORS] *= moves
        self.memory = how.k * (1 + ranking.WIDTH) if how.kind == "ranker" else how.k
        self._memory = _empty(how, _power(64 + 2 * len(self.names)), 64, 2 * memory.ROOM)

    @property
    def outputs(self) -> int:
        """Items of a list."""
        return self.ranking.k

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """A chunk in which nothing waits from before (see :meth:`replay_at`)."""
        return self.replay_at(X, y, np.empty((0, self.outputs + self.memory)), moment, known, order, until)

    def predict(self, x) -> np.ndarray:
        """Item ids for a session, the likeliest first."""
        return self.predict_at(x, 0)[: self.outputs]

    def predict_at(self, x, moment: int) -> np.ndarray:
        """The list, its scores, and what a ranker must keep until the answer comes."""
        kept = np.empty(self.outputs + self.memory)
        ranking.rank(np.require(x, np.float64, "CW"), self._how, self._memory, kept)  # of bytes of a log it is a copy
        return kept

    def learn_at(self, x, y: float, kept, moment: int, known: int) -> None:
        """Learn that the click after those of ``x`` was ``y``."""
        x = np.require(x, np.float64, "CW")
        kept = self.predict_at(x, moment) if kept is None else np.ascontiguousarray(kept, np.float64)
        while need := ranking.tell(x, float(y), int(known), kept, self._how, self._memory):
            self._grow(need)

    def replay_at(self, X, y, kept, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask and learn a chunk in a kernel (see :func:`rtml.usecases.sessions.kernels.ranking.replay`)."""
        waiting = len(kept)
        rows = np.empty((len(X), self.outputs + self.memory))
        rows[:waiting] = kept
        at = np.array([waiting, 0], np.int64)
        chunk = (np.ascontiguousarray(X), y, moment, known, order, until, rows, at, self._how)
        while need := ranking.replay(*chunk, self._memory):
            self._grow(need)
        return rows[waiting:], int(at[1])

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the ranker by feature."""
        return dict(zip(ranking.FEATURES, self._memory.weights[0].tolist(), strict=True))

    @property
    def counts(self) -> dict[str, int]:
        """Items, places of lists in use, answers learned, and sessions that gave way to newer ones."""
        control = self._memory.control
        places = {"items": memory.GIVEN, "places": memory.USED, "answers": memory.NEGATIVES}
        return {name: int(control[at]) for name, at in places.items()} | {"gave_way": int(control[memory.GIVEN_WAY])}

    def reasons(self, x) -> dict[int, dict[str, float]]:
        """Why a ranker lists an item for a session: what is known of each candidate (:data:`ranking.FEATURES`).

        Shares are those of neighbours and successors, from 0 to 1; an item that only popularity put there is missing.
        """
        k, said = self.outputs, self.predict_at(x, 0)
        if self.ranking.kind != "ranker":
            return {}
        known = said[2 * k :].reshape(k, ranking.WIDTH)
        shares = np.clip(np.exp(known[:, :3]) - (1e-4, 1e-3, 1e-3), 0.0, 1.0)
        rows = zip(said[:k], shares.tolist(), known[:, 3:].tolist(), strict=True)
        names = ranking.FEATURES
        return {int(item): dict(zip(names, (*a, *b), strict=True)) for item, a, b in rows if b[0] == b[0]}

    def vector(self, items: Sequence[int]) -> np.ndarray:
        """Vector of a session: the mean of the vectors of those of its items that are known; shape (dimension,)."""
        m = self._memory
        rows = np.empty(len(items), np.int64)
        interning.find(np.ascontiguousarray(items, np.int64), rows, m.table, m.ids)
        mean = np.empty(m.vectors.shape[1], np.float32)
        ranking.mean_vector(rows, len(rows), m, mean)
        return mean

    @property
    def state(self) -> dict:
        """Everything learned, as flat arrays."""
        m, control = self._memory, self._memory.control
        head = self.head | {"ranking": asdict(self.ranking)}
        n = int(control[memory.GIVEN])
        kept = {name: getattr(m, name)[:n].copy() for name in _BY_ITEM}
        kept["pool"] = m.pool[: control[memory.USED]].copy()
        return head | kept | {name: getattr(m, name).copy() for name in _WHOLE}

    @classmethod
    def of(cls, state: dict) -> SessionModel:
        """Model of a state."""
        self = cls(state["names"], Ranking(**state["ranking"]))
        self._take(state)
        return self

    def describe(self) -> str:
        """What it ranks by, in short."""
        usual = asdict(Ranking(self.ranking.kind))
        other = [f", {name}={value}" for name, value in asdict(self.ranking).items() if value != usual[name]]
        return f"Ranking({self.ranking.kind}{''.join(other)})"

    def _same(self, state: dict) -> bool:
        return Ranking(**state["ranking"]) == self.ranking

    def _take(self, state: dict) -> None:
        items, rows = len(state["ids"]), len(state["gains"])
        m = _empty(
            self.ranking, _power(items + 2 * len(self.names) + 64), rows, _power(len(state["pool"]) + memory.ROOM)
        )
        for name in (*_BY_ITEM, "pool", *_WHOLE):
            getattr(m, name)[: len(state[name])] = state[name]
        interning.rebuild(np.arange(items), m.table, m.ids)
        self._memory = m

    def _grow(self, need: int) -> None:
        """Double the part of the memory that is full."""
        m, rows = self._memory, len(self._memory.gains)
        items = len(m.ids) * (2 if need == memory.ITEM_ROWS else 1)
        wider = rows * (2 if need == memory.SESSION_ROWS else 1)
        grown = _empty(self.ranking, items, wider, len(m.pool) * (2 if need == memory.POOL else 1))
        for name in (*_BY_ITEM, "pool", *(name for name in _WHOLE if name not in ("sessions", "gains"))):
            getattr(grown, name)[: len(getattr(m, name))] = getattr(m, name)
        interning.rebuild(np.arange(m.control[memory.GIVEN]), grown.table, grown.ids)
        held = np.flatnonzero(m.sessions[:, 0] >= 0)
        places = m.sessions[held, 0] & (wider - 1)
        grown.sessions[places], grown.gains[places] = m.sessions[held], m.gains[held]
        self._memory = grown


_BY_ITEM = ("ids", "lists", "counts", "vectors", "contexts")
_WHOLE = ("control", "clock", "sessions", "gains", "recent", "top", "weights")


def _empty(how: Ranking, items: int, rows: int, places: int) -> memory.Memory:
    """A memory with room for so many items, sessions and places of lists."""
    d, held = how.dimension if KINDS[how.kind][2] else 1, np.zeros((rows, 6), np.int64)
    control, weights = np.zeros(memory.CONTROL, np.int64), np.zeros((2, ranking.WIDTH))
    control[memory.USED] = 1  # a free list ends with 0
    held[:, 0], weights[0] = -1, START
    return memory.Memory(
        control=control,
        clock=np.zeros(4),
        pool=np.zeros(places, np.int64),
        table=np.zeros(2 * items, np.int64),
        ids=np.zeros(items, np.int64),
        lists=np.zeros((items, 3, 3), np.int64),
        counts=np.zeros((items, 3)),
        vectors=np.zeros((items, d), np.float32),
        contexts=np.zeros((items, d), np.float32),
        sessions=held,
        gains=np.zeros(rows),
        recent=np.zeros(4096, np.int64),
        top=np.zeros(memory.TOP, np.int64),
        weights=weights,
        **_scratch(how, items, rows),
    )


def _scratch(how: Ranking, items: int, rows: int) -> dict[str, np.ndarray]:
    """The part of a memory that is empty between calls, and the weights of an item by its distance."""
    distance = np.arange(memory.KEPT_CLICKS + 1.0)
    return {
        "decay": np.where(distance == 0, 1.5, np.exp(-distance / how.distance_decay)),
        "similar": np.zeros(rows),
        "score": np.zeros(items),
        "place": np.full(items, -1, np.int64),
        "extra": np.zeros((items, 3)),
        "touched": np.zeros(max(rows, items, _SCRATCH), np.int64),
        "best": np.zeros(_SCRATCH),
        "which": np.zeros(_SCRATCH, np.int64),
    }


def _told(how: Ranking) -> np.ndarray:
    """What the kernels are told."""
    indexed, follows, vectors = KINDS[how.kind]
    told = np.zeros(memory.HOW)
    told[memory.KIND] = list(KINDS).index(how.kind)
    told[memory.K], told[memory.RECENT] = how.k, how.recent
    told[memory.NEIGHBOURS], told[memory.STEP_DECAY] = how.neighbours, how.step_decay
    told[memory.AGE_DECAY], told[memory.HALF_LIFE] = span(how.age_decay), span(how.half_life)
    told[memory.STEPS], told[memory.SUCCESSORS] = how.steps if follows else 0, how.successors
    told[memory.INDEXED] = indexed
    told[memory.VECTORS] = vectors
    told[memory.RATE] = how.rate
    told[memory.MOST_SESSIONS] = how.sessions
    return told


def _power(n: int) -> int:
    return 1 << max(6, (n - 1).bit_length())
