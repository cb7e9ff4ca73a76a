"""The timeline of a training, and a rehearsal of the whole loop: drift, promotion, a mistake, rollback."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rtml.core.clock import span
from rtml.core.state import dumps, loads
from rtml.monitoring.alert_trigger import AlertTrigger
from rtml.monitoring.monitor import Monitor
from rtml.registry.promotion.rules import Rules
from rtml.registry.registry import Registry
from rtml.registry.versions import Version
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART, RunConfig
from rtml.training.trainer import Trainer

MODEL = "champion"


def timeline(history: pd.DataFrame, ledger: pd.DataFrame, kinds: Sequence[str] = ()) -> pd.DataFrame:
    """One log of a training: at, minutes since the first alert, who, what, version, what serves from then on, and why.

    Parameters
    ----------
    history, ledger
        ``trainer.history()`` and ``registry.ledger(model)``.
    kinds
        Kinds of events, all unless given.
    """
    shown = history[history["kind"].isin(kinds)] if kinds else history
    columns = shown.reindex(columns=["at", "who", "kind", "version", "why"])
    began = history.loc[history["kind"] == "alert", "at"].min()
    acts = ledger[["at", "number"]].sort_values("at", kind="stable")
    acts["serving"] = [f"{MODEL}@{number}" for number in acts["number"]]
    found = pd.merge_asof(columns.sort_values("at", kind="stable"), acts[["at", "serving"]], on="at")
    found["at"] = found["at"].dt.floor("s")
    found.insert(1, "after", (found["at"] - began.floor("s")).dt.total_seconds() / 60)
    found = found.rename(columns={"after": "minutes"})
    return found.fillna({"version": "", "why": "", "serving": "nothing"}).reset_index(drop=True)


def mixed_up(registry: Registry, at: int) -> Version:
    """The champion with the models of its first and last target in each other's place, saved at an event time.

    A mistake as they happen, for a rehearsal; of one target alone the oldest version is taken instead.
    """
    good = registry.champion(MODEL)
    state = loads(registry.load(good))
    targets = list(registry.get(good).describe["models"])
    if len(targets) == 1:
        return registry.all(MODEL)[0]
    found = state["models"]
    first = targets[0]
    last = targets[-1]
    found[first], found[last] = found[last], found[first]
    about = {"features": good.features, "parent": good, "format": good.format, "describe": {"cause": "a mistake"}}
    return registry.save(MODEL, dumps(state), at=at, **about)


def rehearse(
    log: EventLog,
    config: RunConfig,
    folder: Path,
    *,
    every: str = "15m",
    mistake: float = 0.85,
    rules: Rules | None = None,
) -> tuple[pd.DataFrame, Registry]:
    """The whole loop on a recorded stream: it drifts, the drift is seen, a better version is found and serves; then
    a version whose models are mixed up is promoted, and the guard rolls it back.

    Parameters
    ----------
    log, config
        The stream and what to learn of it.
    folder
        Where a registry and a journal of its own are written.
    every
        Event time between two versions.
    mistake
        Share of the stream after which the mixed-up version is promoted; 1 leaves it out.
    rules
        Of the gate.

    Returns
    -------
    The timeline, and the registry it is of, open.
    """
    flow, registry = config.flow(), Registry(folder / "registry")
    monitor = AlertTrigger(Monitor.of(flow, settle=200, reference=500, window=200))
    places = (log, PART, folder / "training.db", registry, MODEL, span(every))
    trainer = Trainer(flow, *places, publish=rules or Rules(), callbacks=[monitor])  # pyrefly: ignore[bad-argument-type]
    trainer.run(int(log.last(PART) * mistake))
    if mistake < 1:
        at = int(log.read(PART, int(log.last(PART) * mistake) - 1, 1)[1]["time"][0])
        registry.promote(MODEL, mixed_up(registry, at), "a version mixed up by mistake", at, {"who": "an operator"})
        trainer.run()
    found = timeline(trainer.history(), registry.ledger(MODEL))
    trainer.close()
    return found, registry
