"""Declarations: a feature with its name, unit and meaning; a categorical column with its values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from rtml.core.clock import span, span_text
from rtml.features.formulas import AGGREGATES, Formula, column, constant, kind_of, parts, reach

LAST = "last"  #: policies of a feature at serving
DEFAULT = "default"
REFUSE = "refuse"


@dataclass(frozen=True)
class Feature:
    """A formula with a name, a unit and a meaning, and the default that stands where it is not known.

    ``warm_up`` is the time until the feature is meaningful; by default the lookback of its formula. ``ttl`` is the age
    from which on a served value is stale (never unless given), and ``policy`` what then stands there, or where a
    request did not bring it: "last", the newest value, "default", or "refuse". Unless given, a stale value is served
    as it is and one that is absent from a request is refused. Neither is part of the definition.

    Examples
    --------
    >>> from rtml.features.formulas import column
    >>> Feature("amount", column("amount"), "EUR", "What is paid", policy="newest")
    Traceback (most recent call last):
        ...
    ValueError: policy of 'amount' must be last, default or refuse, got 'newest'
    """

    name: str
    formula: Formula
    unit: str
    meaning: str
    default: float = 0.0
    warm_up: str = ""
    ttl: str = ""
    policy: str = ""

    def __post_init__(self) -> None:
        if self.policy not in ("", LAST, DEFAULT, REFUSE):
            raise ValueError(f"policy of {self.name!r} must be last, default or refuse, got {self.policy!r}")
        if self.ttl:
            span(self.ttl)

    def described(self, resolved: Formula) -> dict:
        """The whole declaration as data; ``resolved`` is the formula without references."""
        spans = sorted({part.value for part in parts(resolved) if part.op in AGGREGATES})
        kind, window = kind_of(resolved), ", ".join(span_text(width) for width in spans)
        about = {"kind": kind, "unit": self.unit, "window": window, "warm_up": self.warm_up or _lookback(resolved)}
        about |= {"ttl": self.ttl, "policy": self.policy}
        return about | {"default": self.default, "meaning": self.meaning, "formula": str(self.formula)}


def _lookback(formula: Formula) -> str:
    """How far back a formula looks, in words."""
    time, rows = reach(formula)
    spans = ["a session"] if time == float("inf") else [span_text(int(time))] if time else []
    return " and ".join(spans + ([f"{rows} row{'s' * (rows > 1)}"] if rows else []))


@dataclass(frozen=True)
class Category:
    """A column of texts (or numbers) of which some values are known; an unseen one and a missing one have own slots.

    In a row it is a number: the place of the value, ``len(values)`` for one that is not declared, NaN for none. The
    same numbers come from a table, from one request and from the log, since the values are part of the declaration.

    Examples
    --------
    >>> kind = Category("merchant", ("food", "travel"))
    >>> kind.codes(["travel", "casino", None, "food"])
    array([ 1.,  2., nan,  0.])
    >>> [feature.name for feature in kind.features()]
    ['merchant=food', 'merchant=travel', 'merchant=unseen', 'merchant=none']
    """

    name: str
    values: tuple

    def __post_init__(self) -> None:
        if len(set(self.values)) < len(self.values) or not self.values:
            raise ValueError(f"values of category {self.name!r} must be given and differ, got {self.values}")

    def codes(self, column: Iterable) -> np.ndarray:
        """Numbers of values."""
        known = {value: float(place) for place, value in enumerate(self.values)}
        unseen, missing = float(len(self.values)), float("nan")
        return np.array([missing if _none(v) else known.get(v, unseen) for v in _plain(column)], float)

    def features(self, how: str = "one_hot", meaning: str = "") -> list[Feature]:
        """One feature a slot (``one_hot``), or one with the number of the slot (``ordinal``)."""
        code, n = column(self.name), len(self.values)
        meaning = meaning or f"what {self.name} is"
        if how == "ordinal":
            return [Feature(self.name, code.fill(n + 1), "slot", f"{meaning}: {n} unseen, {n + 1} none", n + 1)]
        if how != "one_hot":
            raise LookupError(f"no encoding {how!r}; known: one_hot, ordinal")
        slots = [(str(value), code.equals(place)) for place, value in enumerate([*self.values, "unseen"])]
        slots.append(("none", code.missing() * constant(1)))
        return [Feature(f"{self.name}={slot}", f.fill(0), "0 or 1", f"{meaning}: {slot}") for slot, f in slots]


def as_rows(columns: Iterable[str | Category], table: Mapping[str, Iterable]) -> np.ndarray:
    """Float rows of a table or of columns by name; a column that is not there is missing in every row.

    Examples
    --------
    >>> as_rows(["a", "b"], {"a": [1, 2]})
    array([[ 1., nan],
           [ 2., nan]])
    """
    n = len(next(iter(table.values()))) if isinstance(table, dict) else len(table)
    columns = tuple(columns)
    rows = np.full((n, len(columns)), np.nan)
    for place, named in enumerate(columns):
        name = named.name if isinstance(named, Category) else named
        if name in table:
            values = table[name]
            rows[:, place] = named.codes(values) if isinstance(named, Category) else _numbers(name, values)
    return rows


def _numbers(name: str, values: Iterable) -> np.ndarray:
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        return values.astype(float)
    try:
        return np.array([np.nan if _none(v) else v for v in _plain(values)], float)
    except (TypeError, ValueError) as wrong:
        raise TypeError(f"column {name!r} holds no numbers ({wrong}): declare it as Category(name, values)") from wrong


def _plain(values: Iterable) -> list:
    return values.tolist() if hasattr(values, "tolist") else list(values)


def _none(value: object) -> bool:
    """Whether a value is missing: None, NaN, NaT or a table's own mark for it."""
    return value is None or value != value or type(value).__name__ in ("NAType", "NaTType")
