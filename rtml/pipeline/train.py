"""The command that trains a run on its log, once or for as long as events come."""

from __future__ import annotations

import argparse
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from rtml.core.clock import span
from rtml.core.process import awaited, quitting, stopping
from rtml.core.use_case import title
from rtml.monitoring.alert_trigger import add_publish, monitoring_callbacks
from rtml.registry.registry import Registry
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART, RunConfig
from rtml.training.trainer import Trainer


def main(arguments: list[str] | None = None) -> None:
    """Train a run on its log: ``python -m rtml.pipeline.train RUN_DIR``."""
    parser = argparse.ArgumentParser(prog="python -m rtml.pipeline.train", description=__doc__.splitlines()[0])
    parser.add_argument("run_dir", type=Path, help="folder of a run that holds recipe.json and events.db")
    parser.add_argument("--every", default="10m", help="event time between two versions, such as 10m")
    parser.add_argument("--model", default="", help="name of the model in the registry, the use case's unless given")
    add_publish(parser)
    parser.add_argument("--follow", action="store_true", help="go on with what arrives, until Ctrl-C or SIGTERM")
    folder = (chosen := parser.parse_args(arguments)).run_dir
    with stopping() as stop, quitting(parser.prog), ExitStack() as stack:
        config = RunConfig.read(awaited(folder / "recipe.json", stop) if chosen.follow else folder / "recipe.json")
        log = stack.enter_context(EventLog(folder / "events.db"))
        registry = stack.enter_context(closing(Registry(folder / "registry")))
        places = (log, PART, folder / "training.db", registry, chosen.model or title(config.use_case))
        how = {"publish": chosen.publish, "callbacks": monitoring_callbacks(flow := config.flow())}
        trainer = stack.enter_context(closing(Trainer(flow, *places, span(chosen.every), **how)))
        say = partial(print, flush=True)  # whoever reads a pipe sees progress too
        say(trainer.run(on_commit=say))
        while chosen.follow and not stop.wait(0.05):
            trainer.run(on_commit=say)


if __name__ == "__main__":
    main()
