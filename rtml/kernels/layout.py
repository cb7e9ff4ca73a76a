"""Where everything stands in the arrays that the window kernels work on."""

from __future__ import annotations

#: What to do with a row: store it; answer as if it had happened; answer without it.
PUSH, PREVIEW, READ = range(3)
#: Kinds of window.
SLIDING, TUMBLING, SESSION = range(3)
#: A node: operation, two earlier nodes (or a column, or rows back), ring, window, cell (or queue).
OP, A, B, RING, WINDOW, CELL = range(6)
#: A key: its block and the block's size, rows so far, time of its newest row, then tails, queues, ticks.
BASE, SIZE, COUNT, LAST, TAILS = range(5)
#: Numbers of the whole set: newest moment, lateness (-1: none), how long to keep a quiet key (-1: for ever), rows too
#: late, rows taken at a later moment, arena rows used, then heads of the lists of free blocks by size.
NEWEST, LATENESS, KEEP, LATE, MOVED, USED, FREE = range(7)
CONTROL = FREE + 48
LONG_AGO = -(2**62)
