"""The command that trains a run on its log, once or for as long as events come: ``rtml train RUN``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from threading import Event

from rtml.core.clock import span
from rtml.core.process import awaited, insist, stopping, tell
from rtml.core.use_case import title
from rtml.monitoring.alert_trigger import monitoring_callbacks
from rtml.pipeline.options import names
from rtml.registry.registry import Registry
from rtml.store.protocols import EventLog, run_log, run_stores
from rtml.training.candidates import Candidates
from rtml.training.retention import Retention
from rtml.training.run_config import PART, RunConfig
from rtml.training.trainer import Trainer


def train(
    run: Path,
    *,
    every: str = "10m",
    publish: str = "learner",
    model: str = "",
    challengers: str = "",
    log: str = "",
    stores: str = "",
    follow: bool = False,
) -> None:
    """Train a run on its log.

    Parameters
    ----------
    run
        Folder of a run that holds recipe.json and its log.
    every
        Event time between two versions.
    publish
        Which versions serve, see :func:`rtml.registry.promotion.gate.gate`.
    model
        Name of the model in the registry, that of the use case unless given.
    challengers
        Models for the first target that learn in shadow, comma separated; those of the run unless given.
    log
        URL of the event log, see :func:`rtml.store.protocols.run_log`; that of the run unless given.
    stores
        URL of a database for training, predictions and registry, see :func:`rtml.store.protocols.run_stores`.
    follow
        Whether to go on with events that arrive later, until Ctrl-C or SIGTERM.
    """
    with stopping() as stop, ExitStack() as stack:
        config = _config(awaited(run / "recipe.json", stop) if follow else run / "recipe.json", challengers)
        events, registry = _opened(run, log, stores, stack)
        places = (events, PART, run / "training.db", registry, model or title(config.use_case))
        flow = config.flow()
        how = {"publish": publish, "callbacks": monitoring_callbacks(flow)}
        trainer = stack.enter_context(closing(Trainer(flow, *places, span(every), **how)))
        if challengers:
            config.write(run / "recipe.json")  # where whoever serves, explains or rebuilds it finds them
        tell(trainer.run(on_commit=tell))
        candidates = stack.enter_context(closing(Candidates(run, events, span(every), tell)))
        candidates.run()
        if follow:
            _follow(stop, Retention.of(run), events, registry, partial(trainer.run, on_commit=tell), candidates.run)


def _opened(run: Path, log: str, stores: str, stack: ExitStack) -> tuple[EventLog, Registry]:
    """Log and registry, once the run knows where its stores are."""
    run_stores(run, stores)
    events = stack.enter_context(run_log(run, log))
    return events, stack.enter_context(closing(Registry(run / "registry")))


def _config(recipe: Path, challengers: str) -> RunConfig:
    config = RunConfig.read(recipe)
    return config.with_challengers(names(challengers)) if challengers else config


def _follow(stop: Event, retention: Retention, events: EventLog, registry: Registry, *work: Callable) -> None:
    """Do the work again and again as events arrive, and let go of what need not be kept, until told to stop."""
    insist(lambda: ([step() for step in work], retention.due(events, registry, report=tell)), stop, 0.05)
