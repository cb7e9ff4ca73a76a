"""Asks and tells a model that keeps something with each question, as a learner does: in chunks, or one by one."""

import numpy as np

from rtml.core.clock import NEVER


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
