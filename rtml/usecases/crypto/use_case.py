"""Crypto: where is the price 10 seconds from now?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rtml.core.clock import span, span_text
from rtml.core.use_case import UseCase
from rtml.features.feature_set import Feature, FeatureSet, Formula, column
from rtml.usecases.crypto import bar_kernel as kernel
from rtml.usecases.crypto.bars import Bars
from rtml.usecases.crypto.labels import Labels, horizons, targets
from rtml.usecases.crypto.operator import KEY, Market
from rtml.usecases.crypto.sources import open_source
from rtml.usecases.crypto.trades import EVENT

LIMIT_BP = 200.0  # a return beyond is a broken print, not a market
PEERS = 2  # other symbols whose moment is among the features of one, at most

_FIELDS = kernel.COLUMNS


def columns(symbols: int) -> list[str]:
    """Names of one row of bars: the own symbol's fields, then every peer's with ``@1``, ``@2`` ... behind.

    Examples
    --------
    >>> columns(2)[:2], columns(2)[-1]
    (['open', 'high'], 'spread_bp@1')
    """
    return [field if s == 0 else f"{field}@{s}" for s in range(symbols) for field in _FIELDS]


def rows(bars: np.ndarray) -> np.ndarray:
    """Bars of shape (n, symbols) as rows of :func:`columns`; age in seconds since the last trade, spread in bp.

    Examples
    --------
    >>> from rtml.usecases.crypto.bars import BAR
    >>> rows(np.zeros((4, 2), BAR)).shape
    (4, 20)
    """
    return kernel.columns(bars)


def features(symbols: tuple[str, ...], every: str = "10s", asked: int = 1) -> FeatureSet:
    """What is known of the market when a bar closes: the own symbol's features first, then those of its peers.

    Parameters
    ----------
    symbols
        All symbols of the market.
    every
        Length of a bar.
    asked
        How many of them are asked for; where there are several, ``key`` is the last feature.

    Examples
    --------
    >>> len(features(("BTC",)).names) < len(features(("BTC", "ETH")).names)
    True
    """
    peers = min(len(symbols) - 1, PEERS)
    declared = _price(span(every)) + _flow(span(every))
    for s in range(1, peers + 1):
        declared += _other(s, span(every))
    names = columns(peers + 1)
    if asked > 1:
        declared.append(Feature(KEY, column(KEY), "place", "which of the run's symbols is asked for"))
        names.append(KEY)
    return FeatureSet(declared, names)


def operator(config) -> Market:
    """Bars, features and labels of a run's market, with empty state."""
    options, symbols = config.options, (*config.keys, *config.options["inputs"])
    bars = Bars(options["bar"], options["lateness"], len(symbols))
    labels = [[Labels(options["bar"], horizon) for horizon in horizons(options["horizon"])] for _ in config.keys]
    return Market(bars, features(symbols, options["bar"], len(config.keys)), labels, rows)


def models(options: Mapping) -> dict[str, str]:
    """Which model learns which target, whatever its horizon.

    Examples
    --------
    >>> models({"horizon": "10s"})
    {'return': 'guarded blend', 'sign': 'guarded blend_probability', 'volatility': 'rls'}
    """
    by_kind = {"return": "guarded blend", "sign": "guarded blend_probability", "volatility": "rls"}
    return {target.name: by_kind[target.name.partition("_")[0]] for target in targets(options)}


use_case = UseCase(
    name="crypto",
    question="Where is the price of {key} in {horizon}?",
    event=EVENT,
    operator=operator,
    targets=targets,
    models=models,
    options={"bar": "10s", "lateness": "1s", "horizon": "10s", "market": {}, "inputs": ()},
    keys=("ETH-USD", "BTC-USD"),
    source=open_source,
    usual="kraken",
    inspect="rtml.usecases.crypto.recordings.profile:profile",
    notebooks="",
    view="rtml.usecases.crypto.live_view:LiveView",
)


def _at(field: str, s: int) -> Formula:
    return column(field if s == 0 else f"{field}@{s}")


def _log_ratio(above: Formula, below: Formula) -> Formula:
    """Log ratio of two prices in basis points."""
    return ((above / below).log() * 1e4).clip(LIMIT_BP)


