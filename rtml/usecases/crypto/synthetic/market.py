"""A seeded market of two symbols whose next return is known to depend on flow, by a strength that drifts.

It is the demo that runs without a network, and the truth that tests rely on: ``truth()`` says what a perfect model
would have known at each bar's end, and how much of the next return that explains.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from rtml.core.clock import moment
from rtml.core.later import pd
from rtml.sources.protocol import pieces
from rtml.usecases.crypto.schema import TRADES
from rtml.usecases.crypto.synthetic import delivery as wire
from rtml.usecases.crypto.synthetic.price_process import (
    BAR_MS,
    COMMON,
    DRIFTS,
    KAPPA,
    NOISE_BP,
    PER_HOUR,
    Orders,
    Tape,
    Weather,
    drift,
    shocks,
    sizes,
)

SYMBOLS = ("ETH-USD", "BTC-USD")
START = moment("2025-01-06T00:00:00+00:00")


class Synthetic:
    """A market where ETH's return from one 10 s bar to the next follows a declared law.

    ``return(t + 1) = beta(t) * z(t) + kappa * BTC return(t) - bounce(t) + noise``: z is the flow imbalance of bar t in
    standard deviations, the bounce is how far the last trade was from the middle price; an empty bar does not move.
    Rows arrive with delays: some out of order, a few late, twice or broken, as from a real feed.

    Parameters
    ----------
    hours : float
        Length of the run, event time.
    drift : str
        How beta moves: ``none``, ``sudden``, ``gradual``, ``incremental`` or ``recurring``.

    Examples
    --------
    >>> source = Synthetic(seed=7, hours=0.5)
    >>> source.name, source.symbols
    ('synthetic:sudden:seed=7:hours=0.5', ('ETH-USD', 'BTC-USD'))
    >>> next(source.chunks(3))["kind"].tolist()
    ['trade', 'quote', 'trade']
    """

    symbols = SYMBOLS

    schema = TRADES

    def __init__(self, seed: int = 7, hours: float = 24.0, drift: str = "sudden") -> None:
        if drift not in DRIFTS:
            raise LookupError(f"no drift {drift!r}; known: {', '.join(DRIFTS)}")
        if not 0.1 <= hours <= 24 * 31:
            raise ValueError(f"hours must lie between 0.1 and 744, got {hours}")
        self.seed = seed
        self.hours = hours
        self.drift = drift
        self.name = f"synthetic:{drift}:seed={seed}:hours={hours:g}"
        self._bars = round(hours * PER_HOUR)

    @property
    def rows(self) -> int:
        """Number of raw rows."""
        return len(self._arrived)

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """Raw rows in order of arrival, at most ``n`` at a time."""
        for piece in pieces(self._arrived, n):
            yield piece.infer_objects()

    def truth(self) -> pd.DataFrame:
        """What is true at the end of each bar of ETH, the last one left out.

        ``end`` (ns), ``beta`` (bp per standard deviation), ``imbalance``, its standardised ``z``, the expectation of
        the next return ``signal_bp``, its parts, ``noise_bp`` (standard deviation of the rest), the next
        ``return_bp`` itself, and ``best_r2``: the R2 against zero to be expected of the signal over the last hour.
        """
        return self._market[1].copy()

    @property
    def best_r2(self) -> float:
        """R2 against zero return of a model that knows the law, over the whole run."""
        truth = self._market[1]
        rest = truth["return_bp"] - truth["signal_bp"]
        return float(1.0 - (rest**2).sum() / (truth["return_bp"] ** 2).sum())

    @cached_property
    def _market(self) -> tuple[tuple[Tape, Tape], pd.DataFrame]:
        rng, n = np.random.default_rng(self.seed), self._bars
        weather, beta = Weather.draw(n, rng), drift(self.drift, n, rng)
        noise = NOISE_BP * weather.volatility
        btc = _lone(weather, noise * shocks(n, rng), rng)
        orders = Orders.draw(weather.pace, 8.0, rng)
        size = sizes(orders, 0.25, rng)
        imbalance = _imbalance(orders, size, n)
        z = imbalance / imbalance.std()
        known = beta * z + KAPPA * btc.return_bp
        move = np.concatenate([[0.0], known[:-1]]) + COMMON * btc.move_bp + noise * shocks(n, rng)
        eth = Tape.draw(orders, size, move, weather, 2500.0, rng)
        return (eth, btc), _truth(beta, z, eth, btc, noise)

    @cached_property
    def _arrived(self) -> pd.DataFrame:
        rng = np.random.default_rng([self.seed, 1])  # the market does not depend on how its news travel
        return wire.deliver(dict(zip(SYMBOLS, self._market[0], strict=True)), START, rng)


def _lone(weather: Weather, move: np.ndarray, rng: np.random.Generator) -> Tape:
    """The tape of the symbol that follows no other."""
    orders = Orders.draw(weather.pace, 9.0, rng)
    return Tape.draw(orders, sizes(orders, 0.02, rng), move, weather, 62_000.0, rng)


def _imbalance(orders: Orders, size: np.ndarray, bars: int) -> np.ndarray:
    bar, side = np.repeat(orders.bar, orders.fills), np.repeat(orders.side, orders.fills)
    volume = np.bincount(bar, weights=size, minlength=bars)
    return np.bincount(bar, weights=size * side, minlength=bars) / np.where(volume > 0, volume, 1.0)


def _truth(beta: np.ndarray, z: np.ndarray, eth: Tape, btc: Tape, noise: np.ndarray) -> pd.DataFrame:
    n = len(beta) - 1
    parts = {"flow_bp": beta * z, "lead_bp": KAPPA * btc.return_bp, "bounce_bp": -eth.bounce_bp}
    rest = noise[1:] ** 2 * (1 + COMMON**2) + eth.bounce_bp.var()
    known = (beta**2 + (KAPPA * btc.return_bp).var() + eth.bounce_bp.var())[:-1]
    columns = {"end": START + (np.arange(n) + 1) * BAR_MS * 10**6, "beta": beta[:-1]}
    columns |= {"imbalance": eth.imbalance[:-1], "z": z[:-1], "signal_bp": sum(parts.values())[:-1]}
    columns |= {name: part[:-1] for name, part in parts.items()}
    columns |= {"noise_bp": np.sqrt(rest), "return_bp": eth.return_bp[1:]}
    hour = pd.DataFrame({"known": known, "all": known + rest}).rolling(PER_HOUR, min_periods=1).mean()
    return pd.DataFrame(columns | {"best_r2": hour["known"] / hour["all"]})
