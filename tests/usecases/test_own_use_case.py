"""The use case of docs/your_own_stream.md: a file that is copied works like those that ship."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from rtml.core.clock import span
from rtml.core.operator import Leak
from rtml.core.state import dumps
from rtml.evaluation.compare import evaluate
from rtml.evaluation.dataset import build
from rtml.evaluation.leakage import audit
from rtml.registry.registry import Registry
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART, RunConfig
from rtml.training.trainer import Trainer

DOCS = Path(__file__).parents[2] / "docs"
MINUTE = 60 * 10**9


@pytest.fixture
def config():
    return RunConfig.of(str(DOCS / "thermometers.py"), ("kitchen",), source="a test", horizon="10m")


@pytest.fixture
def readings():
    """Two sensors that swing back to a mean, one reading a minute each, some late, some at the same moment."""
    r, n = np.random.default_rng(4), 3000
    celsius = np.zeros((n, 2))
    for i in range(1, n):
        celsius[i] = 0.9 * celsius[i - 1] + r.normal(0, 1, 2)
    time = 1_700_000_000 * 10**9 + np.repeat(np.arange(n), 2) * MINUTE + r.choice([0, 0, 7 * 10**9], 2 * n)
    recipe_dtype = [("time", "<i8"), ("sensor", "<i8"), ("celsius", "<f8")]
    return np.rec.fromarrays([time, np.tile([3, 8], n), 20 + celsius.ravel()], dtype=recipe_dtype).view(np.ndarray)


def test_any_cutting_gives_the_same(config, readings):
    one, many = config.flow(), config.flow()
    whole = one.push(readings)
    r = np.random.default_rng(1)
    edges = [0, *sorted(r.integers(0, len(readings), 60).tolist()), len(readings)]
    parts = [many.push(readings[a:b]) for a, b in pairwise(edges)]
    for name in ("id", "moment", "X", "answered", "y", "known"):
        assert np.concatenate([getattr(part, name) for part in parts]).tobytes() == getattr(whole, name).tobytes(), name
    assert np.concatenate([p.predictions["warmer"] for p in parts]).tobytes() == whole.predictions["warmer"].tobytes()
    assert dumps(one.state) == dumps(many.state)


def test_it_passes_the_audit_and_a_leak_does_not(config, readings):
    assert len(audit(config.flow, readings[:800], cuts=5)) == 3
    early = readings[:800].copy()

    def leaking():
        flow = config.flow()
        flow.operator.horizon = 5 * MINUTE  # answers come before what they speak of
        flow.operator.check = type(flow.operator)(config.options["horizon"]).check
        return flow

    with pytest.raises(Leak, match="that is not what came"):
        audit(leaking, early, cuts=5)


def test_it_is_evaluated_trained_and_kept_like_any_other(config, readings, tmp_path):
    with EventLog(tmp_path / "events.db") as log:
        log.append(PART, readings)
        data = build(log, PART, config)
        table = evaluate(["zero", "rls"], data.of("warmer"), data.target("warmer")).part(slice(1000, None)).table()
        assert table.loc["rls", "r2_zero"] > 0.25, "it swings back to its mean, and that was learned"
        registry = Registry(tmp_path / "registry")
        trainer = Trainer(config.flow(), log, PART, tmp_path / "training.db", registry, "champion", span("6h"))
        trainer.run()
        live = trainer.predictions("warmer")
        assert len(live) == len(readings) and registry.champion("champion").number > 5
        batch = config.flow().push(readings).predictions["warmer"]
        assert live.set_index("id")["prediction"].loc[np.arange(len(readings))].to_numpy().tobytes() == batch.tobytes()
        trainer.close()
        registry.close()
