"""Who took a trade, in the words of any file: read whole or refused, never half a market."""

from __future__ import annotations

import numpy as np

from rtml.core.later import pd
from rtml.sources.moments import texts
from rtml.sources.tables import Unreadable

_BUY, _SELL = "buy", "sell"
_WORDS = dict.fromkeys(("buy", "b", "bid", "buyer", "bought", "long", "taker_buy", "+"), _BUY)
_WORDS |= dict.fromkeys(("sell", "s", "ask", "a", "seller", "sold", "short", "taker_sell", "-"), _SELL)
_UNKNOWN = dict.fromkeys(("none", "n", "unknown", "nan", "null", "n/a", "undefined"))
_SIGNS = {"1": _BUY, "-1": _SELL, "0": None}
_FIX = {"1": _BUY, "2": _SELL, "5": _SELL, "6": _SELL}  # tag 54
_TRUE = ("true", "1", "t", "yes", "y")
_FALSE = ("false", "0", "f", "no", "n")
_LEAST = 0.95  # of the rows that say something must be understood


def read_sides(column: pd.Series, where: str) -> np.ndarray | pd.Categorical:
    """``buy``, ``sell`` or nothing of every row; the few that say something else keep their text.

    Examples
    --------
    >>> read_sides(pd.Series(["B", "S", None]), "side of x.csv").tolist(), read_sides(pd.Series([1, 2]), "54").tolist()
    (['buy', 'sell', nan], ['buy', 'sell'])
    """
    codes, words, weights = _counted(column)
    said = {word for word in words if word not in _UNKNOWN}
    if said and said <= {"0", "1", "true", "false"} and said != {"1"}:
        raise Unreadable(
            f"{where} holds only {', '.join(sorted(said))}: which one is buy? Say what the column is, "
            'COLUMNS={"maker": "<column>"} (1: the buyer was the maker) or {"taker_buy": "<column>"} (1: the buyer '
            'took), or leave it out, {"side": ""}'
        )
    table = _WORDS if said & _WORDS.keys() else _FIX if said <= _FIX.keys() else _SIGNS
    return _applied(codes, words, weights, table, where, "buy and sell, B and S, bid and ask, 1 and 2 (FIX), 1 and -1")


def read_flags(column: pd.Series, where: str, true: str) -> np.ndarray | pd.Categorical:
    """Sides of a flag, such as whether the buyer was the maker; ``true`` is the side that a set flag means.

    Examples
    --------
    >>> read_flags(pd.Series(["True", "False", "1"]), "m of x.csv", "sell").tolist()
    ['sell', 'buy', 'sell']
    """
    codes, words, weights = _counted(column)
    table = dict.fromkeys(_TRUE, true) | dict.fromkeys(_FALSE, _BUY if true == _SELL else _SELL)
    return _applied(codes, words, weights, table, where, "true and false, 1 and 0, yes and no")


def _counted(column: pd.Series) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Place of each row's word among the words in lower case, -1 where it is blank, and how often each occurs."""
    if isinstance(column.dtype, pd.StringDtype):  # a few words, over and over
        place, held = pd.factorize(column)
        codes, words = pd.factorize(texts(pd.Series(held)))
        codes = np.append(codes, -1)[place]
    else:
        codes, words = pd.factorize(texts(column))
    plain = [str(word).lower().removesuffix(".0").removeprefix("+") or "+" for word in words]
    return codes, plain, np.bincount(codes[codes >= 0], minlength=len(plain))


def _applied(
    codes: np.ndarray, words: list[str], weights: np.ndarray, table: dict, where: str, forms: str
) -> np.ndarray | pd.Categorical:
    table = _UNKNOWN | table
    meaning = [table.get(word, word) for word in words]
    understood = sum(weight for word, weight in zip(words, weights, strict=True) if word in table)
    both = {_BUY, _SELL} <= set(meaning)
    if understood < weights.sum() and (understood < _LEAST * weights.sum() or not both):
        common = [words[k] for k in np.argsort(-weights, kind="stable")[:5]]
        row = int(np.flatnonzero(~np.isin(codes, [k for k, word in enumerate(words) if word in table] + [-1]))[0])
        raise Unreadable(
            f"{where} holds {', '.join(map(repr, common))}, and {words[codes[row]]!r} in row {row + 1}: sides that are "
            f'read are {forms}; write them so, or leave the column out, COLUMNS={{"side": ""}}'
        )
    if understood < weights.sum():
        return np.array([*meaning, None], object)[codes]
    place = np.array([{_BUY: 0, _SELL: 1}.get(side, -1) for side in [*meaning, None]], np.int8)
    return pd.Categorical.from_codes(place[codes], [_BUY, _SELL])


def signed(size: np.ndarray, side: np.ndarray | pd.Categorical | None) -> bool:
    """Whether the sign of a size is the side: positive and negative both occur, neither as a rare mistake.

    Where the file says the sides too, the signs must agree with them: a negative buy is a mistake.

    Examples
    --------
    >>> signed(np.array([1.0, -2.0]), None), signed(np.array([1.0, -2.0]), np.array(["buy", "buy"]))
    (True, False)
    """
    given = np.isfinite(size) & (size != 0)
    some = size[given]
    both = len(some) > 1 and 0.05 <= (some < 0).mean() <= 0.95
    return bool(both and (side is None or ((np.asarray(side)[given] == _SELL) == (some < 0)).mean() >= _LEAST))
