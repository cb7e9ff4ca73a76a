"""A seeded town of card payments in which the fraud is known, changes its ways, and is reported late or never.

Four patterns, each visible to other features: ``dear`` (a stolen number, one dear payment), ``terminal`` (compromised
for weeks: payments there are fraud whatever their amount), ``leak`` (a card's data are out: a third of its payments
is several times its usual amount) and ``burst`` (many small payments in minutes, which begins half way).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from rtml.core.clock import moment, span
from rtml.core.later import pd
from rtml.sources.protocol import pieces
from rtml.usecases.fraud.schema import PAYMENTS
from rtml.usecases.fraud.spending import DAY, Town, burst, payments

START = moment("2025-01-06T00:00:00+00:00")
PATTERNS = ("dear", "terminal", "leak", "burst")
COMPROMISED, LEAKED = 0.7, 1 / 3  # share of the payments of a compromised terminal, a leaked card, that is fraud
DEAR = 0.0012  # share of all payments
DEAR_FROM = (22_000, 14_000)  # cents: fraudsters learn to stay below, two thirds of the way
TIMES_DEARER = 4.0  # fraud on a leaked card against the card's usual amount
NEVER_TOLD = 0.08  # shares of the labels
REPEATED = 0.002
CONTRADICTED = 0.0005
LATE, BROKEN = 0.002, 0.0008  # shares of the rows
_LOOKS = ("terminal", "leak", "dear")


class Cards:
    """Payments of a town's cards at its terminals, and their labels days later, as rows in order of arrival.

    Parameters
    ----------
    days : float
        Length, event time; labels go on arriving behind it.
    cards, terminals : int
        How many there are; a card makes about 1.6 payments a day.
    delay : str
        Median time until a label is known: from a fifth of it to five times as long.

    Examples
    --------
    >>> source = Cards(seed=7, days=2, cards=50, terminals=100)
    >>> source.name
    'cards:seed=7:days=2:cards=50:terminals=100:delay=5d'
    >>> next(source.chunks(3))["kind"].tolist()
    ['payment', 'payment', 'payment']
    """

    schema = PAYMENTS
    symbols = ("payment",)

    def __init__(
        self, seed: int = 7, days: float = 90.0, cards: int = 500, terminals: int = 1000, delay: str = "5d"
    ) -> None:
        if not 1 <= days <= 366:
            raise ValueError(f"days must lie between 1 and 366, got {days}")
        if cards < 10 or terminals < 10:
            raise ValueError(f"a town needs at least 10 cards and 10 terminals, got {cards} and {terminals}")
        self.seed = seed
        self.days = days
        self.cards = cards
        self.terminals = terminals
        self.delay = span(delay)
        self.name = f"cards:seed={seed}:days={days:g}:cards={cards}:terminals={terminals}:delay={delay}"

    @property
    def rows(self) -> int:
        """Number of raw rows."""
        return len(self._arrived)

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """Raw rows (columns of ``rtml.usecases.fraud.schema.COLUMNS``) in order of arrival, at most ``n`` at a time."""
        for piece in pieces(self._arrived, n):
            yield piece.infer_objects()

    def truth(self) -> pd.DataFrame:
        """One row a payment: ``id``, ``time`` (ns), ``card``, ``terminal``, ``amount`` (cents), ``fraud``, ``pattern``
        ("" for genuine) and ``known`` (ns, when its label arrives; NEVER)."""
        return self._payments.copy()

    def drift(self) -> pd.DataFrame:
        """Every spell of fraud: ``pattern``, ``who`` (terminal or card, -1 for all), ``begins`` and ``ends`` (ns)."""
        return self._spells.copy()

    @cached_property
    def _spells(self) -> pd.DataFrame:
        rng = np.random.default_rng([self.seed, 1])
        days = self.days
        town = self._town
        changes = START + (np.array([0.0, 2 * days / 3, days]) * DAY).astype(np.int64)
        dear = [("dear", -1, int(changes[k]), int(changes[k + 1])) for k in range(2)]
        at = np.sort(rng.uniform(0, days, max(1, round(days * self.terminals / 6000))))
        popular = town.popularity / town.popularity.sum()
        terminal = _spans("terminal", rng.choice(self.terminals, len(at), p=popular), at, rng.uniform(14, 28, len(at)))
        at = np.sort(rng.uniform(0, days, max(1, round(days * self.cards / 1800))))
        leak = _spans("leak", rng.choice(self.cards, len(at)), at, np.full(len(at), 10.0))
        at = np.sort(rng.uniform(days / 2, days - 0.1, max(1, round(days * self.cards / 1600))))
        quick = _spans("burst", rng.choice(self.cards, len(at)), at, rng.uniform(0.5, 1.0, len(at)) / 24)
        frame = pd.DataFrame(dear + terminal + leak + quick, columns=["pattern", "who", "begins", "ends"])
        return frame.sort_values("begins", kind="stable", ignore_index=True)

    @cached_property
    def _town(self) -> Town:
        return Town.draw(self.cards, self.terminals, np.random.default_rng([self.seed, 0]))

    @cached_property
    def _payments(self) -> pd.DataFrame:
        rng = np.random.default_rng([self.seed, 2])
        frame = payments(self._town, self.days, rng)
        frame["pattern"] = ""
        spells = self._spells.assign(begins=self._spells["begins"] - START, ends=self._spells["ends"] - START)
        for pattern in _LOOKS:
            for k, spell in enumerate(spells[spells["pattern"] == pattern].itertuples()):
                _mark(frame, spell, k, self._town, rng)
        bursts = [burst(self._town, s.who, s.begins, s.ends, rng) for s in spells.itertuples() if s.pattern == "burst"]
        frame = pd.concat([frame, *(b.assign(pattern="burst") for b in bursts)])
        frame = frame.sort_values("time", kind="stable", ignore_index=True)
        frame["time"] += START
        frame.insert(0, "id", np.arange(len(frame)) + 1)
        frame["fraud"] = frame["pattern"] != ""
        wait = np.clip(rng.lognormal(np.log(self.delay), 0.6, len(frame)), self.delay / 5, 5 * self.delay)
        told = rng.random(len(frame)) >= NEVER_TOLD
        frame["known"] = np.where(told, frame["time"] + wait.astype(np.int64) // 10**9 * 10**9, 2**63 - 1)
        return frame

    @cached_property
    def _arrived(self) -> pd.DataFrame:
        return deliver(self._payments, np.random.default_rng([self.seed, 3]))


def deliver(truth: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Payments and labels as they come in: some payments late, some labels twice, a few rows broken."""
    columns = ["time", "id", "card", "terminal", "amount", "fraud"]
    paid = truth[columns].assign(kind="payment", arrives=truth["time"], fraud=None)
    late = rng.random(len(paid)) < LATE
    paid["arrives"] += np.where(late, rng.integers(1, 900, len(paid)) * 10**9, 0)
    told = truth[truth["known"] < 2**63 - 1]
    told = told.assign(kind="label", time=told["known"], arrives=told["known"])[[*columns, "kind", "arrives"]]
    again = told[rng.random(len(told)) < REPEATED].copy()
    turned = told[rng.random(len(told)) < CONTRADICTED].copy()
    turned["fraud"] = ~turned["fraud"].astype(bool)
    for frame in (again, turned):
        frame[["time", "arrives"]] += rng.integers(1, 48, (len(frame), 1)) * 3600 * 10**9
    rows = pd.concat([paid, told.astype({"fraud": object}), again, turned])
    rows = rows.sort_values("arrives", kind="stable", ignore_index=True)  # payments first at equal times
    rows["amount"] = rows["amount"] / 100
    rows = rows[["kind", *columns]].astype({"time": object, "amount": object, "card": object})
    return _spoiled(rows, rng)


