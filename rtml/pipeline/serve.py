"""Keep a run up behind HTTP, whatever its use case: ``python -m rtml.pipeline.serve --run latest``."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing

from rtml.core.run_folder import Run, run_folder, shown
from rtml.registry.registry import Registry
from rtml.serving.app import make_app
from rtml.serving.auth import Access, check_host
from rtml.serving.endpoint import serve_forever
from rtml.serving.follower import Follower
from rtml.serving.promotions import Promotions
from rtml.serving.publisher import Publisher
from rtml.serving.service import Service
from rtml.training.run_config import RunConfig


def main(arguments: list[str] | None = None) -> None:
    """Serve until Ctrl-C; where there is nothing to serve yet, every request says which command makes it."""
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
            app = make_app(follower.service, follower.lineage, follower, access, follower.view())
            serve_forever(app, **where)
    else:
        serve(Run(run_folder(chosen.run).resolve(), "serving"), access, where)


def serve(run: Run, access: Access, where: dict) -> None:
    """Serve what a run has come to, or say with every request what it lacks."""
    service = Service(run.path("live/predictions.db") if run.folder.exists() else ":memory:")
    with closing(service):
        prepared: dict = {}
        try:
            prepared = published(run, service)
        except (FileNotFoundError, LookupError) as ex:
            print(f"rtml: {ex.args[0] if ex.args else ex}", file=sys.stderr)
        serve_forever(make_app(service, **prepared, access=access), **where)


def published(run: Run, service: Service) -> dict:
    """Publish the state of a run and its newest questions; what the app needs of its registry and view.

    Notebook 05 goes on in ``live/`` from copies: what serves is what it came to, where it was run.
    """
    config = RunConfig.read(run.need("recipe.json", made_by="01_ingest"))
    below = "live/" if (run.folder / "live" / "training.db").exists() else ""
    store = run.need(f"{below}training.db", made_by="04_online_train")
    registry = Registry(run.need(f"{below}registry", made_by="04_online_train"))
    publisher = Publisher(service, registry, config, store)
    publisher.begin()
    publisher.tell("stopped", "this run is over; what it learned goes on answering")
    keys = ", ".join(config.keys)
    print(f"rtml: {shown(run.folder)}: {service.snapshot.version} serves {keys}", file=sys.stderr)
    promotions = Promotions(registry, publisher, ask=True)
    return dict(lineage=publisher.lineage, promotions=promotions, view=publisher.view)


if __name__ == "__main__":
    main()
