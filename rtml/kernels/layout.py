"""Where everything stands in the arrays that the window kernels work on."""

from __future__ import annotations

#: What to do with a row: store it; answer as if it had happened; answer without it.
PUSH = 0
PREVIEW = 1
READ = 2
#: Kinds of window.
SLIDING = 0
TUMBLING = 1
SESSION = 2
#: A node: operation, two earlier nodes (or a column, or rows back), ring, window, cell (or queue).
OP = 0
A = 1
B = 2
RING = 3
WINDOW = 4
CELL = 5
#: A key: its block and the block's size, rows so far, time of its newest row, then tails, queues, ticks.
BASE = 0
SIZE = 1
COUNT = 2
LAST = 3
TAILS = 4
#: A row's mode is what to do with it, and from bit ``PART`` on the partition that its key is declared to be in.
PART = 2
PARTITIONS = 256
#: Numbers of the whole set: lateness (-1: none), how long to keep a quiet key (-1: for ever), rows too late, rows taken
#: at a later moment, arena rows used, then heads of the lists of free blocks by size, the newest moment by partition.
LATENESS = 0
KEEP = 1
LATE = 2
MOVED = 3
USED = 4
FREE = 5
NEWEST = FREE + 48
CONTROL = NEWEST + PARTITIONS
LONG_AGO = -(2**62)
