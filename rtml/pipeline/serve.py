"""The command that serves a run's champion over HTTP: ``rtml serve RUN``."""

from __future__ import annotations

import sys
from pathlib import Path

from rtml.core.run_folder import Run, shown
from rtml.evaluation.dataset import Dataset
from rtml.registry.registry import Registry
from rtml.serving.app import make_app
from rtml.serving.auth import Access, check_host
from rtml.serving.endpoint import serve_forever
from rtml.serving.follower import Follower
from rtml.serving.promotions import Promotions
from rtml.serving.publisher import MODEL, Publisher
from rtml.serving.service import Service
from rtml.training.run_config import RunConfig


def serve(run: Path, *, port: int = 8000, host: str = "127.0.0.1", follow: bool = False) -> None:
    """Serve until Ctrl-C; without a champion each answer names the command that makes one.

    Parameters
    ----------
    run
        Folder of the run.
    port, host
        Where the endpoint listens; any host but this machine needs the token ``RTML_TOKEN``.
    follow
        Whether to follow what ingest and training processes write in the folder.
    """
    access = Access.from_environment()
    check_host(host, access.guarded)
    if follow:
        with Follower(run) as follower:
            app = make_app(follower.service, lineage=follower.lineage, promotions=follower, access=access)
            serve_forever(app, port=port, host=host)
        return
    opened = Run(run.resolve(), "serving")
    service = Service(opened.path("live/predictions.db") if run.exists() else ":memory:")
    prepared: dict = {}
    try:
        prepared = published(opened, service)
    except (FileNotFoundError, LookupError) as ex:
        print(f"rtml: {ex.args[0] if ex.args else ex}", file=sys.stderr)
    serve_forever(make_app(service, **prepared, access=access), port=port, host=host)
    service.close()


def published(run: Run, service: Service) -> dict:
    """Publish the champion of a run and the features of its last question; what the app needs of its registry."""
    config = RunConfig.read(run.need("recipe.json", made_by="01_ingest"))
    run.need("questions.parquet", made_by="02_features")
    newest = "live/registry" if (run.folder / "live" / "registry").exists() else "registry"
    registry = Registry(run.need(newest, made_by="04_online_train"))
    publisher = Publisher(service, registry, config)
    publisher.refresh()
    publisher.show(Dataset.read(run.folder))
    serving = service.snapshot.version if service.snapshot else "nothing"
    print(f"rtml: {shown(run.folder)}: {serving} serves {', '.join(config.keys)}", file=sys.stderr)
    return dict(lineage=publisher.lineage, promotions=Promotions(registry, MODEL, service.clock, publisher.refresh))
