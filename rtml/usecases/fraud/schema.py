"""Card payments as events: what a row must hold to become one, and how a stream of them gets into the log.

Everything the system reacts to is an event. A payment is one; that it was fraud, or was not, becomes known days later
and is another one, with a time of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from rtml.core.later import pd
from rtml.sources.columns import LATEST, UNREADABLE, Schema, codes, integers, numbers, read_integer, read_moment

PAYMENT, LABEL = 0, 1
KIND_NAMES = ("payment", "label")

#: One event. ``time`` is ns UTC: when the payment was made, or when the label became known. ``id`` is the payment's,
#: ``card`` and ``terminal`` are numbers as the sender gives them (of texts: see ``read_key``), ``amount`` is in cents
#: (money stays exact), ``label`` is 1 for fraud, 0 for genuine and -1 where it says nothing, as on a payment.
EVENT = np.dtype(
    [
        ("time", "<i8"),
        ("kind", "i1"),
        ("card", "<i8"),
        ("terminal", "<i8"),
        ("id", "<i8"),
        ("amount", "<i8"),
        ("label", "i1"),
    ]
)

#: The columns of a raw row, with what each must hold.
COLUMNS = {
    "kind": "payment (also when missing) or label",
    "time": "ns UTC as an integer, or a date and time with its zone: of the payment, or when the label became known",
    "id": "of the payment: an integer of zero or more, or a text; its label carries the same",
    "card": "an integer of zero or more, or a text: 7, 007 and 0007 are three cards",
    "terminal": "an integer of zero or more, or a text: where it was paid",
    "amount": "zero or more, in currency units with at most two decimals, below 1e9",
    "fraud": "label: true or false, yes or no, 1 or 0, 1 or -1, fraud or genuine; not looked at on a payment",
}

KINDS = {name: kind for kind, name in enumerate(KIND_NAMES)}
VERDICTS = dict.fromkeys(("true", "1", "yes", "y", "fraud", "fraudulent"), 1)
VERDICTS |= dict.fromkeys(("false", "0", "-1", "no", "n", "genuine", "legit", "legitimate"), 0)
_TEXT = 2**62  # ids of texts lie from here on
_DEAREST = 1e9


def events(time, *, kind=PAYMENT, card=0, terminal=0, id=0, amount=0, label=-1) -> np.ndarray:
    """Build an array of events from columns; a scalar stands for every row.

    Examples
    --------
    >>> events([10, 20], id=[1, 2], card=7, amount=[1250, 300])["amount"]
    array([1250,  300])
    """
    rows = np.empty(len(time), EVENT)
    columns = dict(time=time, kind=kind, card=card, terminal=terminal, id=id, amount=amount, label=label)
    for name, column in columns.items():
        rows[name] = column
    return rows


def read_key(value: object) -> int:
    """Number of a card, terminal or payment: an integer is itself, another text the hash of itself, from 2^62 on.

    Two texts are two keys, so leading zeros count; the number of a text is the same in every file and process.

    Examples
    --------
    >>> read_key("7"), read_key(7.0), len({read_key("7"), read_key("007"), read_key("0007"), read_key("A-7")})
    (7, 7, 4)
    """
    if not isinstance(value, str):
        return read_integer(value)
    text = value.strip()
    plain = text.removesuffix(".0")
    if plain.isascii() and plain.isdigit():
        if plain == str(int(plain)) and int(plain) < _TEXT:
            return int(plain)
    elif not text or _number(text) is not None:
        return read_integer(text)
    return _TEXT + int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()) // 4


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def keys(column: pd.Series | None, n: int) -> np.ndarray:
    """Numbers of a column of cards, terminals or payments; what is none is ``UNREADABLE``.

    Examples
    --------
    >>> keys(pd.Series([7, 9]), 2), keys(pd.Series([7, None]), 2)[1] == UNREADABLE
    (array([7, 9]), np.True_)
    """
    if column is not None and column.dtype.kind not in "iu":
        try:
            place, found = pd.factorize(column)
        except TypeError:  # a list or a dict where an id belongs
            return integers(column, n, read_key, missing=UNREADABLE)
        return np.array([*map(read_key, found), UNREADABLE], np.int64)[place]
    return integers(column, n, read_integer, missing=UNREADABLE)


@dataclass(frozen=True)
class _Raw:
    """The columns of a raw frame as arrays, whatever they held."""

    kind: np.ndarray
    time: np.ndarray
    id: np.ndarray
    card: np.ndarray
    terminal: np.ndarray
    amount: np.ndarray
    fraud: np.ndarray

    @classmethod
    def parse(cls, frame: pd.DataFrame, _) -> _Raw:
        n = len(frame)
        whole = {name: keys(frame.get(name), n) for name in ("id", "card", "terminal")}
        return cls(
            kind=codes(frame.get("kind"), KINDS, n, missing=PAYMENT),
            time=integers(frame.get("time"), n, read_moment, missing=UNREADABLE),
            amount=numbers(frame.get("amount"), n),
            fraud=codes(frame.get("fraud"), VERDICTS, n, missing=-1),
            **whole,
        )

    def faults(self):
        """Reasons in the order in which they are looked for, each with the rows it holds for."""
        with np.errstate(invalid="ignore", over="ignore"):
            yield "kind is neither payment nor label", self.kind < 0
            yield "time is missing or not a moment", self.time == UNREADABLE
            yield "time is out of range", (self.time <= 0) | (self.time >= LATEST)
            yield "id is not an integer of zero or more", self.id < 0
            yield "card is not an integer of zero or more", self.card < 0
            yield "terminal is not an integer of zero or more", self.terminal < 0
            yield "amount is not a number of zero or more", ~((self.amount >= 0) & (self.amount < _DEAREST))
            yield "amount has more than two decimals", np.abs(self.amount * 100 - np.rint(self.amount * 100)) > 1e-4
            yield "label is neither fraud nor genuine", (self.kind == LABEL) & (self.fraud < 0)

    def events(self) -> np.ndarray:
        cents = np.rint(np.where(np.abs(self.amount) < _DEAREST, self.amount, 0) * 100).astype(np.int64)
        label = np.where(self.kind == LABEL, self.fraud, -1)
        where = {"card": self.card, "terminal": self.terminal, "id": self.id}
        return events(self.time, kind=self.kind, amount=cents, label=label, **where)


PAYMENTS = Schema("payments", COLUMNS, _Raw.parse, KIND_NAMES)
