"""Search on the stream: members of a blend that fall behind give way to settings that won a race on recent rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from rtml.core.clock import NEVER
from rtml.core.later import pd
from rtml.models.blend import Blend, CompiledBlend
from rtml.models.clip import Clip
from rtml.models.compiled import compile, restore
from rtml.models.parts import linear_model, optim, preprocessing
from rtml.models.per_key import Columns
from rtml.models.rls import RecursiveLeastSquares
from rtml.models.rows import RowModel, check_names

RING = 512  # last answers on which settings race
EVERY = 256  # answers between two races
RACERS = 6  # settings in a race; half of them go on after a quarter of the rows, half of those after half
SLACK = 0.02  # by which the winner may lose more than what was served
WEIGHT = 0.05  # of a member that joins
KEPT = 512  # last rows of the ledger
DROPPED = "dropped"
LOST = "lost the last lap"
JOINED = "joined"
#: Members beside those searched for are fewer than a blend has, so that both cost the same.
_FEW = {"forgetting": (1.0, 0.998), "ridge": (100.0,), "rates": (0.03,), "outside": 9}
_SETTINGS = ("descent", "forgetting or rate", "ridge", "clip", "subset")


class Part(Columns):
    """A model that looks at some of the columns.

    Parameters
    ----------
    names
        Names of all columns.
    model
        Model of some of them.

    Examples
    --------
    >>> from rtml.models.baselines import RunningMean
    >>> from rtml.models.compiled_baselines import baseline_twin
    >>> part = Part(["a", "b"], baseline_twin(RunningMean(), ("b",)))
    >>> part.describe(), Part.of(part.state).predict(np.array([1.0, 2.0]))
    ('RunningMean of b', 0.0)
    """

    twin = "rtml.models.search:Part"

    def __init__(self, names: Sequence[str], model: RowModel) -> None:
        super().__init__(check_names(names), model, [names.index(name) for name in model.names])

    @classmethod
    def of(cls, state: dict) -> Part:
        """Model of a state."""
        return cls(state["names"], restore(state["model"]))

    def describe(self) -> str:
        """The model and its columns."""
        return f"{self.model.describe()} of {', '.join(self.model.names)}"


class CompiledSearch(CompiledBlend):
    """A blend whose outside places are searched for: what ``compile`` makes of ``Search``.

    Every 256 answers six settings race over the last 512: each predicts a row, then learns it. Half of those left
    stop after a quarter and after half of the rows (successive halving, Jamieson and Talwalkar, "Non-stochastic best
    arm identification and hyperparameter optimization", 2016). Where the winner lost less over the last half than the
    worst member did on the same answers, and no more than 2 % more than what was served, it takes that place, warm.
    Everything follows from the answers and the seed; no clock is read. Races cost 5.5 model-events an answer.
    """

    twin = "rtml.models.search:CompiledSearch"
    _ARRAYS = (*CompiledBlend._ARRAYS, "_ring", "_born", "_slots", "_tried")

    def __init__(self, names: Sequence[str], classifier: bool = False, how: dict | None = None) -> None:
        if classifier:
            raise ValueError("a search is for numbers: of a probability it was no better than the blend")
        super().__init__(names, classifier, _FEW | (how or {}))
        places = self.how["outside"]
        self.answers = 0
        self._ring = np.full((RING, len(self.names) + 2 + places), np.nan)  # row, answer, loss served, of each place
        self._born = np.full(places, -NEVER)  # until when questions were asked of who was there before
        self._slots = np.full((places, len(_SETTINGS)), np.nan)
        self._tried = np.empty((0, len(_SETTINGS) + 4))

    @property
    def ledger(self) -> pd.DataFrame:
        """The last settings tried: when (answers learned), what, over how many rows, at what loss, what came of it."""
        table = pd.DataFrame(self._tried, columns=["answers", *_SETTINGS, "rows", "loss", "outcome"])
        table["outcome"] = [(DROPPED, LOST, JOINED)[int(k)] for k in table["outcome"]]
        return table.astype({"answers": int, "rows": int, "subset": int, "descent": bool})

    def learn(self, x: np.ndarray, y: float) -> None:
        """Learn an answer without times: as if it had been asked just now."""
        self.learn_at(x, y, self.predict_at(x, 0), NEVER, 0)

    def learn_at(self, x: np.ndarray, y: float, kept: np.ndarray, moment: int, known: int) -> None:
        """Learn the answer of a question from what was kept when it was asked, or refuse it and stay as it was."""
        kept = self._awake(np.array(kept, float)[None], np.array([moment]))
        super().learn_at(x, y, kept[0], moment, known)
        self._note(np.asarray(x, float)[None], np.array([float(y)]), kept, known)

    def replay_at(self, X, y, kept, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask the last rows at their moments and take answers once known, in parts that end where a race is due."""
        waits, taken = len(kept), 0
        last = max(until, moment[-1] - 1) if len(moment) > waits else until
        order = order[: np.searchsorted(known[order], last, "right")]
        while True:
            answered = taken + np.flatnonzero(~np.isnan(y[order[taken:]]))
            due = EVERY - self.answers % EVERY
            stop, at = len(order), until
            end = len(moment)
            if len(answered) >= due:
                stop = int(answered[due - 1]) + 1
                at = int(known[order[stop - 1]])
                end = max(waits + int(np.searchsorted(moment[waits:], at, "right")), len(kept))
            kept, part = self._awake(kept, moment[: len(kept)]), order[taken:stop]
            new, _ = super().replay_at(X[:end], y[:end], kept, moment[:end], known, part, at)
            kept, taken = np.concatenate([kept, new]), stop
            learned = part[~np.isnan(y[part])]
            self._note(X[learned], y[learned], kept[learned], at)
            if len(answered) < due:
                return kept[waits:], taken

    @property
    def state(self) -> dict:
        """Everything learned, what was tried, and all that is needed to go on from it, as flat arrays."""
        return super().state | {"answers": self.answers}

    def load(self, state: dict, restore: Callable = restore) -> None:
        """Go on from a state of this very model."""
        super().load(state, restore)
        self.answers = int(state["answers"])

    @classmethod
    def of(cls, state: dict, restore: Callable = restore) -> CompiledSearch:
        """Model of a state."""
        return super().of(state, restore)

    def describe(self) -> str:
        """How many members there are, and how many of them are searched for."""
        return f"Search({len(self.members)} members, {self.how['outside']} of them searched for)"

    def _awake(self, kept: np.ndarray, moment: np.ndarray) -> np.ndarray:
        """What was kept, without what a member said whose place another has by now."""
        kept = kept.copy()
        predicted = kept[:, 1 + self._first : 1 + self._first + len(self._born)]
        predicted[moment[:, None] <= self._born] = np.nan
        return kept

    def _note(self, X: np.ndarray, y: np.ndarray, kept: np.ndarray, known: int) -> None:
        """Put learned answers and what each place lost on them into the ring; race when it is time."""
        at = (self.answers + np.arange(len(y))) % RING
        predicted = kept[:, 1 + self._first : 1 + self._first + len(self._born)]
        self._ring[at] = np.column_stack([X, y, (y[:, None] - np.column_stack([kept[:, 0], predicted])) ** 2])
        self.answers += len(y)
        if len(y) and self.answers % EVERY == 0:
            self._race(known)

    def _race(self, known: int) -> None:
        """Let fresh settings race over the ring, and the winner take the place of the worst member."""
        d, n = len(self.names), min(self.answers, RING)
        ring = np.roll(self._ring, -(self.answers % RING), axis=0)[RING - n :]
        late = ring[n // 2 :, d + 1 :]
        lost = np.where(np.isnan(late[:, 1:]).any(axis=0), np.inf, late[:, 1:].mean(axis=0))
        drawn = self._draw(np.random.default_rng((self.how["seed"], self.answers)), int(lost.argmin()))
        racers, losses = [self._model(settings) for settings in drawn], np.full((RACERS, n), np.nan)
        left, rows = np.arange(RACERS), np.zeros((RACERS, 3))
        for start, stop in pairwise([0, n // 4, n // 2, n]):
            at, y = np.arange(stop - start), ring[start:stop, d].copy()
            for k in left:
                p, _ = racers[k].replay(np.ascontiguousarray(ring[start:stop, :d]), y, 2 * at, 2 * at + 1, at, NEVER)
                losses[k, start:stop] = (y - p) ** 2
                rows[k] = stop, losses[k, start:stop].mean(), stop == n
            left = left[np.argsort(rows[left, 1], kind="stable")][: max(len(left) // 2, 1)]
        winner, worst = left[0], int(lost.argmax())
        if rows[winner, 1] < min(lost[worst], (1.0 + SLACK) * late[:, 0].mean()):
            rows[winner, 2] = 2.0
            self._replace(worst, drawn[winner], racers[winner], losses[winner], known)
        tried = np.column_stack([np.full(RACERS, float(self.answers)), drawn, rows])
        self._tried = np.concatenate([self._tried, tried])[-KEPT:]

    def _replace(self, place: int, settings: np.ndarray, model: RowModel, losses: np.ndarray, known: int) -> None:
        if place in self.outside:
            self.leave(self.outside[place][0])
        kind = "descent" if settings[0] else "forgetting"
        self.join(f"{kind} {settings[1]:.4g} since {self.answers}", model, weight=WEIGHT)
        at = (self.answers - len(losses) + np.arange(len(losses))) % RING
        self._ring[at, len(self.names) + 2 + place] = losses
        self._slots[place], self._born[place] = settings, known

    def _draw(self, rng: np.random.Generator, best: int) -> np.ndarray:
        """Settings of a race: half of them near those of the best member, half anywhere."""
        drawn = np.empty((RACERS, len(_SETTINGS)))
        for k, row in enumerate(drawn):
            near = k % 2 == 0 and best in self.outside
            old = self._slots[best]
            row[0] = old[0] if near else rng.random() < 0.25
            fade = rng.uniform(-3.5, -1.0) if row[0] else rng.uniform(-4.0, -1.0)
            row[2] = 10.0 ** rng.uniform(-1.0, 3.0)
            row[3] = rng.choice([2.0, 4.0, 8.0, 16.0])
            row[4] = rng.integers(1, 2**31) if rng.random() < 0.3 else 0.0
            if near:
                fade = np.log10(old[1] if old[0] else 1.0 - old[1]) + rng.normal(0.0, 0.3)
                row[2] = old[2] * 10.0 ** rng.normal(0.0, 0.4)
                row[3], row[4] = old[3], old[4] if rng.random() < 0.7 else row[4]
            fade = 10.0 ** min(max(fade, -5.0), -0.5)
            row[1] = fade if row[0] else 1.0 - fade
        return drawn

    def _model(self, settings: np.ndarray) -> RowModel:
        """A fresh model of these settings."""
        descent, memory, ridge, clip, subset = settings.tolist()
        chosen = np.random.default_rng(int(subset)).random(len(self.names)) < 0.6
        names = [name for name, sees in zip(self.names, chosen, strict=True) if sees or not subset] or list(self.names)
        if descent:
            last = linear_model.LinearRegression(optim.SGD(memory), intercept_lr=memory)
        else:
            last = RecursiveLeastSquares(ridge, memory)
        made = compile(preprocessing.StandardScaler() | Clip(clip) | last, names)
        return made if len(names) == len(self.names) else Part(self.names, made)


class Search(Blend):
    """Learners of a number in one pass, some of them searched for while the stream goes on.

    A :class:`rtml.models.blend.Blend` of fewer members, whose outside places are filled by races between settings of
    least squares and gradient descent: forgetting or rate, ridge, clip and which features it sees
    (:class:`CompiledSearch`). With its parameters as they are it costs the same model-events an answer as the blend.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> model = Search(random=0)
    >>> for a, b in rng.normal(size=(600, 2)):
    ...     model.learn_one({"a": a, "b": b}, 2.0 * a - b)
    >>> round(model.predict_one({"a": 3.0, "b": 1.0})), len(model._model.ledger)
    (5, 12)
    """

    _usual = _FEW

    def _made(self, names: Sequence[str], classes: Sequence[str | int] = ()) -> CompiledSearch:
        return CompiledSearch(names, how=self.how)
