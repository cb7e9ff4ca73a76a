"""Keep a run's champion up behind HTTP: ``python -m rtml.pipeline.serve --run latest``."""

from __future__ import annotations

import argparse
import sys

from rtml.core.run_folder import Run, run_folder, shown
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


def main(arguments: list[str] | None = None) -> None:
    """Serve until Ctrl-C; without a champion it serves too, and every prediction says which command makes one."""
    parser = argparse.ArgumentParser(prog="python -m rtml.pipeline.serve", description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="latest", help="name or folder of a run")
    parser.add_argument("--port", type=int, default=8000, help="port, 0 for a free one")
    parser.add_argument("--follow", action="store_true", help="follow what ingest and training processes write there")
    parser.add_argument("--host", default="127.0.0.1", help="another address than this machine needs RTML_TOKEN")
    chosen = parser.parse_args(arguments)
    try:
        access = Access.from_environment()
        check_host(chosen.host, access.guarded)
    except ValueError as ex:
        parser.error(str(ex))
    where = dict(port=chosen.port, host=chosen.host)
    if chosen.follow:
        with Follower(run_folder(chosen.run)) as follower:
            app = make_app(follower.service, lineage=follower.lineage, promotions=follower, access=access)
            serve_forever(app, **where)
    else:
        serve(Run(run_folder(chosen.run).resolve(), "serving"), access, where)


def serve(run: Run, access: Access, where: dict) -> None:
    """Serve what a run has come to, or say with every prediction what it lacks."""
    service = Service(run.path("live/predictions.db") if run.folder.exists() else ":memory:")
    prepared: dict = {}
    try:
        prepared = published(run, service)
    except (FileNotFoundError, LookupError) as ex:
        print(f"rtml: {ex.args[0] if ex.args else ex}", file=sys.stderr)
    serve_forever(make_app(service, **prepared, access=access), **where)
    service.close()


def published(run: Run, service: Service) -> dict:
    """Publish the champion of a run and the features of its last bar; what the app needs of its registry."""
    config = RunConfig.read(run.need("recipe.json", made_by="01_ingest"))
    run.need("questions.parquet", made_by="02_features")
    newest = "live/registry" if (run.folder / "live" / "registry").exists() else "registry"
    registry = Registry(run.need(newest, made_by="04_online_train"))
    feed = Publisher(service, registry, config)
    feed.refresh()
    feed.show(Dataset.read(run.folder))
    print(f"rtml: {shown(run.folder)}: {service.snapshot.version} serves {config.target}", file=sys.stderr)
    return dict(lineage=feed.lineage, promotions=Promotions(registry, MODEL, service.clock, feed.refresh))


if __name__ == "__main__":
    main()
