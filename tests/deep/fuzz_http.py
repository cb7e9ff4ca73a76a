"""Thousands of requests made from the app's own OpenAPI, right and wrong ones: no 5xx, every answer as described.

Run by ``make test-deep``: schemathesis lives in an environment of its own (44 MB that the package does not need).
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

from runs import market_run

from rtml.core.clock import span
from rtml.registry.registry import Registry
from rtml.serving.app import make_app
from rtml.serving.endpoint import Endpoint
from rtml.serving.promotions import Promotions
from rtml.serving.publisher import Publisher
from rtml.serving.service import Service
from rtml.serving.snapshot import StreamClock
from rtml.sources.catalogue import open_source
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART
from rtml.training.trainer import Trainer

EXAMPLES = 5000
EACH = 1000  # of an operation, at most; those that take nothing need one
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
ENDLESS = "/predictions/stream"  # an answer without an end; tests/serving/test_sse.py asks it
OPTIONS = ("--phases", "examples,coverage,fuzzing", "--seed", "7", "--no-color", "--generation-database", "none")


def trained(folder: Path, stack: ExitStack) -> tuple[Service, Promotions]:
    """A run of a quarter of an hour that is served, and whose versions may be promoted."""
    (folder / ".rtml-run").touch()
    source = open_source("synthetic", hours=0.25)
    log = stack.enter_context(EventLog(folder / "events.db"))
    ingest(source, log, PART)
    config = market_run(source.symbols, source.name).write(folder / "recipe.json")
    registry = stack.enter_context(closing(Registry(folder / "registry")))
    service = stack.enter_context(closing(Service(folder / "predictions.db", StreamClock())))
    publisher = Publisher(service, registry, config, folder / "training.db")
    places = (log, PART, folder / "training.db", registry, "crypto", span("2m"))
    trainer = Trainer(config.flow(), *places, publish="learner", on_outcome=publisher.outcome)
    stack.enter_context(closing(trainer))
    trainer.run()
    publisher.committed()
    publisher.refresh(True)
    return service, Promotions(publisher)


def main(schemathesis: str) -> int:
    """Ask, and say what came of it: 0 when nothing failed and enough was asked."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        service, promotions = trained(Path(folder), stack)
        with Endpoint(make_app(service, promotions=promotions)) as endpoint:
            address = (f"{endpoint.url}/openapi.json", "--exclude-path", ENDLESS, "-c", CHECKS)
            command = [str(Path(schemathesis).absolute()), "run", *address, *OPTIONS, "-n", str(EACH)]
            done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    print(done.stdout[-6000:])
    asked = int((re.search(r"([\d,]+) generated", done.stdout) or ["", "0"])[1].replace(",", ""))
    if asked < EXAMPLES:
        print(f"only {asked} examples were asked, {EXAMPLES} are wanted: raise EACH in {__file__}")
    return done.returncode or int(asked < EXAMPLES)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
