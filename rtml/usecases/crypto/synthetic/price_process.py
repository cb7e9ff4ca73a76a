"""A market made by chance: flow that carries a known signal, volatility that clusters, a day that has a rhythm.

Everything is drawn per bar first and per order second, so that the next return's dependence on this bar's flow is exact
by construction and not an approximation of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BAR_MS = 10_000  # the signal lives on bars of ten seconds
PER_HOUR = 360
KAPPA = 0.15  # how much of the other symbol's return is made up for one bar later
COMMON = 0.8  # how much of the other symbol's move happens at the same time
NOISE_BP = 2.9  # typical standard deviation of a symbol's own move in one bar
TICK = 0.01
LOT = 1e-4

#: Drift kinds: how the strength of the signal moves over the run.
DRIFTS = {
    "none": "the signal stays as it is",
    "sudden": "it turns at once, halfway",
    "gradual": "old and new alternate in spells of five minutes, the new ever more often",
    "incremental": "it slides from old to new over the middle half",
    "recurring": "old and new take turns, a quarter of the run each",
}


def drift(kind: str, bars: int, rng: np.random.Generator, old: float = 1.3, new: float = -0.9) -> np.ndarray:
    """Signal strength beta of each bar, bp of next return per standard deviation of flow imbalance.

    Examples
    --------
    >>> drift("sudden", 4, np.random.default_rng(7)).tolist()
    [1.3, 1.3, -0.9, -0.9]
    """
    done = (np.arange(bars) + 0.5) / bars
    spell = np.arange(bars) // (PER_HOUR // 12)
    share = {
        "none": lambda: np.zeros(bars),
        "sudden": lambda: (done > 0.5).astype(float),
        "gradual": lambda: (rng.random(spell[-1] + 1)[spell] < np.clip(2.0 * done - 0.5, 0.0, 1.0)).astype(float),
        "incremental": lambda: np.clip(2.0 * done - 0.5, 0.0, 1.0),
        "recurring": lambda: (np.floor(4.0 * done) % 2).astype(float),
    }
    if kind not in share:
        raise LookupError(f"no drift {kind!r}; known: {', '.join(DRIFTS)}")
    moved = share[kind]()
    return (1.0 - moved) * old + moved * new


@dataclass(frozen=True)
class Weather:
    """What both symbols live in: volatility and pace of each bar, both around 1.

    Examples
    --------
    >>> weather = Weather.draw(500, np.random.default_rng(7))
    >>> weather.volatility.shape, bool((weather.volatility > 0).all())
    ((500,), True)
    """

    volatility: np.ndarray
    pace: np.ndarray

    @classmethod
    def draw(cls, bars: int, rng: np.random.Generator) -> Weather:
        """Volatility that clusters and follows the hours, bursts that fade, and one quiet spell."""
        hour = np.arange(bars) / PER_HOUR % 24
        rhythm = 1.0 + 0.35 * np.cos(2 * np.pi * (hour - 15.0) / 24)
        slow = autoregression(rng.standard_normal(bars), 0.99) * 0.4
        burst = np.zeros(bars)
        burst[rng.random(bars) < 0.006] = 2.0
        burst = np.convolve(burst, 0.75 ** np.arange(24))[:bars]
        quiet = np.ones(bars)
        quiet[int(0.36 * bars) : int(0.372 * bars)] = 0.03
        volatility = np.sqrt(rhythm) * np.exp(slow - 0.1) * (1.0 + 0.3 * burst) * quiet**0.2
        return cls(volatility, rhythm * np.exp(0.5 * slow) * (1.0 + burst) * quiet)


@dataclass(frozen=True)
class Orders:
    """The orders of one symbol in order of time; an order is filled by one or more trades.

    Examples
    --------
    >>> orders = Orders.draw(np.ones(100), 5.0, np.random.default_rng(7))
    >>> bool((np.diff(orders.bar) >= 0).all()), orders.fills.min() >= 1
    (True, np.True_)
    """

    bar: np.ndarray
    time_ms: np.ndarray
    side: np.ndarray
    last: np.ndarray  # whether it is the last of its bar
    fills: np.ndarray

    @classmethod
    def draw(cls, pace: np.ndarray, per_bar: float, rng: np.random.Generator) -> Orders:
        """Arrivals at random moments; sides that lean one way for a while; the last order of a bar is a coin.

        The coin, tossed for a small order, keeps the bounce of the close apart from the flow of the bar.
        """
        number = rng.poisson(pace * per_bar)
        bar = np.repeat(np.arange(len(pace)), number)
        time_ms = np.sort(((bar + rng.random(len(bar))) * BAR_MS).astype(np.int64))
        lean = 0.75 * np.tanh(autoregression(rng.standard_normal(len(pace)), 0.5))
        last = np.zeros(len(bar), bool)
        last[np.cumsum(number)[number > 0] - 1] = True
        buy = rng.random(len(bar)) < 0.5 + 0.5 * np.where(last, 0.0, lean[bar])
        fills = np.where(last, 1, np.minimum(rng.geometric(0.72, len(bar)), 12))
        return cls(bar, time_ms, np.where(buy, 1, -1), last, fills)


@dataclass(frozen=True)
class Tape:
    """One symbol's trades, quotes before each order, and what is true of its bars."""

    orders: Orders
    order: np.ndarray  # of each trade
    price: np.ndarray
    size: np.ndarray
    bid: np.ndarray  # before each order
    ask: np.ndarray
    imbalance: np.ndarray  # of each bar, buys minus sells over all volume; 0 in an empty one
    move_bp: np.ndarray  # of the middle price within each bar; 0 in an empty one
    return_bp: np.ndarray  # from close to close
    bounce_bp: np.ndarray  # how far the close lies above the middle price

    @classmethod
    def draw(cls, orders: Orders, size: np.ndarray, move: np.ndarray, weather: Weather, start: float, rng) -> Tape:
        """Let the middle price make its moves, and trade at the ask or the bid around it."""
        bars = len(move)
        number = np.bincount(orders.bar, minlength=bars)
        move = np.where(number > 0, move, 0.0)
        end = np.log(start) + np.cumsum(move) * 1e-4
        middle = np.exp((end - move * 1e-4)[orders.bar] + bridge(orders.bar, number, move, weather.volatility, rng))
        half = np.clip(0.35 * np.sqrt(weather.volatility), 0.15, 1.5)[orders.bar] * 1e-4
        bid, ask = np.floor(middle * (1 - half) / TICK), np.ceil(middle * (1 + half) / TICK)
        order = np.repeat(np.arange(len(orders.bar)), orders.fills)
        depth = np.arange(len(order)) - np.repeat(np.cumsum(orders.fills) - orders.fills, orders.fills)
        side = orders.side[order]
        price = np.round((np.where(side > 0, ask[order], bid[order]) + side * depth) * TICK, 2)
        flow = np.bincount(orders.bar[order], weights=side * size, minlength=bars)
        volume = np.bincount(orders.bar[order], weights=size, minlength=bars)
        close = np.log(_closes(orders, price, bars, start))
        return cls(
            orders, order, price, size, np.round(bid * TICK, 2), np.round(ask * TICK, 2),
            flow / np.where(volume > 0, volume, 1.0), move, np.diff(close, prepend=np.log(start)) * 1e4,
            (close - end) * 1e4,
        )  # fmt: skip


