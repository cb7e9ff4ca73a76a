"""A shop's visits: every click asks for the next one of its session, and the next click answers it."""

from __future__ import annotations

from collections import Counter, OrderedDict
from operator import itemgetter

import numpy as np

from rtml.core.clock import span, utc
from rtml.core.later import pd
from rtml.core.operator import NOTHING, Asked, Leak
from rtml.core.state import digest
from rtml.usecases.sessions.events import VIEW

_NONE = -1.0  # where a session has no further item
_HEAD = {
    "session": ("number", "number of the session, in the order in which sessions begin"),
    "length": ("count", "clicks of the session so far, this one included"),
    "dwell": ("s", "since the click before; 0 on the first"),
    "visits": ("count", "earlier sessions of the visitor; -1 where only a session id is known"),
    "visitor": ("number", "number of the visitor's id, -1 where it is not known"),
    "own": ("number", "number of the session's own id, -1 where it has none"),
}


class LastItems:
    """The columns of a question: the session so far, its newest ``n`` items first.

    Examples
    --------
    >>> LastItems(2).names[-2:], LastItems(2).definition == LastItems(3).definition
    (('item_1', 'item_2'), False)
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self.names = (*_HEAD, *(f"item_{k + 1}" for k in range(n)))
        self.definition = digest(" ".join(self.names).encode())[:12]

    def catalogue(self) -> pd.DataFrame:
        """One row a column: unit and meaning."""
        rows = list(_HEAD.values())
        rows += [("item", f"the item clicked {k} clicks ago, -1 where there is none") for k in range(self.n)]
        return pd.DataFrame(rows, columns=["unit", "meaning"], index=pd.Index(self.names, name="feature"))


class Visits:
    """Clicks in, questions out; the next click of a session answers the question of the one before.

    A click belongs to the session of its session id where it has one, else of its visitor; a session ends when nothing
    was clicked for a gap, and its last question is then closed without an answer. A click that comes late is taken when
    it comes, at the moment of the newest event before it, and counted. A session of more clicks than a person makes is
    a robot's: it is asked and learned from no more until it has been quiet for a gap. Other actions than a view (a
    cart, a purchase) are counted, and neither ask nor answer.

    Parameters
    ----------
    gap
        Quiet time after which a visitor's session has ended.
    own_gap
        The same for sessions that carry an id of their own.
    last
        Items of a session that a question sees.
    most
        Clicks of a session; one more makes it a robot's.
    remember
        How long a visitor is known after the last click, to tell new visitors from old ones.
    visitors
        Most visitors known; then those seen longest ago are forgotten, and counted.

    Examples
    --------
    >>> from rtml.usecases.sessions.events import clicks
    >>> visits = Visits(last=2)
    >>> asked = visits.push(clicks([10, 20, 30], visitor=[1, 1, 2], item=[7, 8, 9]))
    >>> asked.id, asked.answered, asked.y, asked.known
    (array([0, 1, 2]), array([0]), array([8.]), array([20]))
    """

    horizon = 0  # a click comes when it comes

    def __init__(
        self,
        gap: str = "30m",
        own_gap: str = "2h",
        last: int = 20,
        most: int = 500,
        remember: str = "30d",
        visitors: int = 1_000_000,
    ) -> None:
        if last < 1 or most < 2 or visitors < 1:
            raise ValueError(f"last and visitors must be at least 1 and most 2, got {last}, {visitors} and {most}")
        self.features = LastItems(last)
        self.gap = span(gap)
        self.own_gap = span(own_gap)
        self.most = most
        self.remember = span(remember)
        self.visitors = visitors
        self._clock = 0
        self._asked = 0
        self._begun = 0
        # by whom (visitor, or ~session): [number, clicks, question that waits or -1, last click, earlier visits, items]
        self._live: tuple[OrderedDict, OrderedDict] = (OrderedDict(), OrderedDict())
        self._held: list = []  # answers that leave once time has passed
        self._seen: OrderedDict[int, tuple[int, int]] = OrderedDict()  # visitor: sessions, last session's begin
        self._counts: Counter[str] = Counter()

    def push(self, events: np.ndarray) -> Asked:
        """Take clicks in order of arrival; ask at every one, answer the one before once time has passed."""
        events = events[events["action"] == VIEW] if self._count_actions(events) else events
        time = np.maximum.accumulate(np.maximum(events["time"], self._clock))
        self._counts["late"] += int((events["time"] < time).sum())
        rows, answers = np.full((len(events), len(self.features.names)), _NONE), []
        ids, asks = np.full(len(events), -1, np.int64), self._asked
        fields = (time, events["visitor"], events["session"], events["item"])
        for i, (at, visitor, session, item) in enumerate(zip(*(f.tolist() for f in fields), strict=True)):
            if at > self._clock:
                self._pass(at, answers)
            if self._click(at, visitor, session, item, rows[i]):
                ids[i] = self._asked
                self._asked += 1
        asked = ids >= 0 if self._asked - asks < len(ids) else slice(None)
        answered, y, known = (np.array(c) for c in zip(*answers, strict=True)) if answers else ((), (), ())
        when = np.asarray(known, np.int64)
        told = (np.asarray(answered, np.int64), np.asarray(y, np.float64), when)
        return Asked(NOTHING, ids[asked], time[asked], rows[asked], *told)

    def counts(self) -> dict[str, int]:
        """Late clicks, clicks of robots, robots, other actions, questions closed, visitors forgotten, sessions."""
        names = ("late", "robot_clicks", "robots", "other_actions", "closed", "forgotten")
        return {name: self._counts[name] for name in names} | {"sessions": self._begun, "open": self.open}

    @property
    def open(self) -> int:
        """Questions that wait for their answer."""
        return sum(entry[2] >= 0 for live in self._live for entry in live.values()) + len(self._held)

    def check(self, asked: Asked) -> str:
        """Look every answer up in the questions: it is the newest item of the next question of the same session."""
        order = np.lexsort((asked.id, asked.X[:, 0]))
        follows = np.flatnonzero(asked.X[order[1:], 0] == asked.X[order[:-1], 0])
        before, after = order[follows], order[follows + 1]
        item = dict(zip(asked.id[before].tolist(), asked.X[after, len(_HEAD)].tolist(), strict=True))
        moment = dict(zip(asked.id[before].tolist(), asked.moment[after].tolist(), strict=True))
        begun = dict(zip(asked.id.tolist(), asked.moment.tolist(), strict=True))
        if len(set(asked.answered.tolist())) < len(asked.answered):
            raise Leak("a question was answered twice")
        for id, y, known in zip(asked.answered.tolist(), asked.y.tolist(), asked.known.tolist(), strict=True):
            if known <= begun.get(id, known - 1):
                raise Leak(f"the answer of question {id}, asked at {utc(begun[id])}, is known at {utc(known)}")
            if y == y and (item.get(id, y) != y or moment.get(id, known) > known):
                raise Leak(
                    f"the answer of question {id} is item {y:.0f}, known at {utc(known)}, but the session went on "
                    f"with {item[id]:.0f} at {utc(moment[id])}"
                )
        return f"{len(asked.answered):,} answers"

    @property
    def state(self) -> dict:
        """Everything the next click depends on."""
        live = [[[who, *entry[:5], *entry[5]] for who, entry in one.items()] for one in self._live]
        seen = np.array([(who, *known) for who, known in self._seen.items()], np.int64).reshape(-1, 3)
        held, about = [list(row) for row in self._held], {"clock": self._clock, "asked": self._asked}
        return about | {"begun": self._begun, "live": live, "seen": seen, "held": held, "counts": dict(self._counts)}

    def load(self, state: dict) -> None:
        """Continue from a state."""
        self._clock = state["clock"]
        self._asked = state["asked"]
        self._begun = state["begun"]
        self._live = tuple(OrderedDict((row[0], [*row[1:6], list(row[6:])]) for row in rows) for rows in state["live"])
        self._seen = OrderedDict((who, (n, at)) for who, n, at in state["seen"].tolist())
        self._held, self._counts = [tuple(row) for row in state["held"]], Counter(state["counts"])

    def _count_actions(self, events: np.ndarray) -> int:
        others = int((events["action"] != VIEW).sum())
        self._counts["other_actions"] += others
        return others

    def _pass(self, at: int, answers: list) -> None:
        """Move the clock: sessions that were quiet for a gap end, and what was known before ``at`` may be learned."""
        due = [row for row in self._held if row[2] < at]
        self._held = [row for row in self._held if row[2] >= at]
        for live, gap in zip(self._live, (self.gap, self.own_gap), strict=True):
            while live and (entry := next(iter(live.values())))[3] + gap < at:
                live.popitem(last=False)
                if entry[2] >= 0:
                    due.append((entry[2], np.nan, entry[3] + gap))
                    self._counts["closed"] += 1
        while self._seen and next(iter(self._seen.values()))[1] + self.remember < at:
            self._seen.popitem(last=False)
        answers += sorted(due, key=itemgetter(2, 0))
        self._clock = at

    def _click(self, at: int, visitor: int, session: int, item: int, row: np.ndarray) -> bool:
        """Take a click: answer the question before, and fill the row of its own; False for a robot's."""
        own = session >= 0
        who, live = session if own else visitor, self._live[own]
        entry = live.get(who)
        if entry is None:
            entry = live[who] = [self._begun, 0, -1, at, self._visit(visitor, at), []]
            self._begun += 1
        else:
            live.move_to_end(who)
        number, length, waits, before, visits, items = entry
        entry[1:4] = length + 1, -1, at
        if length >= self.most:
            self._robot(length, waits, at)
            return False
        if waits >= 0:
            self._held.append((waits, float(item), max(at, before + 1)))
        items.insert(0, item)
        del items[self.features.n :]
        entry[2] = self._asked
        row[: len(_HEAD)] = number, length + 1, (at - before) / 1e9, visits, visitor, session
        row[len(_HEAD) : len(_HEAD) + len(items)] = items
        return True

    def _robot(self, length: int, waits: int, at: int) -> None:
        self._counts["robot_clicks"] += 1
        if waits >= 0:
            self._counts["robots"] += 1
            self._held.append((waits, np.nan, at + 1))

    def _visit(self, visitor: int, at: int) -> int:
        """Earlier sessions of a visitor, and count this one."""
        if visitor < 0:
            return -1
        earlier = self._seen.pop(visitor, (0, 0))[0]
        self._seen[visitor] = (earlier + 1, at)
        if len(self._seen) > self.visitors:
            self._seen.popitem(last=False)
            self._counts["forgotten"] += 1
        return earlier
