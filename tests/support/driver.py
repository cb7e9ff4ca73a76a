"""Asks and tells a model that keeps something with each question, as a learner does: in chunks, or one by one."""

from itertools import pairwise

import numpy as np

from rtml.core import state as checkpoint
from rtml.core.clock import NEVER
from rtml.models.compiled import restore


def by_time(known):
    order = np.flatnonzero(known < NEVER)
    return order[np.argsort(known[order], kind="stable")]


class Driver:
    """Asks and tells a model as a learner does, in chunks; what waits is kept with the question."""

    def __init__(self, model):
        self.model = model
        self.waits = []  # (x, y, kept, moment, known)

    def replay(self, q, until):
        w = len(self.waits)
        X = np.array([row[0] for row in self.waits] + list(q.X)).reshape(w + len(q), len(q.names))
        y = np.array([row[1] for row in self.waits] + list(q.y), float)
        kept = np.array([row[2] for row in self.waits]).reshape(w, self.model.outputs + self.model.memory)
        moment = np.array([row[3] for row in self.waits] + list(q.moment), np.int64)
        known = np.array([row[4] for row in self.waits] + list(q.known), np.int64)
        order = by_time(known)
        new, told = self.model.replay_at(X, y, kept, moment, known, order, until)
        done, everything = set(order[:told].tolist()), np.concatenate([kept, new])
        rows = zip(X, y, everything, moment, known, strict=True)
        self.waits = [row for i, row in enumerate(rows) if i not in done and row[4] < NEVER]
        return new

    def one_by_one(self, q):
        said, due = [], sorted((int(k), i) for i, k in enumerate(q.known) if k < NEVER)
        for i in range(len(q)):
            while due and due[0][0] < q.moment[i]:
                self._tell(q, due.pop(0)[1], said)
            said.append(self.model.predict_at(q.X[i], int(q.moment[i])))
        for _, i in due:
            self._tell(q, i, said)
        return np.array(said)

    def _tell(self, q, i, said):
        if q.y[i] == q.y[i]:
            self.model.learn_at(q.X[i], q.y[i], said[i], int(q.moment[i]), int(q.known[i]))


def bits(model):
    return checkpoint.dumps(model.state)


def check_cutting(made, q, edges, until=NEVER - 1):
    """Whole, cut at edges with a state round trip at each, and one by one: the same predictions, the same state."""
    whole, cut, live = (Driver(made()) for _ in range(3))
    expected, got = whole.replay(q, until), []
    for start, stop in pairwise(edges):
        part = q[start:stop]
        got.append(cut.replay(part, int(part.moment[-1]) - 1 if len(part) else 0))
        cut.model = restore(checkpoint.loads(bits(cut.model)))
    cut.replay(q[:0], until)
    assert np.concatenate(got).tobytes() == expected.tobytes() == live.one_by_one(q).tobytes()
    assert bits(whole.model) == bits(cut.model) == bits(live.model)
