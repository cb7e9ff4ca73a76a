"""Lists: the newest one of a visitor who is here, one computed before for others, for strangers what is popular."""

from __future__ import annotations

import heapq
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rtml.core.clock import Clock, span
from rtml.store.event_log import EventLog
from rtml.store.online import OnlineStore
from rtml.training.flow import Outcome
from rtml.training.run_config import PART
from rtml.usecases.sessions.kernels.memory import OWN, VISITOR
from rtml.usecases.sessions.session_model import SessionModel

GROUP, LENGTH = "lists", 20  # of the online store: one list a visitor
_READ, _LOOK_BACK = 50_000, 1_000_000  # events read at once, and from the end of a log that is long
_POPULAR = 200  # events after which what is popular is counted again


class Newest(NamedTuple):
    """The newest question of a visitor or session, and the list that is served for it."""

    moment: int
    id: int
    x: np.ndarray
    items: np.ndarray
    version: str


@dataclass(frozen=True)
class Saved:
    """What one computation of stored lists took, and what it saved: lists of visitors who have not come lately.

    Examples
    --------
    >>> Saved(known=1000, active=100, computed=50, seconds=0.1).saved
    0.95
    """

    known: int
    active: int
    computed: int
    seconds: float

    @property
    def saved(self) -> float:
        """Share of the visitors known whose list was not computed."""
        return 1.0 - self.computed / self.known if self.known else 0.0


class Lists:
    """The newest list of everybody who is here, and stored ones of everybody who was here lately.

    Parameters
    ----------
    store
        Online store, a file; ``":memory:"`` keeps nothing.
    active
        Visitors who clicked within this time get a list when lists are computed, others do not.
    ttl
        Age from which on a stored list is stale, and not given.
    most
        Visitors, and sessions with an id of their own, whose newest question is kept.
    """

    def __init__(
        self, store: str | Path = ":memory:", active: str = "1d", ttl: str = "7d", most: int = 100_000
    ) -> None:
        self.store = OnlineStore(store)
        self.active, self._most = span(active), most
        self.store.declare(GROUP, [f"item_{k + 1}" for k in range(LENGTH)], ttl=ttl)
        self._newest: dict[bool, OrderedDict[int, Newest]] = {False: OrderedDict(), True: OrderedDict()}
        self._known: set[int] = set()
        self._lock, self._clock = threading.Lock(), Clock()
        self.saved = Saved(0, 0, 0, 0.0)  #: of the last computation

    def take(self, outcome: Outcome, target: str, version: str) -> None:
        """Keep what was just served."""
        columns = (outcome.moment.tolist(), outcome.id.tolist(), outcome.X, outcome.predictions[target])
        with self._lock:
            for moment, id, x, items in zip(*columns, strict=True):
                newest = Newest(moment, id, x, items, version)
                for own, who in ((False, int(x[VISITOR])), (True, int(x[OWN]))):
                    if who >= 0:
                        self._keep(self._newest[own], who, newest)
                if x[VISITOR] >= 0:
                    self._known.add(int(x[VISITOR]))

    def newest(self, who: int, own: bool = False) -> Newest | None:
        """The newest question of a visitor, or of a session with an id of its ``own``."""
        return self._newest[own].get(who)

    def compute(self, ranker: SessionModel, version: str, now: int) -> Saved:
        """Compute and store the list of every active visitor, and of nobody else."""
        started = self._clock.elapsed()
        with self._lock:
            known = len(self._known)
            active = {who: one for who, one in self._newest[False].items() if now - one.moment <= self.active}
        lists = np.full((len(active), LENGTH), np.nan)
        for row, one in zip(lists, active.values(), strict=True):
            items = np.asarray(ranker.predict(one.x))[:LENGTH]
            row[: len(items)] = items
        who = np.fromiter(active, np.int64, len(active))
        self.store.put_many(GROUP, who, np.full(len(who), now), lists, definition=version)
        self.saved = Saved(known, len(active), len(lists), (self._clock.elapsed() - started) / 1e9)
        return self.saved

    def stored(self, who: int, now: int) -> tuple[list[int], float, str]:
        """The stored list of a visitor, its age in seconds and its version; empty where there is none that is fresh."""
        found = self.store.get(GROUP, who, now)
        if found.missing or found.stale:
            return [], np.nan, ""
        return found.values[np.isfinite(found.values)].astype(np.int64).tolist(), found.ages[0] / 1e9, found.definition

    def _keep(self, kept: OrderedDict[int, Newest], who: int, newest: Newest) -> None:
        kept[who] = newest
        kept.move_to_end(who)
        if len(kept) > self._most:
            kept.popitem(last=False)


class Catalogue:
    """What the log says of items: category, price, and how popular each is now; read on as the log grows.

    Parameters
    ----------
    log
        Of the clicks.
    half_life
        Of popularity, event time.
    """

    def __init__(self, log: EventLog, half_life: str = "1d") -> None:
        self._log, self._half_life = log, span(half_life)
        self._offset, self._lock = max(log.last(PART) - _LOOK_BACK, 0), threading.Lock()
        self.category: dict[int, int] = {}
        self.price: dict[int, float] = {}
        self._weight: dict[int, float] = defaultdict(float)
        self._origin, self._counted = 0, -1
        self._order: dict[int, list[int]] = {}

    def read(self) -> Catalogue:
        """Take in what was logged since."""
        with self._lock:
            while len(rows := self._log.read(PART, self._offset, _READ)[1]):
                self._offset += len(rows)
                self._take(rows)
        return self

    def popular(self, n: int, category: int = -1) -> list[int]:
        """The most popular items, of one category where it is given."""
        if self._counted != self._offset // _POPULAR:
            self._counted, self._order = self._offset // _POPULAR, {}
        if len(order := self._order.get(category, [])) < n:
            some = [item for item in self._weight if category in (-1, self.category.get(item, -2))]
            order = self._order[category] = heapq.nlargest(max(n, 64), some, key=self._weight.__getitem__)
        return order[:n]

    def _take(self, rows: np.ndarray) -> None:
        self._origin = self._origin or int(rows["time"][0])
        ages = (rows["time"] - self._origin) / self._half_life
        if ages.max() > 500.0:  # in half-lives: weights are brought down before they overflow
            self._weight = defaultdict(float, {item: w * 2.0 ** -ages.max() for item, w in self._weight.items()})
            self._origin += int(ages.max() * self._half_life)
            ages -= ages.max()
        items, last, place = np.unique(rows["item"][::-1], return_index=True, return_inverse=True)
        weights = np.bincount(place, (2.0**ages)[::-1])
        newest = rows[::-1][last]
        columns = (items.tolist(), weights.tolist(), newest["category"].tolist(), newest["price"].tolist())
        for item, weight, category, price in zip(*columns, strict=True):
            self._weight[item] += weight
            if category >= 0:
                self.category[item] = category
            if price == price:
                self.price[item] = price


def merged(k: int, sources: Sequence[tuple[str, Sequence[int]]], allowed) -> list[tuple[int, str]]:
    """The first ``k`` allowed items of several lists, one after the other, each once, with the list it is of.

    Examples
    --------
    >>> merged(3, [("session", [7, 8]), ("popular", [8, 9, 5])], lambda item: item != 7)
    [(8, 'session'), (9, 'popular'), (5, 'popular')]
    """
    chosen: dict[int, str] = {}
    for name, items in sources:
        for item in items:
            if len(chosen) == k:
                break
            if item not in chosen and allowed(item):
                chosen[item] = name
    return list(chosen.items())