def _return(s: int) -> Formula:
    return _log_ratio(_at("close", s), _at("close", s).lag(1))


def _imbalance(s: int, window: str = "") -> Formula:
    flow, volume = _at("flow", s), _at("volume", s)
    return flow.over(window, "sum") / volume.over(window, "sum") if window else flow / volume


def _price(bar: int) -> list[Feature]:
    """The target's price: where it went, how far, and where in its range it stands."""
    six, thirty = span_text(bar * 6), span_text(bar * 30)
    r = _return(0)
    close = column("close")
    high = column("high")
    low = column("low")
    vwap_gap = _log_ratio(close * column("volume"), column("value"))
    wide = _log_ratio(high.over(thirty, "max"), low.over(thirty, "min"))
    return [
        Feature("return_1", r, "bp", "return of the bar that just closed"),
        Feature("return_1_lag_1", r.lag(1), "bp", "return of the bar before"),
        Feature("return_1_lag_2", r.lag(2), "bp", "return two bars before"),
        Feature("return_6", r.over(six, "sum"), "bp", f"return over {six}"),
        Feature("return_30", r.over(thirty, "sum"), "bp", f"return over {thirty}"),
        Feature("move_1", r.abs(), "bp", "size of the last return, without its sign"),
        Feature("volatility_6", r.over(six, "std"), "bp", f"standard deviation of bar returns over {six}"),
        Feature("volatility_30", r.over(thirty, "std"), "bp", f"standard deviation of bar returns over {thirty}"),
        Feature("range_1", _log_ratio(high, low), "bp", "high against low of the bar"),
        Feature("range_30", wide, "bp", f"high against low of {thirty}"),
        Feature("from_high", _log_ratio(high, close), "bp", "the bar's high against its close"),
        Feature("vwap_gap", vwap_gap, "bp", "close against the bar's volume weighted price"),
    ]


def _flow(bar: int) -> list[Feature]:
    """The target's flow and pace: who buys, how often, how dear."""
    six, n = span_text(bar * 6), column("n")
    intensity = n.over(six, "sum") / (6 * bar / 1e9)
    return [
        Feature("imbalance_1", _imbalance(0), "share", "buys minus sells over all volume, last bar"),
        Feature("imbalance_6", _imbalance(0, six), "share", f"the same over {six}"),
        Feature("trades_1", (n + 1).log(), "log count", "log of one plus the trades of the bar"),
        Feature("intensity_6", intensity, "1/s", f"trades a second over {six}"),
        Feature("quiet", (column("age_s") + 1).log(), "log s", "log of one plus the seconds since the last trade"),
        Feature("spread", column("spread_bp").clip(LIMIT_BP), "bp", "best ask against best bid, 0 without quotes"),
    ]


def _other(s: int, bar: int) -> list[Feature]:
    """The same moment seen in another symbol, a peer, and how far it has run ahead."""
    six, thirty = span_text(bar * 6), span_text(bar * 30)
    r = _return(s)
    own = _return(0)
    name = "peer" if s == 1 else f"peer_{s}"
    declared = [
        ("return_1", r, "bp", "return of the bar that just closed"),
        ("return_1_lag_1", r.lag(1), "bp", "return of the bar before"),
        ("return_6", r.over(six, "sum"), "bp", f"return over {six}"),
        ("imbalance_1", _imbalance(s), "share", "buys minus sells over all volume, last bar"),
        ("imbalance_6", _imbalance(s, six), "share", f"the same over {six}"),
        ("lead_1", r - own, "bp", "its last return minus the own"),
        ("lead_6", r.over(six, "sum") - own.over(six, "sum"), "bp", f"its return over {six} minus the own"),
        (
            "lead_30",
            r.over(thirty, "sum") - own.over(thirty, "sum"),
            "bp",
            f"its return over {thirty} minus the own",
        ),
        ("from_high", _log_ratio(_at("high", s), _at("close", s)), "bp", "the bar's high against its close"),
        ("volatility_6", r.over(six, "std"), "bp", f"standard deviation of bar returns over {six}"),
    ]
    return [
        Feature(f"{name}_{what}", formula, unit, f"{name.replace('_', ' ')}: {words}")
        for what, formula, unit, words in declared
    ]
