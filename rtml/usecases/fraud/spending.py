"""How a town's cards spend: who pays how much, where, and at which hour of the day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtml.core.later import pd

DAY = 86_400 * 10**9  # ns
NEAR = 12  # terminals that a card uses
RATE = 1.6  # payments a card a day, in the mean


@dataclass(frozen=True)
class Town:
    """Habits of every card: payments a day, mean amount (cents), terminals nearby; and how busy each terminal is."""

    rate: np.ndarray
    mean: np.ndarray
    nearby: np.ndarray
    popularity: np.ndarray

    @classmethod
    def draw(cls, cards: int, terminals: int, rng: np.random.Generator) -> Town:
        """A town of so many cards and terminals; a card uses those nearest to where it lives.

        Examples
        --------
        >>> Town.draw(20, 30, np.random.default_rng(7)).nearby.shape
        (20, 12)
        """
        homes, places = rng.uniform(0, 1, (cards, 2)), rng.uniform(0, 1, (terminals, 2))
        near = min(NEAR, terminals)
        nearby = np.empty((cards, near), np.int64)
        for card, home in enumerate(homes):
            nearby[card] = np.argpartition(((places - home) ** 2).sum(axis=1), near - 1)[:near]
        rate = rng.gamma(3.0, RATE / 3.0, cards)
        popularity = np.bincount(nearby.ravel(), weights=np.repeat(rate, near), minlength=terminals)
        return cls(rate, rng.lognormal(np.log(3500), 0.6, cards), nearby, popularity)


def payments(town: Town, days: float, rng: np.random.Generator) -> pd.DataFrame:
    """Genuine payments in order of time (ns since the start): card, terminal, amount (cents).

    Examples
    --------
    >>> town = Town.draw(20, 30, np.random.default_rng(7))
    >>> list(payments(town, 2, np.random.default_rng(7)).columns)
    ['time', 'card', 'terminal', 'amount']
    """
    whole = int(np.ceil(days))
    weekend = np.where(np.arange(whole) % 7 >= 5, 1.25, 0.9)  # the stream starts on a Monday
    count = rng.poisson(town.rate[:, None] * weekend)
    card = np.repeat(np.arange(len(town.rate)), count.sum(axis=1))
    day = np.repeat(np.tile(np.arange(whole), len(town.rate)), count.ravel())
    time = day * DAY + hours(len(card), rng)
    terminal = town.nearby[card, rng.integers(0, town.nearby.shape[1], len(card))]
    amount = np.maximum(np.rint(town.mean[card] * rng.lognormal(-0.18, 0.6, len(card))), 50)
    columns = {"time": time, "card": card, "terminal": terminal, "amount": amount.astype(np.int64)}
    frame = pd.DataFrame(columns)[time < days * DAY]
    return frame.sort_values("time", kind="stable", ignore_index=True)


def burst(town: Town, card: int, begins: int, ends: int, rng: np.random.Generator) -> pd.DataFrame:
    """Many small payments of one card between two moments, at terminals that it may never have used.

    Examples
    --------
    >>> town = Town.draw(20, 30, np.random.default_rng(7))
    >>> paid = burst(town, 3, 0, 3600 * 10**9, np.random.default_rng(7))
    >>> paid["card"].unique(), bool(paid["amount"].between(100, 1500).all())
    (array([3]), True)
    """
    n = int(rng.integers(5, 12))
    time = np.sort(rng.integers(begins, ends, n)) // 10**9 * 10**9
    terminal = rng.integers(0, len(town.popularity), n)
    return pd.DataFrame({"time": time, "card": card, "terminal": terminal, "amount": rng.integers(100, 1500, n)})


def hours(n: int, rng: np.random.Generator) -> np.ndarray:
    """Times of day (ns, whole seconds): most payments around noon and towards the evening, few at night.

    Examples
    --------
    >>> drawn = hours(10_000, np.random.default_rng(7)) / 3600e9
    >>> bool((drawn < 6).mean() < (abs(drawn - 12) < 3).mean())
    True
    """
    peak = rng.choice(np.array([12.5, 18.0, 3.0]), n, p=[0.5, 0.42, 0.08])
    spread = np.where(peak == 3.0, 3.0, 2.6)
    seconds = np.mod(peak + spread * rng.standard_normal(n), 24.0) * 3600
    return seconds.astype(np.int64) * 10**9
