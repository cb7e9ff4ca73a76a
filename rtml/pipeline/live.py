"""Follow a stream, learn from it and serve it, in one process: ``python -m rtml.pipeline.live --source kraken``."""

from __future__ import annotations

import argparse

from rtml.core.process import quitting, stopping
from rtml.core.run_folder import run_folder
from rtml.monitoring.alert_trigger import add_publish
from rtml.pipeline.options import add_options, source_options
from rtml.serving.auth import Access, check_host
from rtml.serving.live.session import Live


def main(arguments: list[str] | None = None) -> None:
    """Go on until Ctrl-C or SIGTERM; started again it goes on where it was."""
    parser = argparse.ArgumentParser(prog="python -m rtml.pipeline.live", description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--run", default="live", help="name or folder of a run")
    parser.add_argument("--every", default="10m", help="event time between two versions, such as 10m")
    add_publish(parser)
    parser.add_argument("--port", type=int, default=8000, help="port, 0 for a free one, -1 for none")
    parser.add_argument("--host", default="127.0.0.1", help="another address than this machine needs RTML_TOKEN")
    parser.add_argument("--seconds", type=float, default=0.0, help="how long to follow the stream, 0: until stopped")
    parser.add_argument("--once", action="store_true", help="end when a recording is over instead of serving on")
    chosen = parser.parse_args(arguments)
    port = None if chosen.port < 0 else chosen.port
    with stopping() as stop, quitting(parser.prog):
        check_host(chosen.host, Access.from_environment().guarded)
        how = {"every": chosen.every, "publish": chosen.publish, "port": port, "host": chosen.host}
        with Live(run_folder(chosen.run), source_options(chosen), **how, out=_print) as live:
            live.run(stop, seconds=chosen.seconds, once=chosen.once)


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
