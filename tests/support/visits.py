"""Clicks of sessions, and the questions and answers that they lead to."""

import numpy as np

from rtml.core.questions import Questions
from rtml.usecases.sessions.events import clicks
from rtml.usecases.sessions.operator import Visits

S = 10**9
NAMES = Visits().features.names


def questions_of(events, until_end=True):
    """All questions of events and their answers."""
    visits = Visits()
    asked = visits.push(events)
    end = visits.push(clicks([int(events["time"].max()) + 10**14], visitor=10**9, item=0)) if until_end else asked
    y, known = np.full(len(asked.id), np.nan), np.full(len(asked.id), 2**63 - 1)
    for part in (asked, end):
        y[part.answered], known[part.answered] = part.y, part.known
    return Questions(asked.id, asked.moment, asked.X, y, known, NAMES)


def random_clicks(n=400, items=30, visitors=12, seed=1):
    rng = np.random.default_rng(seed)
    time = 10**18 + np.cumsum(rng.integers(0, 400, n)) * S
    return clicks(time, visitor=rng.integers(0, visitors, n), item=(rng.integers(0, items, n) ** 2) // items)
