"""Runs that tests share: their configurations, and a short one that was trained."""

from contextlib import closing

from rtml.core.clock import span
from rtml.registry.registry import Registry
from rtml.sources.catalogue import open_source
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART, RunConfig
from rtml.training.trainer import Trainer


def market_run(symbols, source="synthetic", **how):
    """A market whose first symbol is asked for."""
    return RunConfig.of("crypto", tuple(symbols)[:1], source, inputs=tuple(symbols)[1:], **how)


def trained(folder, models, hours=0.3, on_outcome=lambda outcome: None, **options):
    """A run of the synthetic market with both symbols asked, trained to its end; its configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    source = open_source("synthetic", hours=hours)
    config = RunConfig.of("crypto", tuple(source.symbols), source.name, models=models, **options)
    config.write(folder / "recipe.json")
    with EventLog(folder / "events.db") as log, closing(Registry(folder / "registry")) as registry:
        ingest(source, log, PART)
        places = (log, PART, folder / "training.db", registry, "crypto", span("5m"))
        with closing(Trainer(config.flow(), *places, chunk=500, publish="learner", on_outcome=on_outcome)) as trainer:
            trainer.run()
    return config
