"""The command that serves a run over HTTP, whatever its use case: ``rtml serve RUN``."""

from __future__ import annotations

import sys
from contextlib import closing
from functools import partial
from pathlib import Path

from rtml.core.plugin import load
from rtml.core.run_folder import Run, shown
from rtml.registry.registry import Registry
from rtml.serving.app import App, make_app
from rtml.serving.auth import Access, check_host
from rtml.serving.endpoint import serve_forever
from rtml.serving.follower import Follower
from rtml.serving.promotions import Promotions
from rtml.serving.publisher import Publisher
from rtml.serving.service import Service
from rtml.serving.snapshot import StreamClock
from rtml.serving.workers import inherited, serve_by
from rtml.store.protocols import run_stores
from rtml.training.run_config import RunConfig


def serve(
    run: Path,
    *,
    port: int = 8000,
    host: str = "127.0.0.1",
    follow: bool = False,
    workers: int = 1,
    grpc: int = -1,
    stores: str = "",
    listen: int = -1,
    counts: str = "",
) -> None:
    """Serve until Ctrl-C; where there is nothing to serve yet, every answer names the command that makes it.

    Parameters
    ----------
    run
        Folder of the run.
    port, host
        Where the endpoint listens; any host but this machine needs the token ``RTML_TOKEN``.
    follow
        Whether to follow what ingest and training processes write in the folder.
    workers
        Processes on the port, see :func:`rtml.serving.workers.serve_by`; more than one follow.
    grpc
        Port on which the same is answered over gRPC, see :mod:`rtml.integrations.grpc`; -1: none.
    stores
        URL of a database for training, predictions and registry, see :func:`rtml.store.protocols.run_stores`.
    listen, counts
        Of one of several processes: the socket it was handed, and the folder where all keep what they count.
    """
    run_stores(run, stores)
    if workers > 1:
        return serve_by(run, workers, port=port, host=host, report=partial(print, flush=True), grpc=grpc)
    access = Access.from_environment(host=host)
    check_host(host, access.guarded)
    if follow:
        return _follow(run, access, port, host, grpc, listen, counts)
    _once(run, access, port, host, grpc)


def _once(run: Path, access: Access, port: int, host: str, grpc: int) -> None:
    """Serve what a run came to."""
    opened = Run(run.resolve(), "serving")
    with closing(Service(opened.path("live/predictions.db") if run.exists() else ":memory:")) as service:
        prepared: dict = {}
        try:
            prepared = published(opened, service)
        except (FileNotFoundError, LookupError) as ex:
            print(f"rtml: {ex.args[0] if ex.args else ex}", file=sys.stderr)
        serve_forever(_with_grpc(make_app(service, **prepared, access=access), grpc, host), port=port, host=host)


def _follow(run: Path, access: Access, port: int, host: str, grpc: int, listen: int, counts: str) -> None:
    """Serve what others write in the folder, alone or as one of several processes."""
    with Follower(run) as follower:
        view, writer = follower.view(), follower.writer()
        app = make_app(follower.service, follower.lineage, follower, access, view, writer=writer)
        _with_grpc(app, grpc, host, listen >= 0)
        if listen < 0:
            return serve_forever(app, port=port, host=host)
        follower.wait(10.0)
        with app.counters.shared(Path(counts)):
            serve_forever(app, port, host, partial(print, flush=True), inherited(listen))


def _with_grpc(app: App, port: int, host: str, shared: bool = False) -> App:
    """The app, which answers on this port too unless it is negative; several processes may share it."""
    if port >= 0:
        try:
            load("rtml.integrations.grpc:attach", {}, "servers")(app, port, host, shared)
        except ModuleNotFoundError as ex:
            raise ModuleNotFoundError(f"gRPC needs {ex.name}: pip install 'rtml[grpc]'", name=ex.name) from ex
    return app


def published(run: Run, service: Service) -> dict:
    """Publish the state of a run and its newest questions; what the app needs of its registry and view.

    Notebook 05 goes on in ``live/`` from copies: what serves is what it came to, where it was run.
    """
    config = RunConfig.read(run.need("recipe.json", made_by="01_ingest"))
    below = "live/" if (run.folder / "live" / "training.db").exists() else ""
    store = run.need(f"{below}training.db", made_by="04_online_train")
    registry = Registry(run.need(f"{below}registry", made_by="04_online_train"))
    if not config.live:  # a recording has its own time
        service.clock = StreamClock()
    publisher = Publisher(service, registry, config, store)
    publisher.begin()
    publisher.report("over", "this run is over; what it learned goes on answering")
    keys = ", ".join(config.keys)
    print(f"rtml: {shown(run.folder)}: {publisher.version} serves {keys}", file=sys.stderr)
    promotions = Promotions(publisher, ask=True)
    return dict(lineage=publisher.lineage, promotions=promotions, view=publisher.view)
