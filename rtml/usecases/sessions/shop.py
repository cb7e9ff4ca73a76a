"""A seeded shop whose topics, births and deaths of items, moving popularity and turn of taste are known."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from rtml.core.clock import moment
from rtml.core.later import pd
from rtml.sources.protocol import pieces
from rtml.usecases.sessions.events import CLICKS

START = moment("2025-03-03T00:00:00+00:00")
TOPICS, ITEMS = 24, 600
TURNS = 0.6  # share of the days after which every topic's paths change, and what is popular
FOLLOWED = 0.62  # shares of clicks on a planted path, on an item seen before, anywhere
AGAIN = 0.14
STRAYS = 0.05
_FOLLOWERS = 3  # items a path may lead to, of each item
_DAY = 86_400 * 10**9
_LATE, _BROKEN = 0.002, 0.0008  # shares of the rows


class Shop:
    """Clicks of a shop's visitors as rows in order of arrival.

    A visit has one topic, drawn from the visitor's taste and from what is popular that day; its clicks follow planted
    paths through the topic's items. A fifth of the items is new within the time, another fifth goes. At ``TURNS`` of
    the days all paths are laid anew and other topics become popular: a model that stopped learning before is wrong
    from then on. A few rows come late or broken.

    Parameters
    ----------
    days : float
        Length, event time.
    visits : int
        Sessions a day.

    Examples
    --------
    >>> shop = Shop(seed=7, days=1, visits=50)
    >>> next(shop.chunks(2)).columns.tolist()
    ['time', 'visitor', 'item', 'category', 'price', 'action']
    """

    symbols: tuple[str, ...] = ()
    schema = CLICKS

    def __init__(self, seed: int = 7, days: float = 6.0, visits: int = 1000) -> None:
        if not 0.5 <= days <= 366 or not 10 <= visits <= 1_000_000:
            raise ValueError(
                f"days must lie between 0.5 and 366 and visits between 10 and a million, got {days}, {visits}"
            )
        self.seed = seed
        self.days = days
        self.visits = visits
        self.name = f"shop:seed={seed}:days={days:g}:visits={visits}"

    @property
    def rows(self) -> int:
        """Number of raw rows."""
        return len(self._arrived)

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """Raw rows (``rtml.usecases.sessions.events.COLUMNS``) in order of arrival, at most ``n`` at a time."""
        for piece in pieces(self._arrived, n):
            yield piece.infer_objects()

    def items(self) -> pd.DataFrame:
        """One row an item: its topic (its category too), price, and when it is born and dies (ns)."""
        rng = np.random.default_rng([self.seed, 0])
        length, n = int(self.days * _DAY), ITEMS
        fate = rng.permutation(n)
        born = np.where(fate < n // 5, rng.uniform(0.1, 0.9, n), 0.0)
        dies = np.where(fate >= n - n // 5, rng.uniform(0.1, 0.9, n), 2.0)
        price = np.round(np.exp(rng.normal(3.0, 0.8, n)), 2)
        spans = {"born": START + (born * length).astype(np.int64), "dies": START + (dies * length).astype(np.int64)}
        return pd.DataFrame({"item": np.arange(n) + 1, "topic": np.arange(n) % TOPICS, "price": price} | spans)

    def truth(self) -> pd.DataFrame:
        """One row a click: ``time``, ``visitor``, ``visit``, ``item``, ``topic``. For reports, never for features."""
        return self._clicks.copy()

    def turn(self) -> int:
        """When the taste turns, ns UTC."""
        return START + int(TURNS * self.days * _DAY)

    @cached_property
    def _clicks(self) -> pd.DataFrame:
        rng, items = np.random.default_rng([self.seed, 1]), self.items()
        n = round(self.days * self.visits)
        begins = START + _hours(rng, n, self.days)
        people = max(20, n // 3)
        visitor = np.minimum((people * rng.random(n) ** 2).astype(np.int64), people - 1) + 1
        taste = rng.integers(0, TOPICS, (people + 1, 2))
        walks = [_Walk(items, np.random.default_rng([self.seed, 2, turned])) for turned in (0, 1)]
        moving = np.exp(0.8 * np.cumsum(rng.normal(size=(int(self.days) + 2, TOPICS)), axis=0))
        parts = []
        for k, (at, who) in enumerate(zip(begins.tolist(), visitor.tolist(), strict=True)):
            walk, day = walks[at >= self.turn()], moving[(at - START) // _DAY] * walks[at >= self.turn()].popular
            topic = taste[who, rng.integers(2)] if rng.random() < 0.5 else _draw(rng, np.cumsum(day))
            steps = min(int(rng.geometric(0.22)), 40)
            times = at + np.cumsum(np.r_[0, np.exp(rng.normal(3.6, 0.8, steps - 1))] * 1e9).astype(np.int64)
            parts.append((times, np.full(steps, who), np.full(steps, k), walk.visit(int(topic), times, rng)))
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        frame = pd.DataFrame(dict(zip(("time", "visitor", "visit", "item"), columns, strict=True)))
        frame["topic"] = items["topic"].to_numpy()[frame["item"] - 1]
        return frame.sort_values("time", kind="stable", ignore_index=True)

    @cached_property
    def _arrived(self) -> pd.DataFrame:
        rng, items = np.random.default_rng([self.seed, 3]), self.items()
        rows = self._clicks[["time", "visitor", "item"]].copy()
        rows["category"], rows["price"] = self._clicks["topic"], items["price"].to_numpy()[rows["item"] - 1]
        rows["action"] = np.where(rng.random(len(rows)) < 0.03, "cart", "view")
        late = np.where(rng.random(len(rows)) < _LATE, rng.integers(1, 300, len(rows)) * 10**9, 0)
        rows = rows.iloc[np.argsort(rows["time"].to_numpy() + late, kind="stable")].reset_index(drop=True)
        broken = rows.iloc[np.sort(rng.choice(len(rows), max(4, round(_BROKEN * len(rows))), replace=False))]
        broken = broken.astype(object)
        faults = [("item", None), ("time", "yesterday"), ("visitor", None), ("price", -5.0)]
        for k, place in enumerate(broken.index):
            broken.loc[place, faults[k % 4][0]] = faults[k % 4][1]
        return pd.concat([rows.astype(object), broken]).sort_index(kind="stable").reset_index(drop=True)


class _Walk:
    """Planted paths: which items follow which, within a topic, and how popular topics and items are."""

    def __init__(self, items: pd.DataFrame, rng: np.random.Generator) -> None:
        self.topic, self.born, self.dies = (items[name].to_numpy() for name in ("topic", "born", "dies"))
        self.members = [np.flatnonzero(self.topic == topic) for topic in range(TOPICS)]
        self.popular = np.exp(rng.normal(0.0, 1.0, TOPICS))
        self.weight = np.exp(rng.normal(0.0, 1.0, len(items)))
        self.follow = np.stack([rng.choice(self.members[topic], _FOLLOWERS, replace=False) for topic in self.topic])
        self._ways = [np.cumsum(self.weight[own]) for own in self.members]

    def visit(self, topic: int, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Ids of the items clicked at times of one visit."""
        seen: list[int] = []
        for at, chance in zip(times.tolist(), rng.random(len(times)).tolist(), strict=True):
            seen.append(self._next(topic, seen, chance, at, rng))
        return np.array(seen) + 1

    def _next(self, topic: int, seen: list[int], chance: float, at: int, rng: np.random.Generator) -> int:
        for _ in range(8):  # an item that is not there is not clicked
            if seen and chance < FOLLOWED:
                item = int(self.follow[seen[-1], min(int(rng.geometric(0.6)), _FOLLOWERS) - 1])
            elif seen and chance < FOLLOWED + AGAIN:
                item = seen[int(rng.integers(len(seen)))]
            else:
                where = int(rng.integers(TOPICS)) if seen and chance > 1 - STRAYS else topic
                item = int(self.members[where][_draw(rng, self._ways[where])])
            if self.born[item] <= at < self.dies[item]:
                break
            chance = rng.random()
        return item


def _draw(rng: np.random.Generator, ways: np.ndarray) -> int:
    """Place drawn by cumulative weights."""
    return min(int(np.searchsorted(ways, rng.random() * ways[-1], side="right")), len(ways) - 1)


def _hours(rng: np.random.Generator, n: int, days: float) -> np.ndarray:
    """Begins of visits, ns from the start: more by day than by night, in order."""
    at = rng.uniform(0.0, days, 3 * n)
    by_day = 0.5 - 0.4 * np.cos(2 * np.pi * (at - 2 / 24))
    chosen = at[rng.random(3 * n) < by_day][:n]
    return np.sort(np.r_[chosen, rng.uniform(0.0, days, n - len(chosen))] * _DAY).astype(np.int64)
