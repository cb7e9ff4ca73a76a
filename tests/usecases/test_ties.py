"""Labels and questions at one moment: in every operator the question comes first, however the stream is cut."""

import numpy as np
import pytest

from rtml.core.state import dumps
from rtml.sources.catalogue import open_for
from rtml.training.run_config import RunConfig

S = 10**9
SOURCES = {"crypto": "synthetic", "fraud": "synthetic", "sessions": "shop"}


@pytest.fixture(scope="module", params=sorted(SOURCES))
def case(request):
    """The configuration of a use case, and events of which many share their moment."""
    config = RunConfig.of(request.param, (), SOURCES[request.param])
    source = open_for(config.case, SOURCES[request.param], seed=3)
    config = RunConfig(request.param, source.symbols or config.keys, source.name)
    frames = source.chunks(2000)
    events = np.concatenate([source.schema.accept(next(frames), source.symbols)[0] for _ in range(2)])[:2500].copy()
    step = 8 * int(np.median(np.diff(np.maximum.accumulate(events["time"])))) or S
    events["time"] = events["time"] // step * step
    return config, events


def test_events_of_one_moment_taken_one_by_one_give_what_they_give_together(case):
    config, events = case
    whole, live = config.flow().operator, config.flow().operator
    once = whole.push(events)
    parts = [live.push(events[i : i + 1]) for i in range(len(events))]
    for name in ("id", "moment", "X", "answered", "y", "known"):
        assert np.concatenate([getattr(p, name) for p in parts]).tobytes() == getattr(once, name).tobytes(), name
    assert dumps(whole.state) == dumps(live.state)
    assert len(once.answered) > 20 and (np.diff(events["time"]) == 0).mean() > 0.5
