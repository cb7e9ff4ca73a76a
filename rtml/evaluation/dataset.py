"""A dataset: the questions of a recorded stream with the answers that came later, computed by the live path itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rtml.core.clock import NEVER
from rtml.core.later import pd
from rtml.core.questions import Questions
from rtml.core.target import Target, by_name
from rtml.store.protocols import EventLog
from rtml.training.flow import Flow
from rtml.training.run_config import RunConfig

_PLACES = 500  # at how many places a stream may be split, at least


@dataclass(frozen=True, eq=False)
class Dataset:
    """Questions of a stream with their answers, and where in the log each was asked.

    ``questions`` has the answers of the first label, ``key`` the key of each question (place in ``keys``); ``more`` has
    ``y`` and ``known`` of further labels (several horizons). ``offset[i]`` is the offset of the log up to which a flow
    must read to have asked question ``i``. ``closed`` is what the operator closed, such as bars, indexed by its end.
    """

    questions: Questions
    offset: np.ndarray
    key: np.ndarray
    keys: tuple[str, ...]
    targets: tuple[Target, ...]
    closed: pd.DataFrame
    more: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.questions)

    def __getitem__(self, part: slice) -> Dataset:
        """A stretch of the questions; what was closed stays whole."""
        return self._with(part, part)

    def of(self, target: str = "", key: str = "") -> Questions:
        """The questions with what a target learns of their answers; all keys unless one is named.

        Raises
        ------
        LookupError
            Where there is no such target or key.
        """
        chosen = self.target(target)
        q, (y, known) = self.questions, self.more.get(chosen.label, (self.questions.y, self.questions.known))
        if key:
            if key not in self.keys:
                raise LookupError(f"no key {key!r}; there are: {', '.join(self.keys)}")
            part = self.key == self.keys.index(key)
        else:
            part = slice(None)
        return Questions(q.id[part], q.moment[part], q.X[part], chosen.learned(y[part]), known[part], q.names)

    def target(self, name: str = "") -> Target:
        """A target by name, the first unless named."""
        named = by_name(self.targets)
        if name and name not in named:
            raise LookupError(f"no target {name!r}; there are: {', '.join(named)}")
        return named[name] if name else self.targets[0]

    def _with(self, part, rows) -> Dataset:
        more = {label: (y[rows], known[rows]) for label, (y, known) in self.more.items()}
        about = (self.key[rows], self.keys, self.targets, self.closed, more)
        return Dataset(self.questions[part], self.offset[rows], *about)

    def split(self, share: float) -> tuple[int, int]:
        """Offset of the log, and number of questions asked by then, at about a share of all questions."""
        if not 0 < share < 1:
            raise ValueError(f"the share before the split must lie between 0 and 1, got {share}")
        offset = int(self.offset[min(int(share * len(self)), len(self) - 1)])
        return offset, int(np.searchsorted(self.offset, offset, side="right"))

    def frame(self) -> pd.DataFrame:
        """One row for each question: features, answer and when it was known; indexed by moment (UTC)."""
        q = self.questions
        frame = pd.DataFrame(q.X, columns=list(q.names), index=pd.to_datetime(q.moment, utc=True).rename("moment"))
        frame = frame.assign(y=q.y, known=_times(q.known), id=q.id, offset=self.offset, of_key=self.key)
        for label, (y, known) in self.more.items():
            frame[f"y {label}"] = y
            frame[f"known {label}"] = _times(known)
        return frame

    def write(self, folder: Path) -> None:
        """Keep it as ``questions.parquet`` and ``closed.parquet``, beside the run's ``recipe.json``."""
        self.frame().to_parquet(folder / "questions.parquet")
        if len(self.closed):
            self.closed.to_parquet(folder / "closed.parquet")

    @classmethod
    def read(cls, folder: Path) -> Dataset:
        """Dataset of :meth:`write`."""
        frame, config = pd.read_parquet(folder / "questions.parquet"), RunConfig.read(folder / "recipe.json")
        names = tuple(frame.columns[: frame.columns.get_loc("y")])
        columns = (frame["id"].to_numpy(), _ns(frame.index), frame[list(names)].to_numpy(), frame["y"].to_numpy())
        questions = Questions(*columns, _known(frame["known"]), names)
        labels = [name.removeprefix("y ") for name in frame.columns if name.startswith("y ")]
        more = {label: (frame[f"y {label}"].to_numpy(), _known(frame[f"known {label}"])) for label in labels}
        path = folder / "closed.parquet"
        closed = pd.read_parquet(path) if path.exists() else pd.DataFrame()
        key = frame["of_key"].to_numpy(np.int32)
        return cls(questions, frame["offset"].to_numpy(), key, config.keys, config.targets, closed, more)


