"""A dataset: the questions of a recorded stream with the answers that came later, computed by the live path itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rtml.core.clock import NEVER
from rtml.core.questions import Questions
from rtml.store.event_log import EventLog
from rtml.training.flow import Flow
from rtml.usecases.crypto.labels import TARGETS

_PLACES = 500  # at how many places a stream may be split, at least


@dataclass(frozen=True, eq=False)
class Dataset:
    """Bars of the target, questions with their returns (bp), and where in the log each question was asked.

    ``offset[i]`` is the offset of the log up to which a flow must read to have asked question ``i``.
    """

    bars: pd.DataFrame
    questions: Questions
    offset: np.ndarray

    def __len__(self) -> int:
        return len(self.questions)

    def __getitem__(self, part: slice) -> Dataset:
        """A stretch of the questions; the bars stay whole."""
        return Dataset(self.bars, self.questions[part], self.offset[part])

    def of(self, target: str) -> Questions:
        """The same questions with the answers of another target: return, sign or volatility."""
        q = self.questions
        return Questions(q.id, q.moment, q.X, TARGETS[target](q.y), q.known, q.names)

    def split(self, share: float) -> tuple[int, int]:
        """Offset of the log, and number of questions asked by then, at about a share of all questions."""
        if not 0 < share < 1:
            raise ValueError(f"the share before the split must lie between 0 and 1, got {share}")
        offset = int(self.offset[min(int(share * len(self)), len(self) - 1)])
        return offset, int(np.searchsorted(self.offset, offset, side="right"))

    def frame(self) -> pd.DataFrame:
        """One row a question: features, return and when it was known; indexed by moment (UTC)."""
        q = self.questions
        frame = pd.DataFrame(q.X, columns=list(q.names), index=pd.to_datetime(q.moment, utc=True).rename("moment"))
        never = q.known == NEVER
        known = pd.to_datetime(np.where(never, 0, q.known), utc=True).where(~never)
        return frame.assign(y=q.y, known=known, id=q.id, offset=self.offset)

    def write(self, folder: Path) -> None:
        """Keep it as ``questions.parquet`` and ``bars.parquet``."""
        self.frame().to_parquet(folder / "questions.parquet")
        self.bars.to_parquet(folder / "bars.parquet")

    @classmethod
    def read(cls, folder: Path) -> Dataset:
        """Dataset of :meth:`write`."""
        frame = pd.read_parquet(folder / "questions.parquet")
        names = tuple(frame.columns[: frame.columns.get_loc("y")])
        known = np.where(frame["known"].isna(), NEVER, _ns(frame["known"].fillna(frame.index[0])))
        columns = (frame["id"].to_numpy(), _ns(frame.index), frame[list(names)].to_numpy(), frame["y"].to_numpy())
        questions = Questions(*columns, known, names)
        return cls(pd.read_parquet(folder / "bars.parquet"), questions, frame["offset"].to_numpy())


def build(log: EventLog, part: str, flow: Flow, done: Callable[[int], object] = int) -> Dataset:
    """Run a whole part of the log through a flow without learners; ``done`` is told the events of each chunk."""
    outcomes, places, after = [], [], 0
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
        raise ValueError(
            f"no question was asked in {log.count(part)} events of {log.path.name}: the stream is too short"
        )
    return _joined(outcomes, np.concatenate(places), flow)


def _joined(outcomes: list, offset: np.ndarray, flow: Flow) -> Dataset:
    names = ("id", "moment", "answered", "y", "known")
    id, moment, answered, y, known = (np.concatenate([getattr(o, name) for o in outcomes]) for name in names)
    place = pd.Index(id).get_indexer(answered)
    returns, when = np.full(len(moment), np.nan), np.full(len(moment), NEVER)
    returns[place], when[place] = y, known
    X = np.concatenate([o.X for o in outcomes])
    questions = Questions(id, moment, X, returns, when, flow.features.names)
    bars = np.concatenate([o.bars for o in outcomes])
    return Dataset(bars_frame(bars[:, 0]) if bars.size else pd.DataFrame(), questions, offset)


def bars_frame(bars: np.ndarray) -> pd.DataFrame:
    """Bars of one symbol as a frame, indexed by their end (UTC)."""
    frame = pd.DataFrame({name: bars[name] for name in bars.dtype.names if name not in ("end", "key", "last_time")})
    return frame.set_index(pd.to_datetime(bars["end"], utc=True).rename("end"))


def _ns(times) -> np.ndarray:
    return pd.DatetimeIndex(times).as_unit("ns").asi8
