"""Thousands of requests made from the app's own OpenAPI, right and wrong ones: no 5xx, every answer as described.

Run by ``make test-deep``: schemathesis lives in an environment of its own (44 MB that the package does not need).
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import numpy as np

from rtml.core.clock import Clock, span
from rtml.core.target import Target
from rtml.registry.registry import Registry
from rtml.serving.app import make_app
from rtml.serving.endpoint import Endpoint
from rtml.serving.promotions import Promotions
from rtml.serving.service import Service
from rtml.serving.snapshot import Question, Snapshot

MODEL = "crypto"  # so that the example of /promote is one that exists
EXAMPLES = 5000
EACH = 1000  # of an operation, at most; those that take nothing need one
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
ENDLESS = "/predictions/stream"  # an answer without an end; tests/serving/test_sse.py asks it
OPTIONS = ("--phases", "examples,coverage,fuzzing", "--seed", "7", "--no-color", "--generation-database", "none")


class Even:
    """A model that expects no change."""

    def predict(self, x) -> float:
        return 0.0


class Published:
    """A publisher that serves the same whatever is promoted."""

    model, since = MODEL, 5

    def __init__(self, service: Service) -> None:
        self.service, self.changing = service, threading.RLock()

    def refresh(self, ask: bool) -> None:
        """Nothing."""


def main(schemathesis: str) -> int:
    """Ask, and say what came of it: 0 when nothing failed and enough was asked."""
    with tempfile.TemporaryDirectory() as folder, closing(Service()) as service:
        targets, x = (Target("change"),), np.array([0.0, 1.0])
        even = Snapshot("v1", lambda: (0, {"change": Even()}), ("a", "b"), ("ETH-USD",), targets, span("10s"), 0)
        service.publish(even)
        question = Question("v1", 0, 1, "ETH-USD", Clock().now(), x.tobytes(), span("10s"))
        question.answered(targets, even.predict(x))
        service.answered(question)
        service.stream.publish(10, "status", about_status())
        registry = Registry(Path(folder) / "registry")
        for at in (10, 20):
            registry.promote(MODEL, registry.save(MODEL, b"%d" % at, at=at, features="f"), "gate", at=at)
        with Endpoint(make_app(service, promotions=Promotions(registry, Published(service)))) as endpoint:
            command = [
                Path(schemathesis).absolute(),
                "run",
                f"{endpoint.url}/openapi.json",
                "--exclude-path",
                ENDLESS,
                "-c",
                CHECKS,
            ]
            done = subprocess.run([*command, *OPTIONS, "-n", str(EACH)], cwd=folder, stdout=subprocess.PIPE, text=True)
        registry.close()
    print(done.stdout[-6000:])
    asked = int((re.search(r"([\d,]+) generated", done.stdout) or ["", "0"])[1].replace(",", ""))
    if asked < EXAMPLES:
        print(f"only {asked} examples were asked, {EXAMPLES} are wanted: raise EACH in {__file__}")
    return done.returncode or int(asked < EXAMPLES)


def about_status() -> dict:
    """A status with every field."""
    about = dict(state="live", source="kraken", message="", alarms=[], version="v1")
    return about | dict(since=0, trained_up_to=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
