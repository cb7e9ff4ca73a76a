"""Sessions: what will this visitor click next?"""

from __future__ import annotations

from rtml.core.target import Target
from rtml.core.use_case import UseCase
from rtml.usecases.sessions.events import EVENT
from rtml.usecases.sessions.operator import Visits

LISTED = 20  # items


def operator(config=None) -> Visits:
    """What turns clicks into questions and answers, with empty state.

    Examples
    --------
    >>> operator().features.names[:3]
    ('session', 'length', 'dwell')
    """
    return Visits()


def source(name: str = "shop", *, seed: int = 7, hours: float = 0.0, days: float = 0.0, columns=None, **live):
    """A source of clicks by name; ``hours`` or ``days`` is the length of a seeded shop, or the part of a recording.

    Examples
    --------
    >>> source("no/such.csv")
    Traceback (most recent call last):
        ...
    FileNotFoundError: no file no/such.csv: SOURCE is 'shop' or a Parquet or CSV file of clicks
    """
    from rtml.usecases.sessions.sources import open_clicks  # pandas and pyarrow, for those that open a source alone

    return open_clicks(name, seed=seed, days=days or (hours / 24.0 if name == "shop" else 0.0), columns=columns)


use_case = UseCase(
    name="sessions",
    question="What will this visitor click next?",
    event=EVENT,
    operator=operator,
    targets=(Target("next_click", "ranking", size=LISTED),),
    models={"next_click": "session_ranker"},
    keys=("shop",),
    source=source,
    usual="shop",
    view="rtml.usecases.sessions.view:ShopView",
    notebooks="sessions",
)