def _spoiled(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Broken copies of a few rows, put in behind the good ones: what a real feed holds too."""
    at = np.sort(rng.choice(len(rows), max(5, round(BROKEN * len(rows))), replace=False))
    faults = [("amount", -12.5), ("card", None), ("time", "yesterday"), ("kind", "refund"), ("amount", 9.999)]
    broken = rows.iloc[at].astype(object)
    for k, place in enumerate(broken.index):
        broken.loc[place, faults[k % len(faults)][0]] = faults[k % len(faults)][1]
    whole = pd.concat([rows, broken]).sort_index(kind="stable")
    return whole.reset_index(drop=True)


def _spans(pattern: str, who: np.ndarray, at: np.ndarray, days: np.ndarray) -> list[tuple]:
    begins, ends = START + (at * DAY).astype(np.int64), START + ((at + days) * DAY).astype(np.int64)
    return [(pattern, *row) for row in zip(who.tolist(), begins.tolist(), ends.tolist(), strict=True)]


def _mark(frame: pd.DataFrame, spell, k: int, town: Town, rng: np.random.Generator) -> None:
    """Turn payments of a spell into fraud of its pattern."""
    time = frame["time"].to_numpy()
    inside = (time >= spell.begins) & (time < spell.ends) & (frame["pattern"].to_numpy() == "")
    if spell.pattern != "dear":
        inside &= frame["terminal" if spell.pattern == "terminal" else "card"].to_numpy() == spell.who
    share = {"terminal": COMPROMISED, "leak": LEAKED, "dear": DEAR}[spell.pattern]
    hit = np.flatnonzero(inside & (rng.random(len(frame)) < share))
    frame.loc[hit, "pattern"] = spell.pattern
    if spell.pattern == "leak":
        frame.loc[hit, "amount"] = np.rint(frame.loc[hit, "amount"] * TIMES_DEARER).astype(np.int64)
    if spell.pattern == "dear":
        frame.loc[hit, "amount"] = (DEAR_FROM[k] * (1 + rng.exponential(0.6, len(hit)))).astype(np.int64)
