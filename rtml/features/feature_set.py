"""Features: declared once as formulas over columns, lags and event-time windows, run by one compiled graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np

from rtml.core.arrays import plain
from rtml.core.clock import span, utc
from rtml.core.later import pd
from rtml.core.state import digest
from rtml.features.compiler import Program, resolve
from rtml.features.declarations import Category, Feature, as_rows
from rtml.features.formulas import AGGREGATES, Formula, column, constant, feature, moment, parts
from rtml.features.windows import Windows
from rtml.kernels import layout, windows

__all__ = ["Category", "Feature", "FeatureSet", "Formula", "column", "constant", "feature", "moment"]

_PUSH, _PREVIEW, _READ = (np.array([mode], np.int64) for mode in (layout.PUSH, layout.PREVIEW, layout.READ))


class FeatureSet:
    """Rows in, features out: ``len(features)`` numbers a row, known at the row's own moment.

    Three kinds stand side by side: ``streaming`` features of the key's past, ``request`` features of the row alone, and
    ``batch`` features as a job computed them at its last tick (``Formula.held``). All are declared in the same way.

    Rules: a window includes the row itself and no later one, also of the same moment (order of arrival decides). A row
    earlier than its key's newest is taken at that newest moment and counted in ``moved``. A row later than ``lateness``
    behind the newest row of its partition is answered, counted in ``late`` and not used. Keys are in one partition
    unless more are declared; then whole partitions may be given to as many processes as one likes, and each row is
    answered with the same bits as in one process.

    Parameters
    ----------
    features
        What is declared; formulas may name each other.
    columns
        Names of the columns of a row; a :class:`Category` for one of texts.
    keys
        Keys to make room for at once.
    lateness
        How late rows may come, such as ``"1h"``; ``"0s"`` for none. With it, keys whose windows are all empty are
        forgotten (which changes no feature). Without it every row is used and every key kept.
    partitions
        How many watermarks there are, 1 to 256: each key belongs to one for good, see
        :func:`rtml.features.keys.partition`.

    Examples
    --------
    >>> spend = Feature("spend_24h", column("amount").over("24h", "sum"), "EUR", "spent in the last day, this included")
    >>> features = FeatureSet([spend], columns=["amount"])
    >>> hour = span("1h")
    >>> features.push(np.array([0, 2, 25]) * hour, np.array([[5.0], [7.0], [1.0]]))
    array([[ 5.],
           [12.],
           [ 8.]])
    >>> features.read([27 * hour, 60 * hour], [0, 0])
    array([[1.],
           [0.]])
    """

    def __init__(
        self,
        features: Sequence[Feature],
        columns: Sequence[str | Category],
        keys: int = 1,
        lateness: str | None = None,
        partitions: int = 1,
    ) -> None:
        repeated = {f.name for f in features if sum(f.name == g.name for g in features) > 1}
        if repeated:
            raise ValueError(f"feature names must be unique, repeated: {', '.join(sorted(repeated))}")
        self.features = tuple(features)
        self.inputs = tuple(columns)
        self.lateness, self.partitions = lateness, partitions
        if not 1 <= partitions <= layout.PARTITIONS:
            raise ValueError(f"partitions must be 1 to {layout.PARTITIONS}, got {partitions}")
        self.columns = tuple(c.name if isinstance(c, Category) else c for c in columns)
        self.names = tuple(f.name for f in features)
        served = {f.name: f.formula.fill(f.default) for f in features}
        self.resolved = {f.name: resolve(f.formula, served, (f.name,)) for f in features}
        program = Program(list(self.resolved.values()), [f.default for f in features], self.columns)
        wait = -1 if lateness is None else 0 if lateness == "0s" else span(lateness)
        self._windows = Windows(program, wait, keys, partitions)

    @cached_property
    def definition(self) -> str:
        """Hash of every name, formula and default, of categories and lateness: it changes when a feature does."""
        lines = [f"{f.name} = {f.formula} ?? {f.default}" for f in self.features]
        lines += [f"{c.name} in {c.values}" for c in self.inputs if isinstance(c, Category)]
        lines += [f"lateness {self.lateness}"] if self.lateness is not None else []
        lines += [f"partitions {self.partitions}"] if self.partitions > 1 else []
        return digest("\n".join(lines).encode())[:12]

    def push(self, time, rows, key=None, reads=None) -> np.ndarray:
        """Features of each row, shape (rows, features), float64.

        Parameters
        ----------
        time
            Event time of each row, ns.
        rows
            Numbers by row and column, or a table (see :meth:`rows`).
        key
            Id of each row's key, integers or texts; one key for all where it is left out.
        reads
            True for a row that only asks: answered as :meth:`read` would at that place in the sequence.
        """
        if key is None and reads is None and np.size(time) == 1 and not self._windows.keys.texts:  # the shorter way
            at = int(np.asarray(time, np.int64).reshape(-1)[0])
            return self.push_one(at, 0, self._numbers(rows, 1)[0])[None].copy()
        mode = _PUSH if reads is None else np.where(np.asarray(reads, bool), layout.READ, layout.PUSH)
        return self._take(time, rows, key, mode)

    def push_one(self, time: int, key: int, row: np.ndarray) -> np.ndarray:
        """:meth:`push` of a single row, as fast as a call can be; the answer is overwritten by the next one.

        ``row`` is a contiguous float64 array of one number per column; ``key`` an integer.
        """
        state = self._windows
        if self.partitions > 1 or windows.push_one(state.address, time, key, row):
            state.out[:] = self._take(time, row, key, _PUSH)[0]
        return state.out

    def read(self, time, key, rows=None, include: bool = False) -> np.ndarray:
        """Features of keys at moments, without adding a row: what expired is out, and later rows see no difference.

        A read is what a row with all columns missing would be answered; ``rows`` gives columns, such as those of a
        request. Windows hold what was pushed, unless ``include``: then as if the row had happened. A moment before the
        newest row of its key is taken as that row's: what a key has seen it does not forget.
        """
        n = np.size(time)
        rows = np.full((n, len(self.columns)), np.nan) if rows is None else rows
        return self._take(time, rows, key, _PREVIEW if include else _READ)

    def join(self, time, rows, key, at, of, ties: str = "rows") -> np.ndarray:
        """Push rows of this stream and read it at the moments ``at`` of keys ``of``, in order of time.

        The as-of join of a second stream: what is read at a moment has seen just the rows up to it; of the same moment
        too (``ties="rows"``, rows come first) or not (``ties="reads"``).
        """
        if ties not in ("rows", "reads"):
            raise ValueError(f"ties are 'rows' (they come first) or 'reads', got {ties!r}")
        rows = self._numbers(rows, len(time))
        time = np.asarray(time, np.int64)
        at = np.asarray(at, np.int64)
        first = ties == "reads"
        reads = np.r_[np.zeros(len(time), bool), np.ones(len(at), bool)]
        order = np.lexsort((reads ^ first, np.r_[time, at]))
        blank = np.full((len(at), len(self.columns)), np.nan)
        ids = np.concatenate([np.asarray(side) for side in (key, of) if len(side)] or [np.empty(0, np.int64)])
        out = np.empty((len(order), len(self.names)))
        out[order] = self.push(np.r_[time, at][order], np.concatenate([rows, blank])[order], ids[order], reads[order])
        return out[len(time) :]

    def rows(self, table: pd.DataFrame | Mapping[str, Iterable]) -> np.ndarray:
        """Rows of a table by the names of its columns; categories as numbers, what is not there as missing."""
        return as_rows(self.inputs, table)

    def _numbers(self, rows, n: int) -> np.ndarray:
        if not isinstance(rows, np.ndarray) and isinstance(rows, Mapping | pd.DataFrame):
            rows = self.rows(rows)
        return plain(rows, np.float64).reshape(n, len(self.columns))

    def _take(self, time, rows, key, mode: np.ndarray) -> np.ndarray:
        time = plain(time, np.int64).reshape(-1)
        rows, out = self._numbers(rows, time.size), np.empty((time.size, len(self.features)))
        key = np.zeros(time.size, np.int64) if key is None else np.asarray(key).reshape(-1)
        if key.size != time.size:
            raise ValueError(f"a key and a moment for each row, got {key.size} keys and {time.size} moments")
        self._windows.push(time, key, mode, rows, out)
        return out

    @property
    def state(self) -> dict:
        """Everything the next row depends on, as arrays."""
        return {"definition": self.definition} | self._windows.state

    def load(self, state: dict) -> None:
        """Continue from a state of the same definition."""
        if state["definition"] != self.definition:
            raise ValueError(
                f"the state belongs to features {state['definition']}, these are {self.definition}: "
                "replay the log through the new features instead"
            )
        self._windows.load(state)

    def catalogue(self) -> pd.DataFrame:
        """One row per feature: unit, default, meaning, formula, kind, window and warm-up."""
        rows = [{"feature": f.name} | f.described(self.resolved[f.name]) for f in self.features]
        order = ["feature", "unit", "default", "meaning", "formula", "kind", "window", "warm_up"]
        return pd.DataFrame(rows, columns=order).set_index("feature")

    def __str__(self) -> str:
        late = f", rows up to {self.lateness} late" if self.lateness else ""
        head = f"{len(self.features)} features of {', '.join(self.columns)}, definition {self.definition}{late}"
        return f"{head}\n{self.catalogue().to_string(max_colwidth=60)}"

    def diff(self, other: FeatureSet) -> pd.DataFrame:
        """What ``other`` adds, removes and changes, and how; empty when nothing differs."""
        old, new = ({f.name: (f, s.resolved[f.name]) for f in s.features} for s in (self, other))
        rows = [(name, "removed", "") for name in old if name not in new]
        rows += [(name, "added", str(new[name][0].formula)) for name in new if name not in old]
        for name in (name for name in old if name in new):
            one, two = old[name][0].described(old[name][1]), new[name][0].described(new[name][1])
            hows = [f"{what}: {one[what]} -> {two[what]}" for what in one if one[what] != two[what]]
            if not hows and old[name][1] != new[name][1]:
                hows = ["a feature it refers to changed"]
            rows += [(name, "changed", "; ".join(hows))] if hows else []
        return pd.DataFrame(rows, columns=["feature", "change", "how"]).set_index("feature")

    def explain(self, key, name: str, at: int | None = None) -> pd.DataFrame:
        """The rows inside the windows of a feature of one key: window, time (UTC) and value, oldest first.

        ``at`` is a moment at or after the key's newest row, by default that row's.
        """
        if name not in self.resolved:
            raise LookupError(f"no feature {name!r}; declared: {', '.join(self.names)}")
        inside = {}
        for part in parts(self.resolved[name]):
            if part.op in AGGREGATES:
                inside |= {f"{part}": self._windows.inside(key, part, at)}
        rows = [
            (text, utc(t), t, x) for text, (times, values) in inside.items() for t, x in zip(times, values, strict=True)
        ]
        return pd.DataFrame(rows, columns=["window", "at", "time", "value"])

    @property
    def late(self) -> int:
        """Rows that came more than ``lateness`` late: answered, not used."""
        return int(self._windows.control[layout.LATE])

    @property
    def moved(self) -> int:
        """Rows earlier than the newest row of their key: used at that row's moment."""
        return int(self._windows.control[layout.MOVED])

    def memory(self) -> dict[str, float]:
        """Keys kept, bytes per key and per row in its windows, and all bytes."""
        return self._windows.memory()

    def keys(self) -> np.ndarray:
        """Ids of the keys that are kept."""
        return self._windows.kept()

    def table(self, at: int) -> pd.DataFrame:
        """Features of every key that is kept, as they are read at a moment: what a batch job stores."""
        ids = self.keys()
        return pd.DataFrame(self.read(np.full(len(ids), at), ids), columns=self.names, index=pd.Index(ids, name="key"))
