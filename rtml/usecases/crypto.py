"""Crypto: where is the price 10 seconds from now?"""

from __future__ import annotations

import numpy as np

from rtml.bars import Bars
from rtml.clock import span, span_text
from rtml.features import Feature, FeatureSet, Formula, column
from rtml.labels import Labels

NAME = "crypto"
QUESTION = "Where is the price of {symbol} in {horizon}?"
LIMIT_BP = 200.0  # a return beyond is a broken print, not a market

_FIELDS = ("open", "high", "low", "close", "volume", "value", "flow", "n", "age_s", "spread_bp")


def columns(symbols: int) -> list[str]:
    """Names of one row of bars: the target's fields, then every other symbol's with ``@1``, ``@2`` ... behind."""
    return [field if s == 0 else f"{field}@{s}" for s in range(symbols) for field in _FIELDS]


def rows(bars: np.ndarray) -> np.ndarray:
    """Bars of shape (n, symbols) as rows of :func:`columns`; age in seconds since the last trade, spread in bp."""
    fields = {name: bars[name].astype(float) for name in _FIELDS[:8]}
    fields["age_s"] = np.where(bars["last_time"] > 0, (bars["end"] - bars["last_time"]) / 1e9, np.nan)
    fields["spread_bp"] = 2e4 * (bars["ask"] - bars["bid"]) / (bars["ask"] + bars["bid"])
    return np.stack([fields[name] for name in _FIELDS], axis=2).reshape(len(bars), bars.shape[1] * len(_FIELDS))


def features(symbols: tuple[str, ...], every: str = "10s") -> FeatureSet:
    """What is known of the market when a bar closes, the target's features first."""
    declared = _own(span(every))
    for s, symbol in enumerate(symbols[1:], start=1):
        declared += _other(s, symbol, span(every))
    return FeatureSet(declared, columns(len(symbols)))


def operators(symbols: tuple[str, ...], every: str, lateness: str, horizon: str) -> tuple[Bars, FeatureSet, Labels]:
    """Bars, features and labels of the use case, ready to be pushed."""
    return Bars(every, lateness, len(symbols)), features(symbols, every), Labels(every, horizon)


def _return(s: int) -> Formula:
    close = column(_at("close", s))
    return ((close / close.lag(1)).log() * 1e4).clip(LIMIT_BP)


def _at(field: str, s: int) -> str:
    return field if s == 0 else f"{field}@{s}"


def _own(bar: int) -> list[Feature]:
    """Price, flow and pace of the target itself."""
    one, six, thirty = (span_text(bar * k) for k in (1, 6, 30))
    r, close, value, volume, flow, n = _return(0), *(column(c) for c in ("close", "value", "volume", "flow", "n"))
    high, low = column("high"), column("low")
    return [
        Feature("return_1", r, "bp", "return of the bar that just closed"),
        Feature("return_1_lag_1", r.lag(1), "bp", "return of the bar before"),
        Feature("return_1_lag_2", r.lag(2), "bp", "return two bars before"),
        Feature("return_6", r.over(six, "sum"), "bp", f"return over {six}"),
        Feature("return_30", r.over(thirty, "sum"), "bp", f"return over {thirty}"),
        Feature("move_1", r.abs(), "bp", "size of the last return, without its sign"),
        Feature("volatility_6", r.over(six, "std"), "bp", f"standard deviation of bar returns over {six}"),
        Feature("volatility_30", r.over(thirty, "std"), "bp", f"standard deviation of bar returns over {thirty}"),
        Feature("imbalance_1", flow / volume, "share", "buys minus sells over all volume, last bar"),
        Feature("imbalance_6", flow.over(six, "sum") / volume.over(six, "sum"), "share", f"the same over {six}"),
        Feature("trades_1", (n + 1).log(), "log count", "log of one plus the trades of the bar"),
        Feature("intensity_6", n.over(six, "sum") / (6 * bar / 1e9), "1/s", f"trades a second over {six}"),
        Feature(
            "vwap_gap", ((close * volume / value).log() * 1e4).clip(LIMIT_BP), "bp", "close against the bar's vwap"
        ),
        Feature("range_1", ((high / low).log() * 1e4).clip(LIMIT_BP), "bp", "high against low of the bar"),
        Feature("from_high", ((high / close).log() * 1e4).clip(LIMIT_BP), "bp", "the bar's high against its close"),
        Feature(
            "range_30",
            ((high.over(thirty, "max") / low.over(thirty, "min")).log() * 1e4).clip(LIMIT_BP),
            "bp",
            f"high against low of {thirty}",
        ),
        Feature("quiet", (column("age_s") + 1).log(), "log s", "log of one plus the seconds since the last trade"),
        Feature("spread", column("spread_bp").clip(LIMIT_BP), "bp", "best ask against best bid, 0 without quotes"),
    ]


def _other(s: int, symbol: str, bar: int) -> list[Feature]:
    """The same moment seen in another symbol, and how far it has run ahead."""
    one, six = span_text(bar), span_text(bar * 6)
    name = symbol.replace("/", "-").split("-")[0].lower()
    r, own, flow, volume = _return(s), _return(0), column(_at("flow", s)), column(_at("volume", s))
    high, close = column(_at("high", s)), column(_at("close", s))
    thirty = span_text(bar * 30)
    return [
        Feature(f"{name}_return_1", r, "bp", f"{symbol}: return of the bar that just closed"),
        Feature(f"{name}_return_1_lag_1", r.lag(1), "bp", f"{symbol}: return of the bar before"),
        Feature(f"{name}_return_6", r.over(six, "sum"), "bp", f"{symbol}: return over {six}"),
        Feature(f"{name}_imbalance_1", flow / volume, "share", f"{symbol}: buys minus sells over all volume"),
        Feature(
            f"{name}_imbalance_6",
            flow.over(six, "sum") / volume.over(six, "sum"),
            "share",
            f"{symbol}: the same over {six}",
        ),
        Feature(f"{name}_lead_1", r - own, "bp", f"{symbol}'s last return minus the target's"),
        *(
            Feature(
                f"{name}_lead_{k}", r.over(w, "sum") - own.over(w, "sum"), "bp", f"{symbol}'s return over {w} minus it"
            )
            for k, w in ((6, six), (30, thirty))
        ),
        Feature(
            f"{name}_from_high", ((high / close).log() * 1e4).clip(LIMIT_BP), "bp", f"{symbol}: high against close"
        ),
        Feature(f"{name}_volatility_6", r.over(six, "std"), "bp", f"{symbol}: volatility over {six}"),
    ]
