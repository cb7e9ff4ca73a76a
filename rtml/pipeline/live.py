"""The command that follows a source, learns from it and serves it, in one process: ``rtml live --source kraken``."""

from __future__ import annotations

from pathlib import Path

from rtml.core.process import stopping, tell
from rtml.pipeline.options import source_options
from rtml.serving.auth import Access, check_host
from rtml.serving.live.session import Live
from rtml.store.protocols import run_stores


def live(
    run: Path,
    *,
    every: str,
    publish: str,
    port: int,
    host: str,
    log: str = "",
    stores: str = "",
    seconds: float = 0.0,
    once: bool = False,
    **source,
) -> None:
    """Go on until Ctrl-C or SIGTERM; started again it goes on where it was.

    Parameters
    ----------
    run
        Folder of the run.
    every, publish, host, log
        As in :class:`rtml.serving.live.session.Live`.
    stores
        URL of a database for training, predictions and registry, see :func:`rtml.store.protocols.run_stores`.
    port
        Port of the endpoint, 0 for a free one; a negative one: nothing is served.
    seconds
        How long to follow the stream, 0: until stopped.
    once
        Whether to end when a recording is over instead of serving on.
    source
        The options of :func:`rtml.pipeline.options.source_options`.
    """
    run_stores(run, stores)
    with stopping() as stop:
        check_host(host, Access.from_environment().guarded)
        how = {"every": every, "publish": publish, "port": None if port < 0 else port, "host": host, "log": log}
        with Live(run, source_options(**source), **how, out=tell) as session:
            session.run(stop, seconds=seconds, once=once)