def sizes(orders: Orders, typical: float, rng: np.random.Generator) -> np.ndarray:
    """Size of each trade: many small ones, few large ones, on the lot.

    Examples
    --------
    >>> orders = Orders.draw(np.ones(100), 5.0, np.random.default_rng(7))
    >>> drawn = sizes(orders, 0.5, np.random.default_rng(7))
    >>> len(drawn) == orders.fills.sum(), drawn.min() >= LOT
    (np.True_, np.True_)
    """
    scale = np.repeat(np.where(orders.last, 0.25, 1.0), orders.fills)
    drawn = typical * scale * np.exp(1.1 * rng.standard_normal(len(scale)))
    return np.round(np.maximum(np.round(drawn / LOT), 1) * LOT, 4)


def shocks(bars: int, rng: np.random.Generator) -> np.ndarray:
    """Unit noise with tails as fat as a market's.

    Examples
    --------
    >>> shocks(100_000, np.random.default_rng(7)).std().round(1)
    np.float64(1.0)
    """
    return rng.standard_t(5, bars) / np.sqrt(5 / 3)


def autoregression(noise: np.ndarray, phi: float) -> np.ndarray:
    """Stationary AR(1) with unit variance, driven by unit noise.

    Examples
    --------
    >>> autoregression(np.array([1.0, 0.0, 0.0]), 0.5)
    array([1.3660254 , 0.6830127 , 0.34150635])
    """
    out = np.empty(len(noise))
    value = noise[0]
    scale = np.sqrt(1 - phi * phi)
    for k, e in enumerate(noise.tolist()):
        out[k] = value = phi * value + scale * e
    return out


def bridge(bar, number, move, volatility, rng) -> np.ndarray:
    """Log price of each order within its bar: a random walk that ends exactly where the bar's move ends.

    Examples
    --------
    >>> bar = np.array([0, 0, 0])
    >>> bridge(bar, np.array([3]), np.array([12.0]), np.ones(1), np.random.default_rng(7))[-1].round(6)
    np.float64(0.0012)
    """
    per_order = number[bar]
    walk = np.cumsum(rng.standard_normal(len(bar)) * (NOISE_BP * volatility)[bar] / np.sqrt(per_order))
    walk = np.concatenate([[0.0], walk])
    first = (np.cumsum(number) - number)[bar]
    done = (np.arange(len(bar)) - first + 1) / per_order
    start, stop = walk[first], walk[first + per_order]
    return (walk[1:] - start - done * (stop - start) + done * move[bar]) * 1e-4


def _closes(orders: Orders, price: np.ndarray, bars: int, start: float) -> np.ndarray:
    """Price of the last trade of each bar, carried over empty ones."""
    final = np.cumsum(orders.fills)[orders.last] - 1
    place = np.zeros(bars, np.int64)
    place[orders.bar[orders.last]] = np.arange(1, len(final) + 1)
    return np.concatenate([[start], price[final]])[np.maximum.accumulate(place)]