def build(log: EventLog, part: str, config: RunConfig, done: Callable[[int], object] = int) -> Dataset:
    """Run a whole part of the log through a flow without learners; ``done`` gets the number of events of each chunk."""
    flow = config.flow(learning=False)
    outcomes = []
    places = []
    after = 0
    chunk = max(1, min(1000, log.count(part) // _PLACES))
    while True:
        offsets, rows = log.read(part, after, 50_000)
        if not len(rows):
            break
        for start in range(0, len(rows), chunk):
            outcomes.append(flow.push(rows[start : start + chunk]))
            last = offsets[min(start + chunk, len(rows)) - 1]
            places.append(np.full(len(outcomes[-1].moment), last))
        after = int(offsets[-1])
        done(len(rows))
    if not sum(map(len, places)):
        raise ValueError(f"no question was asked in {log.count(part)} events of {log.name}: the stream is too short")
    return _joined(outcomes, np.concatenate(places), flow, config)


def _joined(outcomes: list, offset: np.ndarray, flow: Flow, config: RunConfig) -> Dataset:
    names = ("id", "moment", "key", "answered", "y", "known", "label")
    found = {name: np.concatenate([getattr(outcome, name) for outcome in outcomes]) for name in names}
    place = pd.Index(found["id"]).get_indexer(found["answered"])
    labels = list(dict.fromkeys(target.label for target in config.targets))
    answers = {label: _answers(found, place, number) for number, label in enumerate(labels)}
    X = np.concatenate([outcome.X for outcome in outcomes])
    questions = Questions(found["id"], found["moment"], X, *answers[labels[0]], flow.features.names)
    closed = np.concatenate([outcome.closed for outcome in outcomes])
    frame = closed_frame(closed) if closed.size else pd.DataFrame()
    more = {label: answers[label] for label in labels[1:]}
    return Dataset(questions, offset, found["key"], config.keys, config.targets, frame, more)


def _answers(found: dict, place: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
    """``y`` and ``known`` of every question for one label; NaN and NEVER where there is no answer."""
    part = found["label"] == label
    y = np.full(len(found["id"]), np.nan)
    known = np.full(len(y), NEVER)
    y[place[part]] = found["y"][part]
    known[place[part]] = found["known"][part]
    return y, known


def closed_frame(closed: np.ndarray, key: int | None = None) -> pd.DataFrame:
    """What an operator closed, shape (n, keys), as a frame indexed by its end (UTC): one key's, or all of them.

    Examples
    --------
    >>> closed = np.array([[(0, 1.5)], [(10**9, 2.5)]], [("end", "i8"), ("price", "f8")])
    >>> closed_frame(closed, 0)["price"].tolist()
    [1.5, 2.5]
    """
    rows = closed.ravel() if key is None else closed[:, key]
    left_out = {"end", "last_time"} | ({"key"} if key is not None else set())
    frame = pd.DataFrame({name: rows[name] for name in rows.dtype.names if name not in left_out})
    return frame.set_index(pd.to_datetime(rows["end"], utc=True).rename("end"))


def _times(known: np.ndarray) -> pd.Series:
    never = known == NEVER
    return pd.to_datetime(np.where(never, 0, known), utc=True).where(~never)


def _known(times: pd.Series) -> np.ndarray:
    filled = times.fillna(pd.Timestamp(0, tz="UTC"))
    return np.where(times.isna(), NEVER, _ns(filled))


def _ns(times) -> np.ndarray:
    return pd.DatetimeIndex(times).as_unit("ns").asi8
