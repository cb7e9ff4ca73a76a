"""Features: declared as formulas over columns, lags and event-time windows, run by one compiled graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rtml.checkpoint import digest
from rtml.clock import span, span_text
from rtml.kernels import graph

_OPS = {name: op for op, name in enumerate(graph.NAMES)}


@dataclass(frozen=True)
class Formula:
    """A number of each row: a column, a constant, arithmetic of formulas, a lag, or an aggregate over a window.

    Missing is NaN and stays NaN through arithmetic; aggregates skip it; ``fill`` ends it.

    Examples
    --------
    >>> price = column("close")
    >>> print((price / price.lag(1)).log() * 1e4)
    ((log (close / (lag close 1))) * 10000.0)
    """

    op: str
    args: tuple = ()
    value: float | int | str = 0.0

    def _with(self, op: str, other: Formula | float) -> Formula:
        return Formula(op, (self, other if isinstance(other, Formula) else constant(other)))

    def __add__(self, other):
        return self._with("add", other)

    def __sub__(self, other):
        return self._with("sub", other)

    def __mul__(self, other):
        return self._with("mul", other)

    def __truediv__(self, other):
        return self._with("div", other)

    def log(self) -> Formula:
        """Natural logarithm; NaN where not positive."""
        return Formula("log", (self,))

    def sqrt(self) -> Formula:
        """Square root; NaN where negative."""
        return Formula("sqrt", (self,))

    def abs(self) -> Formula:
        """Magnitude."""
        return Formula("abs", (self,))

    def clip(self, limit: float) -> Formula:
        """Cut to ``[-limit, limit]``."""
        return Formula("clip", (self,), float(limit))

    def fill(self, default: float) -> Formula:
        """Replace NaN and infinity."""
        return Formula("fill", (self,), float(default))

    def lag(self, rows: int) -> Formula:
        """Value ``rows`` rows of the same key earlier; NaN before there are so many."""
        if rows < 1:
            raise ValueError(f"a lag looks back at least one row, got {rows}")
        return Formula("lag", (self,), int(rows))

    def over(self, window: str, how: str) -> Formula:
        """Aggregate over ``(t - window, t]``: sum, count, mean, std, min or max, this row included."""
        if how not in graph.NAMES[graph.SUM :]:
            raise LookupError(f"no aggregate {how!r}; known: {', '.join(graph.NAMES[graph.SUM :])}")
        return Formula(how, (self,), span(window))

    def __str__(self) -> str:
        if self.op in ("column", "const"):
            return str(self.value)
        signs = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
        if self.op in signs:
            return f"({self.args[0]} {signs[self.op]} {self.args[1]})"
        tail = {"lag": f" {self.value}", "clip": f" {self.value}", "fill": f" {self.value}"}
        window = f" {span_text(self.value)}" if _OPS[self.op] >= graph.SUM else ""
        return f"({self.op} {self.args[0]}{tail.get(self.op, window)})"


def column(name: str) -> Formula:
    """A column of the rows that are pushed."""
    return Formula("column", (), name)


def constant(value: float) -> Formula:
    """A number."""
    return Formula("const", (), float(value))


@dataclass(frozen=True)
class Feature:
    """A formula with a name, a unit and a meaning, and the default that stands where it is not known."""

    name: str
    formula: Formula
    unit: str
    meaning: str
    default: float = 0.0


class FeatureSet:
    """Rows in, features out: ``len(features)`` numbers a row, known at the row's own moment.

    Examples
    --------
    >>> spend = Feature("spend_24h", column("amount").over("24h", "sum"), "EUR", "spent in the last day, this included")
    >>> features = FeatureSet([spend], columns=["amount"])
    >>> hour = span("1h")
    >>> features.push(np.array([0, 2, 25]) * hour, np.array([[5.0], [7.0], [1.0]]))
    array([[ 5.],
           [12.],
           [ 8.]])
    """

    def __init__(self, features: Sequence[Feature], columns: Sequence[str], keys: int = 1) -> None:
        repeated = {f.name for f in features if sum(f.name == g.name for g in features) > 1}
        if repeated:
            raise ValueError(f"feature names must be unique, repeated: {', '.join(sorted(repeated))}")
        self.features, self.columns = tuple(features), tuple(columns)
        self.names = tuple(f.name for f in features)
        self._place: dict[Formula, int] = {}
        self._table: list[tuple] = []
        self._rings: dict[Formula, int] = {}
        self._windows: dict[int, int] = {}
        self._sums = self._queues = self._deepest = 0
        outputs = [self._node(f.formula.fill(f.default)) for f in features]
        self._outputs = np.array(outputs, np.int64)
        self._nodes = np.array(self._table, graph.NODE)
        self._widths = np.array(list(self._windows), np.int64)
        self._allocate(keys, 16)

    @property
    def definition(self) -> str:
        """Hash of every name, formula and default: it changes when a feature does."""
        text = "\n".join(f"{f.name} = {f.formula} ?? {f.default}" for f in self.features)
        return digest(text.encode())[:12]

    def catalogue(self) -> pd.DataFrame:
        """One row a feature: name, unit, default, meaning, formula."""
        rows = [(f.name, f.unit, f.default, f.meaning, str(f.formula)) for f in self.features]
        return pd.DataFrame(rows, columns=["feature", "unit", "default", "meaning", "formula"]).set_index("feature")

    def push(self, time: np.ndarray, rows: np.ndarray, key: np.ndarray | None = None) -> np.ndarray:
        """Features of each row, shape (rows, features), float64; rows of a key come in order of ``time`` (ns)."""
        time = np.ascontiguousarray(time, np.int64)
        rows = np.ascontiguousarray(rows, np.float64).reshape(time.size, len(self.columns))
        key = np.zeros(time.size, np.int64) if key is None else np.ascontiguousarray(key, np.int64)
        if key.size and key.max() >= len(self._state["count"]):
            self._resize(keys=1 << int(key.max()).bit_length())  # the same whatever the chunks
        out, done = np.empty((time.size, len(self.features))), 0
        while done < time.size:
            table = (self._nodes, self._widths, self._deepest, self._outputs)
            done = graph.push(done, time, key, rows, *table, *self._state.values(), out)
            if done < time.size:
                self._resize(ring=2 * self._state["times"].shape[1])
        return out

    @property
    def state(self) -> dict:
        """Everything the next row depends on, as arrays."""
        return {"definition": self.definition} | {name: array.copy() for name, array in self._state.items()}

    def load(self, state: dict) -> None:
        """Continue from a state of the same definition."""
        if state["definition"] != self.definition:
            raise ValueError(
                f"the state belongs to features {state['definition']}, these are {self.definition}: "
                "replay the log through the new features instead"
            )
        self._state = {name: state[name].copy() for name in self._state}

    def _node(self, formula: Formula) -> int:
        """Row of the table that computes a formula; equal formulas share one."""
        if formula in self._place:
            return self._place[formula]
        args = [self._node(arg) for arg in formula.args] + [0, 0]
        op, ring, window, cell, const = _OPS[formula.op], 0, 0, 0, 0.0
        if op == graph.COLUMN:
            args[0] = self._column(formula.value)
        elif op >= graph.LAG:
            ring = self._rings.setdefault(formula.args[0], len(self._rings))
            window, cell = self._claim(op, formula.value)
            args[1] = formula.value if op == graph.LAG else 0
        else:
            const = float(formula.value)
        self._table.append((op, args[0], args[1], ring, window, cell, const))
        return self._place.setdefault(formula, len(self._table) - 1)

    def _column(self, name: str) -> int:
        if name not in self.columns:
            raise LookupError(f"no column {name!r}; the rows have: {', '.join(self.columns)}")
        return self.columns.index(name)

    def _claim(self, op: int, value: int) -> tuple[int, int]:
        """Window and accumulator of a new aggregate; a lag needs only depth."""
        if op == graph.LAG:
            self._deepest = max(self._deepest, value)
            return 0, 0
        window = self._windows.setdefault(value, len(self._windows))
        if op >= graph.MIN:
            self._queues += 1
            return window, self._queues - 1
        self._sums += 1
        return window, self._sums - 1

    def _allocate(self, keys: int, ring: int) -> None:
        """Empty state for so many keys and so many rows a key (a power of two)."""
        while ring <= self._deepest:
            ring *= 2
        self._state = {
            "times": np.zeros((keys, ring), np.int64),
            "rings": np.zeros((keys, len(self._rings), ring)),
            "count": np.zeros(keys, np.int64),
            "tail": np.zeros((keys, len(self._widths)), np.int64),
            "cells": np.zeros((keys, max(self._sums, 1)), graph.CELL),
            "queues": np.zeros((keys, max(self._queues, 1), ring), np.int64),
            "ends": np.zeros((keys, max(self._queues, 1), 2), np.int64),
        }

    def _resize(self, keys: int = 0, ring: int = 0) -> None:
        """More keys or longer rings; row ``n`` of a key moves to its place modulo the new length."""
        old = self._state
        had, length = old["times"].shape
        self._allocate(max(keys, had), max(ring, length))
        for name, array in old.items():
            new = self._state[name]
            if name not in ("times", "rings", "queues"):
                new[:had] = array
                continue
            last = (old["ends"][..., 1] if name == "queues" else old["count"][:, None])[..., None] - 1
            last = last if name != "times" else last[:, 0]
            numbers = last - np.arange(length)
            np.put_along_axis(new[:had], numbers % new.shape[-1], np.take_along_axis(array, numbers % length, -1), -1)
