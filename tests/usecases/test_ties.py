"""Labels and questions at one moment: in every operator the question comes first, however the stream is cut."""

import numpy as np
import pytest

from rtml.core.state import dumps
from rtml.training.run_config import RunConfig
from rtml.usecases.crypto.synthetic.market import Synthetic
from rtml.usecases.fraud.synthetic_cards import Cards
from rtml.usecases.sessions.sources import open_clicks

SOURCES = {
    "crypto": lambda: Synthetic(seed=3, hours=1.0),
    "fraud": lambda: Cards(seed=5, days=12, cards=60, terminals=20, delay="1d"),
    "sessions": lambda: open_clicks("shop", seed=3, days=1),
}


@pytest.fixture(scope="module", params=sorted(SOURCES))
def case(request):
    """The configuration of a use case, and events of which many share their moment."""
    source = SOURCES[request.param]()
    config = RunConfig(request.param, tuple(source.symbols)[:2], source.name)
    accepted = [source.schema.accept(frame, source.symbols)[0] for frame in source.chunks(5000)]
    events = np.concatenate(accepted)[:2500].copy()
    events["time"] = events["time"] // _coarse(events["time"]) * _coarse(events["time"])
    return config, events


def _coarse(time):
    steps = np.diff(np.maximum.accumulate(time))
    return 8 * int(np.median(steps[steps > 0]))


def test_events_of_one_moment_taken_one_by_one_give_what_they_give_together(case):
    config, events = case
    whole, live = config.flow().operator, config.flow().operator
    once = whole.push(events)
    parts = [live.push(events[i : i + 1]) for i in range(len(events))]
    for name in ("id", "moment", "X", "answered", "y", "known"):
        assert np.concatenate([getattr(p, name) for p in parts]).tobytes() == getattr(once, name).tobytes(), name
    assert dumps(whole.state) == dumps(live.state)
    assert len(once.answered) > 20 and (np.diff(events["time"]) == 0).mean() > 0.5
