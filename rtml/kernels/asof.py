"""The newest fact that was known at each of many moments, with two times a fact: when it happened, when we knew."""

import numpy as np

from rtml.kernels.cache import njit


@njit("int64[:](int64[:], int64[:], int64[:], boolean[:], int64[:], int64[:])", cache=True, nogil=True)
def newest(key, happened, known, deleted, asked_key, asked_at):
    """Row of the fact that stood for each question, -1 where none did.

    Facts come in order of (key, known) and questions in order of (key, moment). Of the facts of a key that were known
    at the moment, the last one of each event time stands, unless it takes that event time back; the newest counts.
    """
    stood = np.full(asked_key.size, -1, np.int64)
    times, rows = np.empty(key.size, np.int64), np.empty(key.size, np.int64)
    fact = depth = 0
    for q in range(asked_key.size):
        if q == 0 or asked_key[q] != asked_key[q - 1]:
            depth = 0
            while fact < key.size and key[fact] < asked_key[q]:
                fact += 1
        while fact < key.size and key[fact] == asked_key[q] and known[fact] <= asked_at[q]:
            place = depth
            while place > 0 and times[place - 1] >= happened[fact]:
                place -= 1
            again = place < depth and times[place] == happened[fact]
            if deleted[fact]:
                if again:
                    for i in range(place, depth - 1):
                        times[i], rows[i] = times[i + 1], rows[i + 1]
                    depth -= 1
            else:
                if not again:
                    for i in range(depth, place, -1):
                        times[i], rows[i] = times[i - 1], rows[i - 1]
                    times[place] = happened[fact]
                    depth += 1
                rows[place] = fact
            fact += 1
        if depth > 0:
            stood[q] = rows[depth - 1]
    return stood


@njit("int64[:](int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64)", cache=True, nogil=True)
def latest(code, happened, known, asked_code, asked_at, n_codes):
    """The same where nothing is taken back: facts in order of ``known``, questions in order of their moments.

    Keys are numbers from 0 to ``n_codes``; a question with another one has no fact.
    """
    stood, last = np.full(asked_code.size, -1, np.int64), np.full(n_codes, -1, np.int64)
    fact = 0
    for q in range(asked_code.size):
        while fact < code.size and known[fact] <= asked_at[q]:
            before = last[code[fact]]
            if before < 0 or happened[fact] >= happened[before]:
                last[code[fact]] = fact
            fact += 1
        if 0 <= asked_code[q] < n_codes:
            stood[q] = last[asked_code[q]]
    return stood
