"""A checkout: every payment asks whether it is fraud, and the label that arrives days later answers it.

The operator of card payments. Its features are of three streams: the payments of the card, the payments of the
terminal, and the labels of either, which are read as of the payment's moment: what arrives later is not known yet.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rtml.core.clock import span, utc
from rtml.core.later import pd
from rtml.core.operator import Asked, Leak
from rtml.core.state import digest
from rtml.features.feature_set import FeatureSet
from rtml.usecases.fraud.schema import EVENT, LABEL, PAYMENT

_OPEN = -1
_NONE = np.empty((0, 0))


@dataclass(frozen=True)
class View:
    """Features of one key of a payment, its ``card`` or ``terminal``.

    They are declared on the column ``amount`` (cents) of its payments; or, with ``labels``, on the column ``fraud`` (0
    or 1) of its labels as they arrive, and are read at the moment of a payment.

    Examples
    --------
    >>> from rtml.usecases.fraud.use_case import features
    >>> [(view.key, view.labels) for view in features()]
    [('card', False), ('terminal', False), ('card', True), ('terminal', True)]
    """

    key: str
    features: FeatureSet
    labels: bool = False


@dataclass(frozen=True)
class Shares:
    """Features that are shares of fraud among known labels: ``of[name]`` is their key and window (ns).

    ``share(frauds, told)`` is how they are computed: for :meth:`Checkout.check`, which counts by hand.

    Examples
    --------
    >>> Shares({"card_risk": ("card", 10**9)}, lambda frauds, told: frauds / max(told, 1)).share(1, 4)
    0.25
    """

    of: dict[str, tuple[str, int]]
    share: Callable[[int, int], float]


class Views:
    """The features of several views side by side, as one declaration.

    ``names``, ``definition`` and ``catalogue()`` are those of all views together.

    Examples
    --------
    >>> from rtml.usecases.fraud.use_case import features
    >>> len(Views(features(windows=False)).names) < len(Views(features()).names)
    True
    """

    def __init__(self, views: Sequence[View]) -> None:
        self.views = tuple(views)
        self.names = tuple(name for view in views for name in view.features.names)
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"feature names must be unique over all views, got {', '.join(sorted(self.names))}")
        text = "\n".join(f"{view.key} {view.labels} {view.features.definition}" for view in views)
        self.definition = digest(text.encode())[:12]

    def catalogue(self) -> pd.DataFrame:
        """One row a feature: of which key, unit, default, meaning, formula."""
        tables = [view.features.catalogue().assign(key=view.key) for view in self.views]
        return pd.concat(tables)


class Checkout:
    """Payments in, questions out; labels in, answers out.

    A payment is asked when it arrives: one that comes late has the moment of the newest event before it. A label that
    names no payment of the last ``timeouts``, or one that was answered before, changes nothing and is counted; the
    first verdict stands. A payment without a label for ``timeouts`` is closed unanswered.

    Parameters
    ----------
    views
        The features.
    patience
        How long a payment waits for its label, and is remembered.
    shares
        Features that an audit recounts from the answers.

    Examples
    --------
    >>> from rtml.usecases.fraud.use_case import features
    >>> paid = np.zeros(2, EVENT)
    >>> paid["id"] = 1, 2
    >>> paid["kind"] = PAYMENT
    >>> Checkout(features()).push(paid).id
    array([1, 2])
    """

    horizon = 0  # a label comes when it comes

    def __init__(self, views: Sequence[View], timeouts: str = "45d", shares: Shares | None = None) -> None:
        self.features = Views(views)
        self.timeouts = span(timeouts)
        self._shares = shares
        self._clock, self._held = 0, np.empty(0, EVENT)
        self._book: dict[int, tuple[int, int, int, int]] = {}  # id: verdict, card, terminal, moment
        self._queue: deque[tuple[int, int]] = deque()  # moment, id, of every payment in the book
        self._counts: Counter[str] = Counter()

    def push(self, events: np.ndarray) -> Asked:
        """Take events in order of arrival; ask at every payment, answer what labels say once time has passed."""
        rows = self._in_order(events)
        kept, answers = self._enter(rows)
        rows = rows[kept]
        paid = rows["kind"] == PAYMENT
        X = [_seen(view, rows, paid) for view in self.features.views]
        answered, y, known = (np.array(column) for column in zip(*answers, strict=True)) if answers else ((),) * 3
        moment, id = rows["time"][paid].copy(), rows["id"][paid].copy()
        X = np.concatenate(X, axis=1)
        ids, when = np.asarray(answered, np.int64), np.asarray(known, np.int64)
        return Asked(_NONE, id, moment, X, ids, np.asarray(y, np.float64), when)

    def counts(self) -> dict[str, int]:
        """Payments and labels that came late, twice, for nothing or never, and the payments still open."""
        names = ("late", "repeated_payment", "unknown_label", "repeated_label", "contradicting_label", "never_labelled")
        return {name: self._counts[name] for name in names} | {"open": self.open}

    @property
    def open(self) -> int:
        """Payments that wait for their label."""
        return sum(entry[0] == _OPEN for entry in self._book.values())

    def key_of(self, id: int, key: str) -> int:
        """Card or terminal of a payment that is remembered."""
        return self._book[id][1 if key == "card" else 2]

    def check(self, asked: Asked) -> str:
        """Recount shares of fraud from the answers alone, by what was known before each of 200 questions."""
        moment = dict(zip(asked.id.tolist(), asked.moment.tolist(), strict=True))
        for id, known in zip(asked.answered.tolist(), asked.known.tolist(), strict=True):
            if known <= moment[id]:
                raise Leak(f"the answer of payment {id}, made at {utc(moment[id])}, is known at {utc(known)}")
        if len(set(asked.answered.tolist())) < len(asked.answered):
            raise Leak("a payment was answered twice")
        recounted = 0
        for name, (key, window) in self._shares.of.items() if self._shares else ():
            recounted += self._recount(asked, name, 1 if key == "card" else 2, window)
        return f"{len(asked.answered):,} answers, {recounted:,} shares recounted"

    def _recount(self, asked: Asked, name: str, place: int, window: int) -> int:
        """Compare a share of fraud with a count by hand; ``place`` is that of its key in the book."""
        known = {id: entry[place] for id, entry in self._book.items()}
        keys = np.array([known.get(id, -1) for id in asked.answered.tolist()], np.int64)
        column, rows = self.features.names.index(name), np.linspace(0, len(asked.id) - 1, 200).astype(int)
        rows = [i for i in np.unique(rows).tolist() if int(asked.id[i]) in known] if len(asked.id) else []
        for i in rows:
            at = asked.moment[i]
            inside = (keys == known[int(asked.id[i])]) & (asked.known < at) & (asked.known > at - window)
            y = asked.y[inside & np.isfinite(asked.y)]
            want, got = self._shares.share(float(y.sum()), len(y)), asked.X[i, column]
            if not np.isclose(got, want, rtol=1e-9):
                raise Leak(
                    f"{name!r} of payment {asked.id[i]} at {utc(int(at))} is {got:.6g}, but by the labels known "
                    f"before it {want:.6g}: it sees labels too early, or not at all"
                )
        return len(rows)

    @property
    def state(self) -> dict:
        """Everything the next event depends on."""
        book = np.array([(id, *entry) for id, entry in self._book.items()], np.int64).reshape(-1, 5)
        views = [view.features.state for view in self.features.views]
        about = {"clock": self._clock, "held": self._held.copy(), "counts": dict(self._counts)}
        return about | {"book": book, "views": views}

    def load(self, state: dict) -> None:
        """Continue from a state."""
        self._clock = state["clock"]
        self._held = state["held"].copy()
        self._counts = Counter(state["counts"])
        self._book = {row[0]: tuple(row[1:]) for row in state["book"].tolist()}
        self._queue = deque((entry[3], id) for id, entry in self._book.items())
        for view, part in zip(self.features.views, state["views"], strict=True):
            view.features.load(part)

    def _in_order(self, events: np.ndarray) -> np.ndarray:
        """Events at the time they were heard of, payments first at equal times; labels of the newest moment wait."""
        rows = np.concatenate([self._held, events])
        if not len(rows):
            return rows
        heard = np.maximum.accumulate(np.maximum(rows["time"], self._clock))
        self._counts["late"] += int((rows["time"][len(self._held) :] < heard[len(self._held) :]).sum())
        rows["time"], self._clock = heard, int(heard[-1])
        rows = rows[np.lexsort((rows["kind"], heard))]
        waits = (rows["kind"] == LABEL) & (rows["time"] == self._clock)
        self._held = rows[waits]
        return rows[~waits]

    def _enter(self, rows: np.ndarray) -> tuple[np.ndarray, list]:
        """Book payments and join labels; which rows count, and the answers in order."""
        kept = np.zeros(len(rows), bool)
        answers = []
        book = self._book
        counts = self._counts
        fields = (rows[name].tolist() for name in ("kind", "id", "time", "card", "terminal", "label"))
        for i, (kind, id, at, card, terminal, label) in enumerate(zip(*fields, strict=True)):
            self._forget(at, answers)
            entry = book.get(id)
            if kind == PAYMENT and entry is None:
                book[id] = (_OPEN, card, terminal, at)
                self._queue.append((at, id))
                kept[i] = True
            elif kind == PAYMENT:
                counts["repeated_payment"] += 1
            elif entry is None:
                counts["unknown_label"] += 1
            elif entry[0] != _OPEN:
                counts["repeated_label" if entry[0] == label else "contradicting_label"] += 1
            else:
                book[id] = (label, *entry[1:])
                rows["card"][i], rows["terminal"][i] = entry[1:3]
                answers.append((id, float(label), at))
                kept[i] = True
        return kept, answers

    def _forget(self, at: int, answers: list) -> None:
        """Close what waited in vain, and drop from the book what is older than the patience."""
        while self._queue and self._queue[0][0] + self.timeouts < at:
            moment, id = self._queue.popleft()
            if self._book.pop(id)[0] == _OPEN:
                answers.append((id, np.nan, moment + self.timeouts))
                self._counts["never_labelled"] += 1


def _seen(view: View, rows: np.ndarray, paid: np.ndarray) -> np.ndarray:
    """What a view knows at every payment: payments are its rows, or only ask, while its rows are the labels."""
    if not view.labels:
        own = rows[paid]
        return view.features.push(own["time"], own["amount"].astype(np.float64)[:, None], own[view.key])
    fraud = rows["label"].astype(np.float64)[:, None]
    return view.features.push(rows["time"], fraud, rows[view.key], reads=paid)[paid]
