"""Card payments as events: what a row must hold to become one, and how a stream of them gets into the log.

Everything the system reacts to is an event. A payment is one; that it was fraud, or was not, becomes known days later
and is another one, with a time of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rtml.core.clock import NEVER
from rtml.sources.columns import UNREADABLE, Schema, codes, integers, numbers, read_integer, read_moment
from rtml.sources.report import IngestReport
from rtml.store.event_log import EventLog

PAYMENT, LABEL = 0, 1
KIND_NAMES = ("payment", "label")

#: One event. ``time`` is ns UTC: when the payment was made, or when the label became known. ``id`` is the payment's,
#: ``card`` and ``terminal`` are numbers as the sender gives them, ``amount`` is in cents (money stays exact), ``label``
#: is 1 for fraud, 0 for genuine and -1 where it says nothing, as on a payment.
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
    "id": "of the payment: an integer of zero or more; its label carries the same",
    "card": "an integer of zero or more",
    "terminal": "an integer of zero or more: where it was paid",
    "amount": "zero or more, in currency units with at most two decimals, below 1e9",
    "fraud": "label: true or false, 1 or 0; not looked at on a payment",
}

KINDS = {name: kind for kind, name in enumerate(KIND_NAMES)}
VERDICTS = {"true": 1, "false": 0, "1": 1, "0": 0, "fraud": 1, "genuine": 0}
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
        whole = {
            name: integers(frame.get(name), n, read_integer, missing=UNREADABLE) for name in ("id", "card", "terminal")
        }
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
            yield "time is out of range", (self.time <= 0) | (self.time == NEVER)
            yield "id is not an integer of zero or more", self.id < 0
            yield "card is not an integer of zero or more", self.card < 0
            yield "terminal is not an integer of zero or more", self.terminal < 0
            yield "amount is not a number of zero or more", ~((self.amount >= 0) & (self.amount < _DEAREST))
            yield "amount has more than two decimals", np.abs(self.amount * 100 - np.rint(self.amount * 100)) > 1e-4
            yield "label is neither fraud nor genuine", (self.kind == LABEL) & (self.fraud < 0)

    def events(self) -> np.ndarray:
        cents = np.where(np.abs(self.amount) < _DEAREST, np.rint(self.amount * 100), 0).astype(np.int64)
        label = np.where(self.kind == LABEL, self.fraud, -1)
        where = {"card": self.card, "terminal": self.terminal, "id": self.id}
        return events(self.time, kind=self.kind, amount=cents, label=label, **where)


PAYMENTS = Schema("payments", COLUMNS, _Raw.parse)


def ingest(source, log: EventLog, part: str, done: Callable[[int], object] = int, n: int = 50_000) -> IngestReport:
    """Write everything a source sends into one part of the log, chunk by chunk, each chunk in one transaction.

    ``done`` is told the number of rows of each chunk, for a progress bar.
    """
    received, by_kind = 0, {name: {"events": 0, "amount": 0.0} for name in KIND_NAMES}
    first, last = NEVER, 0
    for frame in source.chunks(n):
        accepted, rejected = PAYMENTS.accept(frame)
        log.append(part, accepted, rejected)
        received += len(frame)
        for kind, name in enumerate(KIND_NAMES):
            own = accepted[accepted["kind"] == kind]
            by_kind[name]["events"] += len(own)
            by_kind[name]["amount"] += own["amount"].sum() / 100
        if len(accepted):
            first, last = min(first, int(accepted["time"].min())), max(last, int(accepted["time"].max()))
        done(len(frame))
    if not log.count(part):
        reasons = log.rejected(part)["reason"].value_counts().to_dict() or "it sent no row"
        raise ValueError(f"nothing of {source.name} could be used: {reasons}; the columns are {', '.join(COLUMNS)}")
    rejected = log.rejected(part)
    by_reason = rejected.groupby("reason").agg(rows=("row", "size"), example=("row", "first"))
    frame = pd.DataFrame.from_dict(by_kind, orient="index").rename_axis("kind").astype({"events": int})
    counts = (received, log.count(part), len(rejected), first, last)
    return IngestReport(source.name, *counts, frame, by_reason.sort_values("rows", ascending=False))
