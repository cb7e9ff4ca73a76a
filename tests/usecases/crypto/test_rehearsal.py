"""The whole loop in one log: drift, trigger, candidate, shadow, gate, promotion, a mistake, rollback."""

import pandas as pd
import pytest
from runs import market_run

from rtml.core.callbacks import TrainingEvent
from rtml.core.clock import span
from rtml.monitoring.alert_trigger import AlertTrigger
from rtml.monitoring.monitor import Monitor
from rtml.registry.promotion.rules import Rules
from rtml.registry.registry import Registry
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART
from rtml.training.trainer import Trainer
from rtml.usecases.crypto.rehearsal import mixed_up, timeline
from rtml.usecases.crypto.synthetic.market import Synthetic

MODEL = "crypto"


def rehearse(log, config, folder, every="15m", mistake=0.7):
    """Train on a recorded stream; near its end a person promotes a version whose models are exchanged."""
    flow, registry, part = config.flow(), Registry(folder / "registry"), int(log.last(PART) * mistake)
    monitor = AlertTrigger(Monitor.of(flow, settle=200, reference=500, window=200))
    places = (log, PART, folder / "training.db", registry, MODEL, span(every))
    trainer = Trainer(flow, *places, publish=Rules(), callbacks=[monitor])
    trainer.run(part)
    at = int(log.read(PART, part - 1, 1)[1]["time"][0])
    registry.promote(MODEL, mixed_up(registry, MODEL, at), "models exchanged by mistake", at, {"who": "somebody"})
    trainer.run()
    log_of = timeline(trainer.history(), registry.ledger(MODEL), MODEL)
    trainer.close()
    return log_of, registry


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    folder, source = tmp_path_factory.mktemp("loop"), Synthetic(hours=12.0, drift="sudden")
    config = market_run(source.symbols, source.name)
    with EventLog(folder / "events.db") as log:
        ingest(source, log, PART)
        told, registry = rehearse(log, config, folder)
    yield told, registry, source.truth()
    registry.close()


def test_from_drift_to_promotion_to_a_mistake_to_its_rollback_in_one_log(rehearsed):
    told, registry, truth = rehearsed
    turned = pd.Timestamp(int(truth["end"][(truth["beta"].diff().fillna(0) != 0)].iloc[0]), tz="UTC")
    behind = told[told["at"] >= turned]
    steps = {}
    for kind in ("alert", "trigger", "promoted", "promote by a person", "rolled back"):
        first = behind[behind["kind"] == kind].iloc[0]
        assert not steps or first["at"] >= max(step["at"] for step in steps.values()), kind
        steps[kind] = first
    candidate = told[(told["kind"] == "version") & (told["at"] >= steps["trigger"]["at"])].iloc[0]
    assert candidate["at"] - steps["trigger"]["at"] <= pd.Timedelta("10s")
    assert steps["promoted"]["at"] - turned < pd.Timedelta("2h")
    before = told[told["at"] < steps["promoted"]["at"]].iloc[-1]
    assert before["serving"] != steps["promoted"]["serving"] == steps["promoted"]["version"]
    mistake, back = steps["promote by a person"], steps["rolled back"]
    assert mistake["serving"] == mistake["version"] != back["serving"] == back["version"]
    assert back["at"] - mistake["at"] < pd.Timedelta("90m") and "the version before is better" in back["why"]
    ledger = registry.ledger(MODEL)
    assert ledger["by"].tolist()[-2:] == ["somebody", "gate"] and ledger["action"].tolist()[-2:] == [
        "promote",
        "rollback",
    ]


class Alerts:
    """A monitor that repeats what it is told to say."""

    name, state = "monitor", {}

    def __init__(self, *said):
        self._said = said

    def push(self, outcome):
        return [TrainingEvent(at, "alert", detail) for at, detail in self._said]

    def load(self, state):
        pass


def test_only_an_alert_that_does_harm_is_a_trigger_and_not_again_at_once():
    minute = 60 * 10**9
    benign, loss = {"number": 1, "what": "features", "harm": 0.0}, {"number": 2, "what": "loss", "harm": 0.01}
    harmful = {"number": 3, "what": "features", "harm": 0.5, "target": "return"}
    callback = AlertTrigger(Alerts((0, benign), (minute, loss), (2 * minute, harmful), (40 * minute, harmful)))
    said = callback.push(None)
    assert [(h.at // minute, h.detail["why"]) for h in said if h.kind == "trigger"] == [
        (1, "alert 2: loss moved"),
        (40, "alert 3: features of return moved"),
    ]
    again = AlertTrigger(Alerts((41 * minute, loss)))
    again.load(callback.state)
    assert [h.kind for h in again.push(None)] == ["alert"]
