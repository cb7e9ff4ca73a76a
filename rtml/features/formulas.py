"""Formulas: numbers of a row, as arithmetic of columns, lags and event-time windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rtml.core.clock import span, span_text
from rtml.kernels import sums

OPS = {name: op for op, name in enumerate(sums.NAMES)}
AGGREGATES = sums.NAMES[sums.SUM :]
KINDS = ("sliding", "tumbling", "session")
_SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "mod": "%", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_SIGNS |= {"eq": "==", "where": "where"}


def _both(op: str, one: Formula, other: Formula | float) -> Formula:
    return Formula(op, (one, other if isinstance(other, Formula) else constant(other)))


def _operator(op: str) -> Callable[[Formula, Formula | float], Formula]:
    return lambda one, other: _both(op, one, other)


@dataclass(frozen=True)
class Formula:
    """A number of each row: a column, a constant, arithmetic of formulas, a lag, or an aggregate over a window.

    Missing is NaN and stays NaN through arithmetic and comparison; aggregates skip it; ``fill`` ends it.

    Examples
    --------
    >>> price = column("close")
    >>> print((price / price.lag(1)).log() * 1e4)
    ((log (close / (lag close 1))) * 10000.0)
    >>> print(price.where(column("volume") > 10).over("1d", "mean", kind="tumbling"))
    (mean (close where (volume > 10.0)) 1d tumbling)
    """

    op: str
    args: tuple = ()
    value: float | int | str = 0.0
    kind: str = ""  # of a window that does not slide
    within: int = 0  # ns after which a lag is missing, 0 for never

    __add__ = _operator("add")
    __sub__ = _operator("sub")
    __mul__ = _operator("mul")
    __truediv__ = _operator("div")
    __mod__ = _operator("mod")
    __gt__ = _operator("gt")
    __ge__ = _operator("ge")
    __lt__ = _operator("lt")
    __le__ = _operator("le")

    def equals(self, other: Formula | float) -> Formula:
        """1 where equal, else 0 (``==`` compares declarations)."""
        return _both("eq", self, other)

    def where(self, condition: Formula) -> Formula:
        """The value where a condition holds, else missing: an aggregate of it takes only those rows."""
        return _both("where", self, condition)

    def missing(self) -> Formula:
        """1 where the value is missing, else 0."""
        return Formula("missing", (self,))

    def log(self) -> Formula:
        """Natural logarithm; NaN where not positive."""
        return Formula("log", (self,))

    def sqrt(self) -> Formula:
        """Square root; NaN where negative."""
        return Formula("sqrt", (self,))

    def abs(self) -> Formula:
        """Magnitude."""
        return Formula("abs", (self,))

    def floor(self) -> Formula:
        """Whole number at or below."""
        return Formula("floor", (self,))

    def clip(self, limit: float) -> Formula:
        """Cut to ``[-limit, limit]``."""
        return Formula("clip", (self,), float(limit))

    def fill(self, default: float) -> Formula:
        """Replace NaN and infinity."""
        return Formula("fill", (self,), float(default))

    def lag(self, rows: int, within: str = "") -> Formula:
        """Value ``rows`` rows of the same key earlier; NaN before there are so many, or when ``within`` has passed."""
        if rows < 1:
            raise ValueError(f"a lag looks back at least one row, got {rows}")
        return Formula("lag", (self,), int(rows), within=span(within) if within else 0)

    def over(self, window: str, how: str, kind: str = "sliding") -> Formula:
        """Aggregate over the rows of a key in a window of event time, this row included.

        Parameters
        ----------
        window
            A span such as ``"24h"``: length of a sliding or tumbling window, gap that ends a session, half-life of
            ``ewm``.
        how
            sum, count, mean, var, std (of a sample), min, max, first, last, distinct (how many different values), or
            ewm: exponentially weighted mean, a value's weight halved every ``window`` (missing once no weight is left
            that a float would notice, 64 half-lives after a single value).
        kind
            ``sliding`` is ``(t - window, t]``; ``tumbling`` begins at the last multiple of ``window`` since 1970, that
            moment included; a ``session`` begins at the first row that comes ``window`` or more after the one before.
        """
        if how not in AGGREGATES:
            raise LookupError(f"no aggregate {how!r}; known: {', '.join(AGGREGATES)}")
        if kind not in KINDS:
            raise LookupError(f"no kind of window {kind!r}; known: {', '.join(KINDS)}")
        if how == "ewm" and kind != "sliding":
            raise ValueError(f"ewm has a half-life and no window, got kind {kind!r}: leave it out")
        return Formula(how, (self,), span(window), "" if kind == "sliding" else kind)

    def held(self, every: str) -> Formula:
        """A batch feature: the value as a job would have computed it at the last multiple of ``every`` since 1970.

        What a nightly job stores for each key and a request looks up; rows at the tick itself come after the job.
        """
        if any(f.op == "held" for f in parts(self)):
            raise ValueError(f"a batch feature cannot hold another, got {self}: hold the whole formula once")
        return Formula("held", (self,), span(every))

    def __str__(self) -> str:
        if self.op in ("column", "const", "feature"):
            return f"[{self.value}]" if self.op == "feature" else str(self.value)
        if self.op == "moment":
            return "moment"
        if self.op in _SIGNS:
            return f"({self.args[0]} {_SIGNS[self.op]} {self.args[1]})"
        tail = {"lag": f" {self.value}", "clip": f" {self.value}", "fill": f" {self.value}"}
        window = f" {span_text(self.value)}" if self.op in AGGREGATES or self.op == "held" else ""
        within = f" within {span_text(self.within)}" if self.within else ""
        return f"({self.op} {self.args[0]}{tail.get(self.op, window)}{self.kind and ' ' + self.kind}{within})"


def column(name: str) -> Formula:
    """A column of the rows that are pushed.

    Examples
    --------
    >>> str(column("amount") / 100)
    '(amount / 100.0)'
    """
    return Formula("column", (), name)


def constant(value: float) -> Formula:
    """A number.

    Examples
    --------
    >>> str(constant(2) * column("a"))
    '(2.0 * a)'
    """
    return Formula("const", (), float(value))


def moment() -> Formula:
    """Event time of the row, or the moment of the request, in seconds since 1970.

    ``moment() % 86400`` is the second of the day (UTC); ``moment() - moment().lag(1)`` the time since the row before.

    Examples
    --------
    >>> str(moment() % 86400)
    '(moment % 86400.0)'
    """
    return Formula("moment")


def feature(name: str) -> Formula:
    """Another feature of the same set, as it is served: with its default where it is missing.

    Examples
    --------
    >>> str(feature("spread") + 1)
    '([spread] + 1.0)'
    """
    return Formula("feature", (), name)


def parts(formula: Formula) -> Iterator[Formula]:
    """A formula and everything it is made of.

    Examples
    --------
    >>> [part.op for part in parts(column("a") + 1)]
    ['add', 'column', 'const']
    """
    yield formula
    for arg in formula.args:
        yield from parts(arg)


def kind_of(formula: Formula) -> str:
    """``request`` (from the row alone), ``batch`` (held since a tick) or ``streaming`` (from the key's past).

    Examples
    --------
    >>> kind_of(column("a") + 1), kind_of(column("a").lag(1))
    ('request', 'streaming')
    """
    ops = {part.op for part in parts(formula)}
    if "held" in ops:
        return "batch"
    return "streaming" if ops & {"lag", *AGGREGATES} else "request"


def reach(formula: Formula) -> tuple[float, int]:
    """How far back a formula looks: nanoseconds (infinity for ever, 64 half-lives for ewm) and rows.

    Examples
    --------
    >>> reach(column("a").lag(2) - column("a"))
    (0, 2)
    """
    inner = [reach(arg) for arg in formula.args] or [(0, 0)]
    time, rows = max(t for t, _ in inner), max(r for _, r in inner)
    if formula.op == "lag":
        return time + (formula.within or 0), rows + formula.value
    if formula.op in AGGREGATES:
        time += formula.value * (64 if formula.op == "ewm" else 1)
        return (math.inf if formula.kind == "session" else time), rows
    return (time + formula.value if formula.op == "held" else time), rows
