"""Programs: the formulas of a feature set as a table of operations for the window kernel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from rtml.features.formulas import KINDS, OPS, Formula, parts
from rtml.kernels import sums

_MOMENTS = ("sum", "count", "mean", "var", "std")
_QUEUES = ("min", "max", "first", "last", "distinct")


def resolve(formula: Formula, named: Mapping[str, Formula], path: tuple[str, ...] = ()) -> Formula:
    """A formula with every reference to a feature replaced by what it refers to.

    Examples
    --------
    >>> from rtml.features.formulas import column, feature
    >>> print(resolve(feature("double") + 1, {"double": column("x") * 2}))
    ((x * 2.0) + 1.0)
    >>> resolve(feature("a"), {"a": feature("b") + 1, "b": feature("a")})
    Traceback (most recent call last):
        ...
    ValueError: features refer to each other in a circle: a -> b -> a
    """
    if formula.op == "feature":
        name = formula.value
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            raise ValueError(f"features refer to each other in a circle: {circle}")
        if name not in named:
            raise LookupError(f"no feature {name!r}; declared: {', '.join(named)}")
        return resolve(named[name], named, (*path, name))
    args = tuple(resolve(arg, named, path) for arg in formula.args)
    return Formula(formula.op, args, formula.value, formula.kind, formula.within)


class Program:
    """Tables that the kernel runs: equal formulas are computed once, windows of one input share one past.

    Parameters
    ----------
    formulas
        One an output, without references.
    defaults
        What stands where an output is missing.
    columns
        Names of the columns of a row.

    Examples
    --------
    >>> from rtml.features.formulas import column
    >>> a = column("a")
    >>> Program([a + 1, a + 1], [0.0, 0.0], ["a"]).outputs.tolist()
    [2, 2]
    """

    def __init__(self, formulas: Sequence[Formula], defaults: Sequence[float], columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._place: dict[object, int] = {}
        self._nodes: list[tuple] = []
        self.rings: dict[Formula, int] = {}
        self.places: dict[tuple, int] = {}
        self._every: dict[int, int] = {}
        self._helds = []
        self._tables = []
        self._ewms = []
        self.n_floats = self.n_queues = self.deepest = 0
        self._lags: list[int] = []
        self._squared = {(f.args, f.value, f.kind) for g in formulas for f in parts(g) if f.op in ("var", "std")}
        outputs = [self.node(formula) for formula in formulas]
        self.nodes = np.array([node[:6] for node in self._nodes], np.int64).reshape(-1, 6)
        self.consts = np.array([node[6] for node in self._nodes], float)
        self.outputs, self.defaults = np.array(outputs, np.int64), np.array(defaults, float)
        self.windows = np.array(list(self.places), np.int64).reshape(-1, 2)
        self.every, self.helds = np.array(list(self._every), np.int64), _table(self._helds, 3)
        self.tables = _table(self._tables, 2)
        slack = max(self._every, default=0)
        self.ewms = _table([(cell, life, slack) for cell, life in self._ewms], 3)
        past = [width for width, _ in self.places] + self._lags
        self.keep = -1 if 0 in self._lags else max(past, default=0) + slack

    def node(self, formula: Formula) -> int:
        """Row of the table that computes a formula."""
        if formula in self._place:
            return self._place[formula]
        op = OPS[formula.op]
        if op >= sums.SUM:
            return self._place.setdefault(formula, self._aggregate(formula))
        a = 0
        b = 0
        const = 0.0
        if op == sums.COLUMN:
            a = self._column(formula.value)
        elif op == sums.LAG:
            return self._place.setdefault(formula, self._lag(formula))
        elif op == sums.HELD:
            return self._place.setdefault(formula, self._held(formula))
        else:
            a, b = (*[self.node(arg) for arg in formula.args], 0, 0)[:2]
            const = float(formula.value)
        return self._place.setdefault(formula, self._add(op, a, b, const=const))

    def _add(self, op: int, a: int = 0, b: int = 0, ring: int = 0, window: int = 0, cell: int = 0, const=0.0) -> int:
        self._nodes.append((op, a, b, ring, window, cell, const))
        return len(self._nodes) - 1

    def _column(self, name: str) -> int:
        if name not in self.columns:
            raise LookupError(f"no column {name!r}; the rows have: {', '.join(self.columns)}")
        return self.columns.index(name)

    def _ring(self, formula: Formula) -> tuple[int, int]:
        """Node that keeps the past of a formula, and the ring where it lies."""
        key = ("ring", formula)
        if key not in self._place:
            inner = self.node(formula)
            ring = self.rings.setdefault(formula, len(self.rings))
            self._place[key] = self._add(sums.RING, inner, ring=ring)
        return self._place[key], self.rings[formula]

    def _lag(self, formula: Formula) -> int:
        self.deepest = max(self.deepest, formula.value)
        self._lags.append(formula.within)
        inner, ring = self._ring(formula.args[0])
        return self._add(sums.LAG, inner, formula.value, ring, const=formula.within or math.inf)

    def _held(self, formula: Formula) -> int:
        inner = self.node(formula.args[0])
        schedule = self._every.setdefault(formula.value, len(self._every))
        self._helds.append((inner, self._floats(1), schedule))
        return self._add(sums.HELD, inner, cell=self._helds[-1][1])

    def _floats(self, wanted: int) -> int:
        self.n_floats += wanted
        return self.n_floats - wanted

    def _aggregate(self, formula: Formula) -> int:
        """An aggregate, its window and what it keeps: a sum, a queue of rows, a table of values or a decaying pair."""
        op, inputs = OPS[formula.op], self._ring(formula.args[0])
        if formula.op == "ewm":
            self._ewms.append((self._floats(2), formula.value))
            return self._add(op, inputs[0], cell=self._ewms[-1][0], const=float(formula.value))
        kind = KINDS.index(formula.kind or "sliding")
        window = self.places.setdefault((formula.value, kind), len(self.places))
        if formula.op in _MOMENTS:
            return self._add(op, cell=self._cell(formula, inputs, window))
        unit = self.n_queues
        self.n_queues += 2 if formula.op == "distinct" else 1
        if formula.op == "distinct":
            self._tables.append((unit, inputs[1]))
        return self._add(op, inputs[0], ring=inputs[1], window=window, cell=unit)

    def _cell(self, formula: Formula, inputs: tuple[int, int], window: int) -> int:
        """Running sum that all moments of one input over one window share."""
        key = (formula.args, formula.value, formula.kind)
        if ("cell", key) not in self._place:
            squares = key in self._squared
            cell = self._floats(5 if squares else 3)
            self._add(sums.CELL, inputs[0], int(squares), inputs[1], window, cell)
            self._place["cell", key] = cell
        return self._place["cell", key]


def _table(rows: list[tuple], width: int) -> np.ndarray:
    return np.array(rows, np.int64).reshape(-1, width)
