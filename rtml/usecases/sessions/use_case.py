"""Sessions: what will this visitor click next?"""

from __future__ import annotations

from rtml.core.target import Target
from rtml.core.use_case import UseCase
from rtml.usecases.sessions.events import EVENT
from rtml.usecases.sessions.operator import Visits

LISTED = 20  # items


def operator(config=None) -> Visits:
    """What turns clicks into questions and answers, with empty state."""
    return Visits()


use_case = UseCase(
    name="sessions",
    question="What will this visitor click next?",
    event=EVENT,
    operator=operator,
    targets=(Target("next_click", "ranking", size=LISTED),),
    models={"next_click": "session_ranker"},
    keys=("shop",),
    notebooks="sessions",
)
