"""The context: one table of addresses and sizes, from which a window kernel finds all its arrays."""

from __future__ import annotations

#: What stands at which place: an array's name is its address, ``n_...`` a size.
CONTEXT = (
    "nodes", "n_nodes", "consts", "windows", "n_windows", "outputs", "n_outputs", "defaults", "helds", "n_helds",
    "every", "n_every", "deepest", "n_queues", "tables", "n_tables", "n_rings", "n_columns", "ewms", "n_ewms",
    "control", "ints", "n_keys", "n_ints", "floats", "n_floats", "times", "n_rows", "rings", "queues", "work",
    "marks", "table", "ids", "n_ids", "moment", "out",
)  # fmt: skip
(
    NODES, N_NODES, CONSTS, WINDOWS, N_WINDOWS, OUTPUTS, N_OUTPUTS, DEFAULTS, HELDS, N_HELDS, EVERY, N_EVERY,
    DEEPEST, N_QUEUES, TABLES, N_TABLES, N_RINGS, N_COLUMNS, EWMS, N_EWMS, CONTROL, INTS, N_KEYS, N_INTS, FLOATS,
    N_FLOATS, TIMES, N_ROWS, RINGS, QUEUES, WORK, MARKS, TABLE, IDS, N_IDS, MOMENT, OUT,
) = range(len(CONTEXT))  # fmt: skip
