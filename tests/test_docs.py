"""What the pages of docs/ tell a reader to type works: Python is run, commands are parsed, requests are made."""

import ast
import json
import re
import shlex
import time
from contextlib import ExitStack, closing
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import httpx
import numpy as np
import pytest
from published import ask, snapshot

from rtml.core.use_case import load_use_case
from rtml.pipeline.commands import VERBS
from rtml.serving.app import make_app
from rtml.serving.auth import Access
from rtml.serving.endpoint import Endpoint
from rtml.serving.event_writer import EventWriter
from rtml.serving.service import Service
from rtml.serving.view import view_of
from rtml.sources.catalogue import open_source
from rtml.sources.records import Records
from rtml.store.event_log import EventLog
from rtml.training.run_config import RunConfig

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(page, language):
    return [text for of, text in BLOCK.findall(page.read_text()) if of == language]


def lines(page, word):
    """Commands of a page that begin with a word, continued lines joined, what is behind a # left out."""
    joined = [text.replace("\\\n", " ") for text in blocks(page, "")]
    found = [line.strip() for text in joined for line in text.splitlines() if line.strip().startswith(f"{word} ")]
    return [shlex.split(line, comments=True) for line in found]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """An endpoint that answers for a market, has a prediction 1-1, and takes events of payments."""
    folder = tmp_path_factory.mktemp("served")
    view = view_of(RunConfig.of("fraud", ()))
    with ExitStack() as stack:
        log = stack.enter_context(EventLog(folder / "events.db"))
        writer = stack.enter_context(closing(EventWriter(log, view, time.time_ns)))
        service = stack.enter_context(closing(Service()))
        endpoint = stack.enter_context(Endpoint(make_app(service, access=Access(""), writer=writer)))
        service.publish(snapshot())
        for key in ("ETH-USD", "BTC-USD"):
            ask(service, time.time_ns(), [3.0, 0.5], key=key)
        httpx.get(f"{endpoint.url}/predict?key=ETH-USD")
        yield endpoint.url


def test_the_code_of_the_page_on_features_says_what_it_does():
    exec("\n".join(blocks(ROOT / "docs/features.md", "python")), {})


def test_the_code_of_the_page_on_serving_asks_and_answers(url, capsys):
    exec("\n".join(blocks(ROOT / "docs/serving.md", "python")), {"URL": url})
    assert capsys.readouterr().out.startswith("4.0 crypto@learner 20")


def test_the_code_of_the_page_on_ones_own_stream_goes_through(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    case = load_use_case("examples/bikes.py")
    source = open_source("", case)
    events = source.schema.accept(next(source.chunks(3_000)), source.symbols)[0]
    with EventLog(tmp_path / "events.db") as log:
        names = {"Records": Records, "events": events, "log": log}
        exec("\n".join(blocks(ROOT / "docs/your_own_stream.md", "python")), names)
    assert len(names["data"]) > 1_000 and np.isfinite(names["data"].questions.y).any()


@each_page
def test_what_code_imports_is_there(page):
    for text in blocks(page, "python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("rtml"):
                try:
                    module = import_module(node.module)
                except ModuleNotFoundError as missing:
                    assert not missing.name.startswith("rtml"), missing  # an extra that is not installed here
                    continue
                names = [one.name for one in node.names if not hasattr(module, one.name)]
                assert not [name for name in names if find_spec(f"{node.module}.{name}") is None], names


@each_page
def test_every_command_that_is_shown_is_understood(page):
    verbs = {verb.name: verb for verb in VERBS}
    for _, verb, *words in lines(page, "rtml"):
        words = [word for word in words if word.isupper() is False or word in ("RUN", "VERSION", "ID")]
        verbs[verb].make_context(verb, words, resilient_parsing=False)


@each_page
def test_every_variable_that_make_is_given_is_handed_on(page):
    makefile = (ROOT / "Makefile").read_text()
    for words in lines(page, "make"):
        given = [word.partition("=")[0] for word in words[1:] if re.match(r"[A-Z_]+=", word)]
        assert not [name for name in given if f"${name}" not in makefile and f"$({name})" not in makefile], words


@pytest.mark.parametrize("words", lines(ROOT / "docs/serving.md", "curl"), ids=" ".join)
def test_every_request_that_is_shown_is_answered(url, words):
    address = next(word for word in words if "localhost" in word).replace("localhost:8000", url)
    body = words[words.index("-d") + 1] if "-d" in words else None
    if body and "1-1" in body:
        ids = httpx.get(f"{url}/predict?key=ETH-USD").json()["prediction_id"]
        body = body.replace("1-1", ids)
    answer = httpx.post(address, content=body) if body else httpx.get(address)
    assert answer.status_code in (200, 202), answer.text
    if body and "event" in body:
        assert answer.json()["accepted"] == 1


def test_every_status_that_is_named_is_given(url):
    """The table of refusals, row by row, as far as an endpoint without a token can show it."""
    told = {int(code) for row in re.findall(r"^\| ([45][\d, ]+) \|", SERVING, re.M) for code in row.split(",")}
    key = httpx.get(f"{url}/predict?key=ETH-USD").json()["prediction_id"]
    httpx.post(f"{url}/answers", json={"prediction_id": key, "y": 1})
    shown = [
        httpx.get(f"{url}/health", headers={"Host": "elsewhere.example"}),
        httpx.get(f"{url}/predictions/7-7"),
        httpx.post(f"{url}/answers", json={"prediction_id": key, "y": 2}),
        httpx.post(f"{url}/predict", content=b"x" * 70_000),
        httpx.get(f"{url}/predict?key=DOGE"),
    ]
    assert [one.status_code for one in shown] == [403, 404, 409, 413, 422]
    assert {one.status_code for one in shown} | {401, 429, 431, 503} == told
    assert all(json.loads(one.content)["error"] for one in shown)


def test_every_gauge_that_is_to_be_watched_is_there():
    named = set(re.findall(r"`(rtml_\w+)`", (ROOT / "docs/operations.md").read_text()))
    code = (ROOT / "rtml/serving/prometheus.py").read_text()
    assert len(named) >= 5 and not [name for name in named if f'"{name}"' not in code]


def test_every_variable_of_the_environment_that_is_named_is_read():
    named = set(re.findall(r"`(RTML_\w+)`", (ROOT / "docs/operations.md").read_text()))
    code = "\n".join(path.read_text() for path in (ROOT / "rtml").rglob("*.py"))
    read = set(re.findall(r'"(RTML_[A-Z_]+)"', code))
    assert named <= read, named - read


SERVING = (ROOT / "docs/serving.md").read_text()
