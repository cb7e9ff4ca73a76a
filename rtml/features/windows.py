"""Windows: what a feature set remembers of each key, in arrays that grow with what the windows hold."""

from __future__ import annotations

import numpy as np

from rtml.features.compiler import Program
from rtml.features.formulas import KINDS, Formula
from rtml.features.keys import Keys, partition
from rtml.kernels import blocks, layout, windows
from rtml.kernels.context import CONTEXT

_PIECE = 1 << 16  # rows between two looks for quiet keys
_SWEEP = 1024  # with fewer keys nothing is swept


class Windows:
    """A program, run over rows of keys: state in a few arrays, one row of them a key, rows of the past in one arena.

    Examples
    --------
    >>> from rtml.features.formulas import column
    >>> windows = Windows(Program([column("a").lag(1)], [-1.0], ["a"]))
    >>> out = np.zeros((3, 1))
    >>> rows = np.array([[5.0], [7.0], [9.0]])
    >>> windows.push(np.array([1, 2, 3]), np.array(["k", "k", "other"]), np.zeros(1, np.int64), rows, out)
    >>> out.ravel()
    array([-1.,  5., -1.])
    """

    def __init__(self, program: Program, lateness: int = -1, keys: int = 1, partitions: int = 1) -> None:
        self.program = program
        self.keys = Keys()
        self.partitions = partitions
        self.control = np.zeros(layout.CONTROL, np.int64)
        self.control[layout.LATENESS], self.control[layout.KEEP] = lateness, program.keep
        self.control[layout.FREE : layout.NEWEST] = -1
        self.control[layout.NEWEST :] = layout.LONG_AGO
        own = layout.TAILS + len(program.windows) + 2 * program.n_queues + program.every.size
        self.ints, self.floats = np.zeros((0, own), np.int64), np.zeros((0, program.n_floats))
        self.times, self.rings = np.zeros(0, np.int64), np.zeros((0, len(program.rings)))
        self.queues = np.zeros(0, np.int64)
        columns = len(program.columns)
        self._work = np.full(len(program.nodes) + program.n_floats + len(program.helds) + columns, np.nan)
        self._marks, self._moment = np.zeros(len(program.windows) + 1, np.int64), np.zeros(3, np.int64)
        self.out = np.zeros(len(program.outputs))
        self._sweep_at, self._bound = _SWEEP, None
        self.context = np.zeros(len(CONTEXT), np.int64)
        self.address = self.context.__array_interface__["data"][0]
        self._more_keys(keys + 1)
        self._more_rows(64)
        self._bind()

    def push(self, time: np.ndarray, ids: np.ndarray, mode: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
        """Take rows, or reads where ``mode`` says so, into ``out``; ``mode`` may be one for all."""
        for a in range(0, len(time), _PIECE):
            piece = slice(a, a + _PIECE)
            modes = mode[piece] if len(mode) > 1 else mode
            keys = self._rows(ids[piece], modes)
            if self.partitions > 1:
                modes = modes + (partition(ids[piece], self.partitions) << layout.PART)
            self._run(time[piece], keys, modes, rows[piece], out[piece])
            if len(self.keys) >= self._sweep_at and self.control[layout.LATENESS] >= 0:
                self.sweep()

    def _rows(self, ids: np.ndarray, mode: np.ndarray) -> np.ndarray:
        """Rows of keys: 0 for a key that is only read and unknown, so that reading adds no key."""
        if mode.size == 1:
            return (self.keys.rows(ids) if mode[0] == layout.PUSH else self.keys.find(ids)) + 1
        stored = mode == layout.PUSH
        self.keys.rows(ids[stored])
        return 1 + self.keys.find(ids)

    def _run(self, time, keys, mode, rows, out) -> None:
        if self.keys.given >= len(self.ints):
            self._more_keys(2 * len(self.ints) if self.keys.given < 2 * len(self.ints) else self.keys.given + 1)
        self._bind()
        done = 0
        while (done := windows.run(self.context, done, time, keys, mode, rows, out)) < time.size:
            self._more_rows(2 * self.times.size)
            self._bind()

    def sweep(self) -> int:
        """Forget quiet keys; how many."""
        rows = self.keys.in_use()
        gone = np.empty(rows.size, np.int64)
        n = blocks.sweep(
            rows + 1, self._parts(rows), gone, self.ints, self.floats, self.control, self.program.ewms, self.times
        )
        self.keys.release(rows[gone[:n]])
        self._sweep_at = max(_SWEEP, 2 * len(self.keys))
        return n

    def _parts(self, rows: np.ndarray) -> np.ndarray:
        """Partition of the keys of rows."""
        return partition(self.keys.of(rows), self.partitions)

    def _more_keys(self, wanted: int) -> None:
        had = len(self.ints)
        self.ints = _longer(self.ints, wanted)
        self.ints[had:, layout.LAST] = layout.LONG_AGO
        self.floats = _longer(self.floats, wanted)

    def _more_rows(self, wanted: int) -> None:
        self.times, self.rings = _longer(self.times, wanted), _longer(self.rings, wanted)
        self.queues = _longer(self.queues, wanted * self.program.n_queues)

    def _bind(self) -> None:
        """Write the addresses of all arrays into the context, when one of them is another than before."""
        arrays = (self.ints, self.times, self.keys.ids)
        if self._bound and all(a is b for a, b in zip(arrays, self._bound, strict=True)):
            return
        p, sizes = self.program, {}
        for name in ("nodes", "windows", "outputs", "helds", "every", "tables", "ewms"):
            sizes["n_" + name] = len(getattr(p, name))
        sizes |= {"deepest": p.deepest, "n_queues": p.n_queues, "n_rings": len(p.rings), "n_columns": len(p.columns)}
        sizes |= {"n_keys": len(self.ints), "n_ints": self.ints.shape[1], "n_floats": p.n_floats}
        sizes |= {"n_rows": self.times.size, "n_ids": self.keys.ids.size}
        held = {name: getattr(self, name) for name in ("control", "ints", "floats", "times", "rings", "queues")}
        held |= {"work": self._work, "marks": self._marks, "moment": self._moment, "out": self.out}
        held |= {"table": self.keys.table, "ids": self.keys.ids}
        for place, name in enumerate(CONTEXT):
            array = held.get(name, getattr(p, name, None))
            self.context[place] = sizes[name] if name in sizes else array.__array_interface__["data"][0]
        self._bound = arrays

    def memory(self) -> dict[str, float]:
        """Keys kept, bytes per key, bytes per row in its windows, and all bytes taken."""
        a_key = self.ints.itemsize * (self.ints.shape[1] + self.floats.shape[1]) + 5 * 8
        a_row = 8 * (1 + self.rings.shape[1] + self.program.n_queues)
        arrays = (self.ints, self.floats, self.times, self.rings, self.queues)
        total = sum(array.nbytes for array in arrays) + self.keys.nbytes
        return {"keys": len(self.keys), "bytes_per_key": a_key, "bytes_per_row": a_row, "bytes": total}

    def kept(self) -> np.ndarray:
        """Ids of the keys that have rows, in order of ids."""
        rows = self.keys.in_use()
        return np.sort(self.keys.of(rows[self.ints[rows + 1, layout.LAST] != layout.LONG_AGO]))

    def inside(self, key, aggregate: Formula, at: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Times and values of the rows that an aggregate of a key holds at a moment."""
        own = self.ints[1 + self.keys.find(np.array([key]))[0]]
        base, size, count, last = own[: layout.TAILS].tolist()
        at = last if at is None else at
        if at < last:
            raise ValueError(f"the newest row of {key!r} came at {last}, got at={at}: what went out before is not kept")
        ring, width = self.program.rings[aggregate.args[0]], aggregate.value * (64 if aggregate.op == "ewm" else 1)
        cut = at // width * width - 1 if aggregate.kind == "tumbling" else at - width
        if aggregate.kind == "session":
            cut = last if at - last >= width else layout.LONG_AGO
        kind = (aggregate.value, KINDS.index(aggregate.kind or "sliding"))
        oldest = own[layout.TAILS + self.program.places[kind]] if kind in self.program.places else max(count - size, 0)
        places = base + np.arange(oldest, count) % max(size, 1)
        held = (self.times[places] > cut) & np.isfinite(self.rings[places, ring])
        return self.times[places][held], self.rings[places, ring][held]

    @property
    def _numbers(self) -> list[int]:
        """Places of the numbers that a state holds."""
        return [*range(layout.NEWEST, layout.NEWEST + self.partitions), layout.LATE, layout.MOVED]

    @property
    def state(self) -> dict:
        """What the next row depends on, by key in order of ids, without quiet keys: the same for every cutting."""
        p, c = self.program, self.control
        rows = self.keys.in_use()
        held = np.empty(rows.size, np.int64)
        blocks.measure(rows + 1, self._parts(rows), held, self.ints, self.floats, c, p.ewms, len(p.windows), p.deepest)
        rows, held = rows[held >= 0], held[held >= 0]
        ids = self.keys.of(rows)
        order = np.argsort(ids, kind="stable")
        rows = rows[order] + 1
        held = held[order]
        ids = ids[order]
        tails = np.empty((rows.size, len(p.windows)), np.int64)
        times, rings = np.empty(held.sum(), np.int64), np.empty((held.sum(), len(p.rings)))
        blocks.export(rows, held, self.ints, self.times, self.rings, tails, times, rings)
        keys = {"ids": ids.tolist() if self.keys.texts else ids, "last": self.ints[rows, layout.LAST], "held": held}
        ticks = np.ascontiguousarray(self.ints[rows, self.ints.shape[1] - p.every.size :])
        numbers = c[self._numbers]
        return (
            keys
            | {"tails": tails, "ticks": ticks, "sums": self.floats[rows], "times": times, "rings": rings}
            | {"numbers": numbers}
        )

    def load(self, state: dict) -> None:
        """Continue from a state."""
        p, ids = self.program, state["ids"]
        self.__init__(p, int(self.control[layout.LATENESS]), len(ids), self.partitions)
        self.control[self._numbers] = state["numbers"]
        rows, held = self.keys.rows(ids) + 1, state["held"]
        self.floats[rows], self.ints[rows, layout.LAST] = state["sums"], state["last"]
        self.ints[rows[:, None], np.arange(self.ints.shape[1] - p.every.size, self.ints.shape[1])] = state["ticks"]
        first = np.cumsum(held) - held
        kept, done = (held, first, state["times"], state["rings"], state["tails"], p.nodes, p.tables), 0
        while True:
            arena = (self.ints, self.control, self.times, self.rings, self.queues, p.n_queues)
            done = blocks.restore(done, rows, *kept, *arena)
            if done == rows.size:
                return self._bind()
            self._more_rows(2 * self.times.size)


def _longer(array: np.ndarray, wanted: int) -> np.ndarray:
    """The same array with room for more rows, zero."""
    grown = np.zeros((wanted, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
