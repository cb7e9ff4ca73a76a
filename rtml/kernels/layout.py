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
#: Numbers of the whole set: newest moment, lateness (-1: none), how long to keep a quiet key (-1: for ever), rows too
#: late, rows taken at a later moment, arena rows used, then heads of the lists of free blocks by size.
NEWEST = 0
LATENESS = 1
KEEP = 2
LATE = 3
MOVED = 4
USED = 5
FREE = 6
CONTROL = FREE + 48
LONG_AGO = -(2**62)
